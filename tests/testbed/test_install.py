"""What the installer has made, as the tests find it."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from spawner import proxy
from testbed import programs

ROOT = Path(__file__).parents[2]
ASK = ("/usr/bin/dpkg-query", "-W", "-f", "${db:Status-Status}")
LINES = [line for line in (ROOT / "testbed" / "debian-packages").read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("line", LINES)
def test_each_debian_package_has_a_reason_and_is_installed_or_there_for_hosts(line):
    group, package, reason = re.fullmatch(r"(site|hosts|databases|test)\s+([a-z0-9.+-]+)\s+# (.+)", line).groups()
    status = subprocess.run([*ASK, package], capture_output=True, text=True, check=False)

    unpacked = (programs.layer() / "usr" / "share" / "doc" / package).is_dir()
    assert status.stdout == "installed" or (group in {"hosts", "databases"} and unpacked)
    assert reason


@pytest.mark.parametrize("path", ["/usr/sbin/munged", "/usr/sbin/sshd"])
def test_the_hosts_programs_run_outside_too(path):
    said = subprocess.run([*programs.outside(path), "-V"], capture_output=True, text=True, check=False)

    assert re.match(r"(munge|OpenSSH)", said.stdout + said.stderr)


def test_programs_of_the_hosts_alone_find_their_libraries(tmp_path):
    unpacked = tmp_path / "unpacked"
    (unpacked / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
    (unpacked / "usr" / "lib" / "x86_64-linux-gnu" / "libmunge.so.2").touch()
    (tmp_path / programs.LAYER).parent.mkdir(parents=True)
    (tmp_path / programs.LAYER).symlink_to(unpacked)

    assert programs.outside("/usr/bin/not-here", tmp_path) == [
        "/usr/bin/env", f"LD_LIBRARY_PATH={unpacked}/usr/lib/x86_64-linux-gnu", f"{unpacked}/usr/bin/not-here"
    ]  # fmt: skip


def test_the_environment_is_everybody_s_and_compiled():
    packages = Path(sysconfig.get_path("purelib"))

    for name in ("jupyterhub", "jupyter_server", "torch", "monai"):
        assert list((packages / name / "__pycache__").glob("*.pyc"))
    closed = [path for path in (Path(sys.prefix), *packages.iterdir()) if not path.stat().st_mode & 0o004]
    assert closed == []


def test_the_interpreter_is_one_that_every_account_can_run():
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

    assert subprocess.run([*nobody, sys.executable, "-c", "import jupyterhub"], cwd="/", env={}, check=False).returncode == 0


def test_the_proxy_is_there_in_the_locked_version():
    locked = re.search(r'"configurable-http-proxy": "([0-9.]+)"', (proxy.PACKAGE / "package.json").read_text()).group(1)
    version = subprocess.run([sys.executable, "-m", "spawner.proxy", "--version"], capture_output=True, text=True, check=True)

    assert version.stdout.strip() == locked


def test_asking_for_nothing_known_is_answered():
    asked = subprocess.run([str(ROOT / "testbed" / "install"), "everything"], capture_output=True, text=True, check=False)

    assert asked.returncode == 2
    assert "install site|test" in asked.stderr
