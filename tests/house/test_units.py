"""What an administrator copies to a host: systemd's units, the sudo rules, and the guide that says where they go."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spawner import metrics
from tests.house.test_layout import ROOT

UNITS = sorted((ROOT / "sites" / "systemd").iterdir())
GUIDES = [ROOT / "docs" / f"install.{language}.md" for language in ("en", "ja")]


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    assert found is not None, f"{name} is not installed here"
    return found


def test_systemd_understands_every_unit(tmp_path):
    """As installed: only the programs stand elsewhere here."""
    for unit in UNITS:
        text = re.sub(r"/opt/renkei/env/bin/python", sys.executable, unit.read_text()).replace("/etc/renkei/backup", "/dev/null")
        (tmp_path / unit.name).write_text(text)
    files = [str(tmp_path / unit.name) for unit in UNITS]

    done = subprocess.run([program("systemd-analyze"), "verify", "--man=no", *files], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_hub_may_still_become_a_sessions_account():
    """Any of these would set NoNewPrivileges for an account that is not root's, and sudo would fail."""
    unit = (ROOT / "sites" / "systemd" / "renkei-hub.service").read_text()
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))

    assert settings["NoNewPrivileges"] == "no"
    implying = (
        "Restrict",
        "SystemCall",
        "MemoryDeny",
        "PrivateDevices",
        "ProtectKernel",
        "ProtectClock",
        "ProtectHostname",
        "LockPersonality",
    )
    assert [name for name in settings if name.startswith(implying)] == []


@pytest.mark.parametrize("rule", ["sudoers", "sudoers-pjm"])
def test_sudo_understands_the_rule(rule):
    done = subprocess.run([program("visudo"), "-cf", str(ROOT / "sites" / rule)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_guide_names_files_that_are_there(guide: Path):
    named = set(re.findall(r"(?:`|/opt/renkei/env/share/renkei/)(sites/[a-z.-]+)", guide.read_text()))

    assert {"sites/sudoers", "sites/epilog", "sites/slurm.toml", "sites/systemd", "sites/backup"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_guide_names_every_metric_and_no_other(guide: Path):
    source = Path(metrics.__file__).read_text()
    counters = {name.removesuffix("_total") for name in re.findall(r'"(renkei_[a-z_]+)"', source)}
    named = {name.removesuffix("_total") for name in re.findall(r"`(renkei_[a-z_]+)(?:\{[a-z,]+\})?`", guide.read_text())}

    assert named == counters


def test_both_languages_say_the_same_commands():
    blocks = [re.findall(r"(?ms)^```[a-z]*\n(.*?)^```", guide.read_text()) for guide in GUIDES]
    bare = [[re.sub(r"\s*#.*", "", block) for block in each] for each in blocks]

    assert bare[0] == bare[1]
