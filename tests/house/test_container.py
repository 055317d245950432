"""The recipe of the image for V100 nodes, as far as it can be tried without a registry: its files, shell, pins and layout.

Its two sections of shell are run in this machine's own Debian, of which nothing can be written but /opt and /tmp: apt-get and pip
are told of instead of called, except that pip installs the project, out of the files that the recipe brings and nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.house.test_layout import ROOT
from tests.house.test_requirements import EXTRAS, pins

pytestmark = pytest.mark.slow

RECIPE = ROOT / "sites" / "flow-container" / "renkei.def"
SECTIONS = {"files", "post", "test", "environment", "labels"}
OPT = Path("/opt/renkei")

PYTHON3 = """#!/bin/bash -e
# A virtual environment with this machine's Python, and a pip that takes down what it was told.
[ "$1 $2" = "-m venv" ] || exec {python} "$@"
/usr/bin/python3 -m venv --without-pip "$3"
cp /mnt/pip "$3/bin/pip"
"""
PIP = """#!/bin/bash -e
printf '%s\\n' "$*" >> /tmp/told
case "${{@: -1}}" in
  /*) project="${{@: -1}}"
      cp "$PIP_CONSTRAINT" /tmp/constraints.txt
      # What it needs is this machine's environment, hatchling too.
      for folder in "${{0%/*}}"/../lib/python3*/site-packages; do echo {packages} > "$folder/needs.pth"; done
      {python} -m pip --python "${{0%/*}}/python" install --quiet --no-deps --no-index --no-build-isolation "${{project%%[*}}" ;;
esac
"""
APT = """#!/bin/bash
printf '%s\\n' "$*" >> /tmp/apt
"""


def sections() -> dict[str, list[str]]:
    """The lines of each section; those before the first are called `header`. Comments outside of scripts are left out."""
    found: dict[str, list[str]] = {"header": []}
    name = "header"
    for line in RECIPE.read_text().splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            assert name not in found
            found[name] = []
        elif not line.startswith("#"):
            found[name].append(line)
    return found


def pairs() -> dict[str, Path]:
    """What is copied, and where to."""
    lines = [line.split() for line in sections()["files"] if line.strip()]
    assert {len(line) for line in lines} == {2}, "a third word would be left out without a word"
    return {source: Path(target) for source, target in lines}


class Root:
    """A Debian in which the recipe's shell runs; what it leaves below /opt/renkei and /tmp stays between two calls."""

    def __init__(self, folder: Path) -> None:
        self.opt, self.tmp, self._tools = folder / "opt", folder / "tmp", folder / "tools"
        for each in (self.opt, self.tmp, self._tools):
            each.mkdir()
        for name, text in (("python3", PYTHON3), ("pip", PIP), ("apt-get", APT)):
            (self._tools / name).write_text(text.format(python=sys.executable, packages=sysconfig.get_path("purelib")))
            (self._tools / name).chmod(0o755)

    def run(self, argv: list[str], **options) -> subprocess.CompletedProcess[str]:
        bwrap = [
            "bwrap",
            "--ro-bind",
            "/",
            "/",
            "--dev-bind",
            "/dev",
            "/dev",
            "--proc",
            "/proc",
            "--unshare-net",
            "--tmpfs",
            "/opt",
        ]
        bwrap += ["--bind", str(self.opt), str(OPT), "--bind", str(self.tmp), "/tmp", "--tmpfs", "/var/lib/apt/lists"]
        bwrap += ["--ro-bind", str(self._tools), "/mnt", "--die-with-parent", "--chdir", "/", "--clearenv"]
        bwrap += ["--setenv", "PATH", "/mnt:/usr/bin:/bin", "--setenv", "HOME", "/tmp"]
        return subprocess.run([*bwrap, *argv], capture_output=True, text=True, check=False, timeout=300, **options)

    def shell(self, section: str) -> subprocess.CompletedProcess[str]:
        """Run a section as a build does: by /bin/sh."""
        return self.run(["/bin/sh", "-ex", "-c", "\n".join(sections()[section])])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Root:
    root = Root(tmp_path_factory.mktemp("image"))
    for source, target in pairs().items():
        place = root.opt / target.relative_to(OPT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    done = root.shell("post")
    assert done.returncode == 0, done.stderr
    return root


def test_it_has_the_sections_that_are_known_and_a_base_of_one_release():
    assert set(sections()) == SECTIONS | {"header"}
    header = dict(line.split(": ") for line in sections()["header"] if line)
    assert header == {"Bootstrap": "docker", "From": "debian:12.11-slim"}


def test_torch_is_the_pinned_one_in_the_build_for_cuda_12_6_and_everything_else_is_pinned(root):
    first, second = (root.tmp / "told").read_text().splitlines()
    assert [f"torch=={pins()['torch']}"] == [line for line in EXTRAS["ctlab"] if line.startswith("torch")]
    assert first.split()[-3:] == ["--index-url", "https://download.pytorch.org/whl/cu126", f"torch=={pins()['torch']}+cu126"]
    assert second.split()[-1] == f"{OPT}/build[node,ctlab]"
    held = dict(line.split("==") for line in (root.tmp / "constraints.txt").read_text().split())
    assert held == {**pins(), "torch": f"{pins()['torch']}+cu126"}
    assert int(pins()["torch"].split(".")[1]) <= 14, "PyTorch means to end the builds for CUDA 12.6 with 2.15"


def test_debians_packages_are_those_that_a_node_of_the_testbed_has(root):
    _, install = (root.tmp / "apt").read_text().splitlines()
    wanted = {word for word in install.split()[1:] if not word.startswith("--")}
    listed = {
        line.split()[1] for line in (ROOT / "testbed" / "debian-packages").read_text().splitlines() if line.startswith("site")
    }
    assert wanted <= listed


def test_everything_lies_where_the_flow_site_file_says(root):
    node = tomllib.loads((ROOT / "sites" / "flow.toml").read_text())["node"]
    assert root.run([node["python"], "-c", "import enclave.run"]).returncode == 0
    assert {path.name for path in (root.opt / "share" / "notebooks").iterdir()} == {"en", "ja"}
    assert node["presets"] == f"{OPT}/share/notebooks"
    assert (root.opt / Path(node["kernels"]).relative_to(OPT) / "ct" / "kernel.json").is_file()
    assert not (root.opt / "build").exists()


def test_its_own_test_refuses_a_torch_that_is_not_built_for_the_v100(root):
    done = root.shell("test")
    assert done.returncode != 0
    assert "this torch is not built for the V100" in done.stderr


def test_its_python_has_the_project_and_the_preflight_runs_from_it(root):
    python = str(OPT / "env" / "bin" / "python")
    done = root.run([python, "-I", "-c", "import enclave.run, cloudlink, ctlab; print(enclave.run.__file__, ctlab.__file__)"])
    assert done.returncode == 0, done.stderr
    assert all(each.startswith(str(OPT / "env")) for each in done.stdout.split())
    done = root.run([python, "-m", "enclave", "preflight", "--gpus", "0"])
    assert done.stdout.splitlines()[-1] in {"Sessions may run on this node.", "This node is not fit: no session starts here."}, done
