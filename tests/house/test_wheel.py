"""The project as a wheel: what a site installs that does not run from a checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.house.test_layout import ROOT, tree

ROOMS = {
    "spawner": "spawner",
    "enclave": "enclave",
    "cloudlink": "cloudlink",
    "phrases": "phrases",
    "dataowner": "dataowner",
    "kernels/ctlab": "ctlab",
}
"""Folder in the checkout, and in the wheel."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_every_file_of_its_rooms(wheel):
    wanted = {
        path.relative_to(ROOT).as_posix().replace(folder, package, 1)
        for folder, package in ROOMS.items()
        for path in tree(f"{folder}/*")
    }

    with zipfile.ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set()


def test_it_installs_alone_and_imports(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True)
    # What it needs is the environment's; of the project there must be nothing but the wheel's.
    (next(tmp_path.glob("lib/python3*/site-packages")) / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    rooms = "cloudlink.session, ctlab, enclave.messages, phrases, spawner.site"
    program = f"import {rooms}; print(spawner.site.__file__, phrases.translator('ja')('x'))"
    done = subprocess.run([str(python), "-I", "-c", program], cwd="/", capture_output=True, text=True, check=True)

    assert done.stdout.startswith(str(tmp_path))
