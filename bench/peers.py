"""Programs that are measured beside ours and are none of this project's dependencies: in a folder of their own, exact versions."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.report import say

PINS = Path(__file__).with_name("peers.txt")
HOME = Path("/var/lib/renkei")
"""Where `testbed/install` keeps the environments, too."""


class MissingPeerError(Exception):
    """What stands in `PINS` could not be installed."""


def peers() -> Path:
    """The folder with the packages of `PINS` alone, for whoever adds it to a path: made when it isn't there, whole or not at all.

    What they need besides is in the tests' environment. Raises MissingPeerError, with the installer's last line, when they can't
    be had.
    """
    digest = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = HOME / f"peers-{digest}"
    if folder.is_dir():
        return folder
    say(f"installing {', '.join(PINS.read_text().split())}…")
    HOME.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="peers-new-", dir=HOME))
    try:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        # Ours would be found where theirs are looked for.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        argv = [*pip, "--target", str(draft), "--requirement", str(PINS)]
        done = subprocess.run(argv, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise MissingPeerError((done.stderr.strip() or "pip ended without a word").splitlines()[-1])
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder
