"""The project as a wheel: what a site installs that does not run from a checkout."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import spawner
from tests.house.test_layout import ROOT, tree

ROOMS = {
    "spawner": "spawner",
    "enclave": "enclave",
    "cloudlink": "cloudlink",
    "phrases": "phrases",
    "dataowner": "dataowner",
    "kernels/ctlab": "ctlab",
    "linkbench": "linkbench",
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


SHARED = {"kernels/ct": "kernels/ct", "notebooks": "notebooks", "sites": "sites"}
"""Folder in the checkout, and below `share/renkei` of an environment that the wheel was installed into."""


def test_it_brings_what_a_site_takes_out_of_it(wheel):
    """docs/install.en.md copies these; JupyterLab looks for the viewer's browser half."""
    wanted = {
        f"share/renkei/{path.relative_to(ROOT).as_posix().replace(folder, target, 1)}"
        for folder, target in SHARED.items()
        for path in tree(f"{folder}/*")
    }
    wanted |= {f"share/renkei/{name}" for name in ("jupyterhub_config.py", "CHANGELOG.md", "THIRD-PARTY.md", "sbom.cdx.json")}
    wanted |= {"share/jupyter/labextensions/ctlab-viewer/package.json"}

    with zipfile.ZipFile(wheel) as archive:
        data = {name.partition(".data/data/")[2] for name in archive.namelist()}
        programs = [name for name in archive.namelist() if name.endswith("share/renkei/sites/epilog")]
        assert wanted - data == set()
        assert all(archive.getinfo(name).external_attr >> 16 & 0o111 for name in programs)
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())


def test_its_version_is_the_one_that_the_changelog_and_the_citation_tell(wheel):
    assert wheel.name == f"renkei-{spawner.__version__}-py3-none-any.whl"
    assert re.search(r"^## (\S+),", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1] == spawner.__version__
    assert f"\nversion: {spawner.__version__}\n" in (ROOT / "CITATION.cff").read_text()


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

    renkei, site = tmp_path / "bin" / "renkei", tmp_path / "share" / "renkei" / "sites" / "slurm.toml"
    assert subprocess.check_output([str(renkei), "--version"], text=True) == f"renkei {spawner.__version__}\n"
    said = subprocess.check_output([str(renkei), "site", str(site)], text=True)
    assert said == f"{site}: the hub takes it. Resource groups: ct-link, ct-view. Destinations: cloud, kashiwa.\n"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(site.read_text().replace("start_timeout", "start_timout"))
    refused = subprocess.run([str(renkei), "site", str(wrong)], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "start_timout" in refused.stderr
    assert "Traceback" not in refused.stderr
