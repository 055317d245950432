"""Who reaches whom, how far it is, and what a broken line looks like."""

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from testbed import net
from testbed.layout import HOSTS, NETS
from testbed.site import Testbed

REACH = {
    "hub": {"hub", "cx01", "cx02", "cx03", "gw"},
    "cx01": {"cx01", "hub", "gw"},
    "cx02": {"cx02", "hub", "gw"},
    "cx03": {"cx03", "hub"},
    "gw": {"gw", "hub", "cx01", "cx02", "cloud", "kashiwa"},
    "cloud": {"cloud"},
    "kashiwa": {"kashiwa"},
}
"""Whoever answers on any of its addresses, be it with a refusal."""

TRY_ALL = """
import json, socket, sys, threading
answers = {}
def attempt(address):
    try:
        socket.create_connection((address, 9), timeout=1.5).close()
        answers[address] = True
    except ConnectionRefusedError:
        answers[address] = True
    except OSError:
        answers[address] = False
threads = [threading.Thread(target=attempt, args=(each,)) for each in sys.argv[1:]]
[each.start() for each in threads], [each.join() for each in threads]
print(json.dumps(answers))
"""
CONNECT = """
import socket, sys, time
times = []
for _ in range(25):
    begun = time.perf_counter()
    socket.create_connection(("10.77.2.1", int(sys.argv[1])), timeout=5).close()
    times.append(time.perf_counter() - begun)
print(min(times) * 1000)
"""
STAY = """
import socket, sys
link = socket.create_connection(("10.77.2.1", 2202), timeout=5)
print(link.recv(100).decode().split("-")[0], flush=True)
said = b"SSH-2.0-test\\r\\n"
for line in sys.stdin:
    link.settimeout(float(line))
    try:
        link.sendall(said)
        said = b""
        print("got" if link.recv(100) else "closed", flush=True)
    except TimeoutError:
        print("silence", flush=True)
    except ConnectionResetError:
        print("reset", flush=True)
"""


def test_only_nets_where_both_have_a_leg_and_neither_is_isolated_join_two_hosts() -> None:
    for first, second in itertools.permutations(HOSTS, 2):
        joined = any(
            first in each.members and second in each.members and not {first, second} <= set(each.isolated) for each in NETS
        )
        # The gateway answers nobody on the destinations' side: it is stricter than the cables.
        assert joined == (second in REACH[first] or (first in {"cloud", "kashiwa"} and second == "gw"))


def test_the_nets_hang_together_with_either_way_of_delay() -> None:
    firsts = dict.fromkeys(HOSTS, 1)
    with_netem, with_line = (net.cables(firsts, long_line=long_line) for long_line in (False, True))
    assert {line.split()[3] for line in with_netem if line.startswith("link add")} - {
        line.split()[3] for line in with_line if line.startswith("link add")
    } == {"sinet-gw"}


class Recorder(net.Switch):
    """A switch that only writes down what it is told."""

    told: ClassVar[list[str]] = []

    def run(self, argv: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        self.told.append(" ".join(argv))
        return subprocess.CompletedProcess(argv, 0, "", "")


def test_where_the_kernel_has_netem_each_destinations_own_port_waits(tmp_path: Path) -> None:
    delays = tmp_path / "delays.json"
    delays.write_text('{"10.77.3.20": 6.0, "10.77.3.30": 8.5}')

    net.set_delays(Recorder(0), None, delays)

    assert [words.split(" limit")[0] for words in Recorder.told] == [
        "tc qdisc replace dev sinet-cloud root netem delay 6.0ms",
        "tc qdisc replace dev sinet-kashiwa root netem delay 8.5ms",
    ]


@pytest.mark.site
@pytest.mark.parametrize("host", HOSTS)
def test_a_host_reaches_these_and_nobody_else(site: Testbed, host: str) -> None:
    addresses = {str(address): name for each in NETS for name, address in each.members.items()}
    answers = json.loads(site.run(host, ["python3", "-c", TRY_ALL, *addresses], check=True).stdout)
    assert {addresses[address] for address, reached in answers.items() if reached} == REACH[host]


@pytest.mark.site
def test_there_is_one_way_to_a_destination_and_it_goes_through_the_gateways_port(site: Testbed) -> None:
    for node, port, reached in (("cx01", 2201, True), ("cx02", 2202, True), ("cx01", 22, False), ("cx03", 2201, False)):
        argv = ["python3", "-c", f"import socket; print(socket.create_connection(('10.77.2.1', {port}), timeout=3).recv(3))"]
        assert (site.run(node, argv).stdout == "b'SSH'\n") == reached


@pytest.fixture
def round_trips(site: Testbed) -> Iterator[dict[str, float]]:
    usual = site.round_trips
    yield usual
    for name, value in usual.items():
        site.delay(value, name)


@pytest.mark.site
def test_the_round_trip_is_what_was_asked_for_and_changes_live(site: Testbed, round_trips: dict[str, float]) -> None:
    def measured(port: str) -> float:
        return float(site.run("cx01", ["python3", "-c", CONNECT, port], check=True).stdout)

    assert round_trips == {"cloud": 6.0, "kashiwa": 8.0}
    assert 6.0 <= measured("2201") < 8.0
    assert 8.0 <= measured("2202") < 10.0
    site.delay(40, "kashiwa")
    assert 40.0 <= measured("2202") < 44.0
    assert measured("2201") < 8.0
    site.delay(0)
    assert measured("2202") < 2.0


class Link:
    """A connection from cx01 to kashiwa that stays open."""

    def __init__(self, site: Testbed) -> None:
        self.process = site.host("cx01").popen(["python3", "-u", "-c", STAY])
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"SSH\n"

    def hear(self, seconds: float) -> str:
        """What comes within `seconds`: got, silence, closed or reset."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n".encode())
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()


@pytest.fixture
def link(site: Testbed) -> Iterator[Link]:
    made = Link(site)
    yield made
    made.process.kill()
    made.process.wait()
    site.restore()


def connects(site: Testbed) -> bool:
    argv = ["python3", "-c", "import socket; socket.create_connection(('10.77.2.1', 2202), timeout=1)"]
    return site.run("cx01", argv).returncode == 0


@pytest.mark.site
def test_a_cut_is_silence_and_what_was_open_goes_on_afterwards(site: Testbed, link: Link) -> None:
    site.cut()
    site.cut()
    assert not connects(site)
    assert link.hear(1) == "silence"
    site.restore()
    site.restore()
    assert connects(site)
    assert link.hear(5) == "got"


@pytest.mark.site
def test_a_reset_ends_what_was_open_at_once_and_new_connections_work(site: Testbed, link: Link) -> None:
    begun = time.monotonic()
    site.reset()
    assert link.hear(5) == "reset"
    assert time.monotonic() - begun < 2
    assert connects(site)
    site.reset()
