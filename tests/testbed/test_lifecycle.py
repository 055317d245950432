"""A testbed comes, goes, and leaves the machine as it was."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import processes, state
from testbed.host import TestbedError
from testbed.site import Testbed

pytestmark = pytest.mark.site


def said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def traces() -> dict[str, object]:
    """Everything of the machine's that a testbed could have touched."""
    return {
        "links": said("ip", "-o", "link"),
        "addresses": said("ip", "-o", "-4", "address"),
        "namespaces": said("ip", "netns"),
        "rules": said("nft", "list", "ruleset"),
        "mounts": Path("/proc/self/mounts").read_text(),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        **{name: Path("/etc", name).read_bytes() for name in ("passwd", "shadow", "group", "gshadow", "hosts")},
    }


@pytest.fixture
def name() -> Iterator[str]:
    name = f"u{os.getpid()}"
    yield name
    Testbed(name).down()


def test_down_leaves_nothing(name: str) -> None:
    before = traces()
    testbed = Testbed(name)
    testbed.up(hub=False)
    while_up = traces()
    testbed.down()

    assert while_up == before
    assert traces() == before
    assert processes.marked(name) == {}
    assert not (state.FOLDER / name).exists()
    testbed.down()


def test_up_said_twice_changes_nothing(name: str) -> None:
    testbed = Testbed(name)
    testbed.up(hub=False)
    known, passwords = processes.marked(name), testbed.passwords
    testbed.up(hub=False)
    assert processes.marked(name) == known
    assert testbed.passwords == passwords


def test_two_testbeds_do_not_disturb_each_other(site: Testbed, name: str) -> None:
    other = Testbed(name)
    other.up(hub=False)
    other.run("cx01", ["touch", "/tmp/of-the-other"], check=True)
    other.cut()
    assert site.run("cx01", ["test", "-e", "/tmp/of-the-other"]).returncode == 1
    banner = "import socket; print(socket.create_connection(('10.77.2.1', 2201), timeout=3).recv(3))"
    assert site.run("cx01", ["python3", "-c", banner]).stdout == "b'SSH'\n"
    assert other.run("cx01", ["python3", "-c", banner]).returncode == 1
    other.down()
    assert site.complete
    assert site.run("hub", ["sinfo", "--noheader"]).returncode == 0


@pytest.mark.parametrize("step", ["hosts…", "nets…", "batch system and destinations…"])
def test_a_start_killed_at_any_step_is_taken_away_and_can_be_repeated(name: str, step: str) -> None:
    before = traces()
    argv = [sys.executable, "-m", "testbed", "--name", name, "up", "--no-hub"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as starting:
        assert starting.stdout is not None
        assert any(line.strip() == step for line in starting.stdout)
        starting.kill()
    testbed = Testbed(name)

    assert not testbed.complete
    testbed.up(hub=False)
    assert testbed.complete
    testbed.down()
    assert traces() == before
    assert processes.marked(name) == {}


def test_the_command_line_says_what_there_is(site: Testbed) -> None:
    def verb(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "testbed", "--name", site.name, *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    status = verb("status")
    assert status.returncode == 0
    assert f"{site.name}: up (" in status.stdout
    assert "cloud 6 ms, kashiwa 8 ms" in status.stdout
    assert site.passwords["tanaka"] in status.stdout
    assert verb("exec", "cx02", "--user", "rs-sato", "--", "id", "-un").stdout == "rs-sato\n"
    assert verb("exec", "cx02", "--", "sh", "-c", "exit 7").returncode == 7
    assert "/tmp/" not in verb("kept", "cx02").stderr


def test_a_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(TestbedError, match="letters, digits and dashes"):
        Testbed("../etc")
