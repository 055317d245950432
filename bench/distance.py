"""What the benches of the link share: a node, a cloud, and rounds: the link at a distance and plain sshfs next door take turns.

Every measured piece has a mount of its own, made before the clock starts: nothing of the last one is in any cache on the node. The
bytes that came through are compared with those on the cloud's disk; wrong ones end the measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench import mounts
from bench.mounts import CLOUD_ACCOUNT, OWN_FOLDER, UNIX_ACCOUNT, Mounted
from bench.ratio import Ratio, ratio_of
from bench.report import Report, say
from testbed import services
from testbed.host import STANDALONE, Host, TestbedError
from testbed.layout import address
from testbed.site import Testbed

FAR_MS = 8.0
ROUNDS = 7
ENOUGH = 3.0
"""How many times the peer's rate the line itself has to carry, else it is the line that is measured."""
_FILES = f"{services.SOURCE}/bench/files.py"
_CARRY = f"{services.SOURCE}/bench/carry.py"
_CARRIED_MB = 400


class Timed(msgspec.Struct, frozen=True):
    """What `bench/files.py` says."""

    seconds: float
    sha256: str
    size: int


@dataclass(frozen=True)
class Arm:
    """One side of a comparison."""

    name: str
    ssh_command: str | None
    round_trip: float
    """Milliseconds."""


@dataclass
class Samples:
    """What an arm's pieces took, round by round."""

    seconds: list[float] = field(default_factory=list)
    size: int = 0
    processor: Counter[str] = field(default_factory=Counter)
    """Seconds, by program."""
    memory: int = 0
    """Bytes that the link held at most."""

    def told(self) -> dict[str, object]:
        """For a report: MB/s, seconds, processor seconds a gigabyte, the link's memory."""
        gigabytes = self.size * len(self.seconds) / 1e9
        median = statistics.median(self.seconds)
        return {
            "s": round(median, 3),
            "mb_s": round(self.size / median / 1e6, 1),
            "processor_s_per_gb": {name: round(value / gigabytes, 2) for name, value in sorted(self.processor.items())},
            "processor_s_per_gb_sum": round(sum(self.processor.values()) / gigabytes, 2),
            **({"link_memory_mb": round(self.memory / 1e6, 1)} if self.memory else {}),
        }


class WrongBytesError(TestbedError):
    """Other bytes came than are there."""


@dataclass
class Ends:
    """A testbed, with a session that the cloud lets in."""

    testbed: Testbed
    session: str
    _runs: Iterator[int] = field(default_factory=itertools.count)

    @property
    def node(self) -> Host:
        """Where it is mounted."""
        return self.testbed.host("cx01")

    @property
    def cloud(self) -> Host:
        """Where it lies."""
        return self.testbed.host("cloud")

    @property
    def own(self) -> Path:
        """The person's own folder on the cloud's disk, by the machine's path."""
        return self.cloud.path(f"/srv/cloud/{OWN_FOLDER}")

    def plant(self, path: str, size: int) -> None:
        """A file of random bytes: nothing on the way can make it smaller."""
        target = self.own / path
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as stream:
            for at in range(0, size, 2**20):
                stream.write(os.urandom(min(2**20, size - at)))
        for each in (target, target.parent):
            os.chown(each, self.cloud.user(CLOUD_ACCOUNT).uid, -1)

    @contextlib.contextmanager
    def mounted(self, arm: Arm) -> Iterator[Mounted]:
        """A fresh mount, at the arm's distance."""
        self.testbed.delay(arm.round_trip)
        run = f"/var/tmp/bench-{next(self._runs)}"  # noqa: S108  (on a host of the testbed)
        with mounts.mounted(self.testbed, self.node, run, self.session, arm.ssh_command) as here:
            yield here

    def timed(self, arm: Arm, kind: str, path: str, words: Sequence[object], *, wanted: str, samples: Samples) -> None:
        """One piece by `bench/files.py`, on a mount of its own; `wanted`: SHA-256 of what has to come. Raises WrongBytesError."""
        with self.mounted(arm) as here:
            before = mounts.spent(self.node, self.cloud)
            argv = [*STANDALONE, _FILES, kind, f"{here.own}/{path}", *map(str, words)]
            said = self.node.run(argv, UNIX_ACCOUNT, timeout=600, check=True)
            samples.processor.update(mounts.spent(self.node, self.cloud) - before)
            samples.memory = max(samples.memory, mounts.peak_memory(self.node))
        found = msgspec.json.decode(said.stdout, type=Timed)
        if found.sha256 != (wanted or digest(self.own / path)):
            raise WrongBytesError(f"{arm.name}: {kind} got {found.size} bytes that are not those of the cloud")
        samples.seconds.append(found.seconds)
        samples.size = found.size

    def line_rate(self, round_trip: float) -> float:
        """MB/s that the gateway and the line carry by themselves, over four connections to the other destination's port."""
        self.testbed.delay(round_trip)
        other = self.testbed.host("kashiwa")
        self.testbed.stop_destination("kashiwa")
        serving = other.popen([*STANDALONE, _CARRY, "serve", "22", str(_CARRIED_MB)])
        try:
            if serving.stdout is None or not serving.stdout.readline():
                raise TestbedError("nothing listens at the other end of the line")
            said = self.node.run([*STANDALONE, _CARRY, "fetch", str(address("gw", "link")), "2202", "4"], timeout=120, check=True)
        finally:
            serving.kill()
            serving.wait()
            self.testbed.start_destination("kashiwa")
        return float(said.stdout) / 1e6


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def ends(name: str) -> Iterator[Ends]:
    """A testbed of one's own, for as long as the block lasts."""
    testbed = Testbed(f"bench-{name}-{os.getpid()}", progress=say)
    try:
        testbed.up(hub=False)
        yield Ends(testbed, mounts.vouch(testbed))
    finally:
        testbed.down()


def rounds(arms: Sequence[Arm], count: int, piece: Callable[[Arm, Samples, int], None]) -> dict[str, Samples]:
    """`count` rounds of one piece an arm, each round in another order; arm's name → its samples."""
    samples = {arm.name: Samples() for arm in arms}
    for number in range(count):
        turned = number % len(arms)
        for arm in (*arms[turned:], *arms[:turned]):
            piece(arm, samples[arm.name], number)
        say(f"round {number + 1}/{count}: " + ", ".join(f"{name} {each.seconds[-1]:.2f} s" for name, each in samples.items()))
    return samples


def at_distances(
    options: argparse.Namespace, distances_ms: Sequence[float], piece: Callable[[Arm, Samples, int], None]
) -> dict[str, Any]:
    """Both arms as far away as each other: half as many rounds at each distance, and their figures by it."""
    found = {}
    for milliseconds in distances_ms:
        both = Arm("link", arms(options)[0].ssh_command, milliseconds), Arm("plain", None, milliseconds)
        found[f"{milliseconds:.0f} ms"] = told(rounds(both, max(2, options.rounds // 2), piece))
    return found


def line_check(here: Ends, peer_mb_s: float) -> dict[str, object]:
    """Whether the line by itself carries enough for the comparison to be one of mounts."""
    # Best of three: other work on the machine slows the line down as it does the mounts, which had more tries.
    near, far = (max(here.line_rate(each) for _ in range(3)) for each in (0.0, FAR_MS))
    least = min(near, far) / peer_mb_s
    if least < ENOUGH:
        say(f"the line carries only {least:.1f} times the peer's rate: on this machine the ratio says less than it seems to")
    return {"mb_s_at_0_ms": round(near), "mb_s_at_8_ms": round(far), "over_peer": round(least, 2), "enough": least >= ENOUGH}


def parser(name: str, what: str) -> argparse.ArgumentParser:
    """The arguments that these benches share."""
    found = argparse.ArgumentParser(prog=f"bin/bench {name}", description=what)
    found.add_argument("--rounds", type=int, default=ROUNDS)
    found.add_argument("--quick", action="store_true", help="the value alone, without what else the detail has")
    program = found.add_mutually_exclusive_group()
    program.add_argument("--plain", action="store_true", help="plain sshfs in the link's place, to see what distance costs it")
    program.add_argument("--ssh-command", default=mounts.LINK, help="what sshfs starts in ssh's place, for the link's arm")
    return found


def arms(options: argparse.Namespace, far_ms: float = FAR_MS) -> tuple[Arm, Arm]:
    """The link far away, and plain sshfs next door."""
    return Arm("link", None if options.plain else options.ssh_command, far_ms), Arm("plain", None, 0.0)


def faster(samples: dict[str, Samples]) -> Ratio:
    """The link's throughput over the peer's, pair by pair."""
    return ratio_of(samples["plain"].seconds, samples["link"].seconds)


def told(samples: dict[str, Samples]) -> dict[str, Any]:
    """The arms' figures."""
    return {name: each.told() for name, each in samples.items()}


def run(name: str, options: argparse.Namespace, measure: Callable[[Ends, argparse.Namespace], Report]) -> int:
    """Measure in a testbed of its own and print; 0 when it was possible and every byte was right."""
    load = os.getloadavg()[0]
    try:
        with ends(name) as here:
            found = measure(here, options)
    except TestbedError as error:
        say(str(error))
        return 1
    mounted_by = "ssh" if options.plain else options.ssh_command
    detail = found.detail | {"mounted_by": mounted_by, "load": [round(load, 1), round(os.getloadavg()[0], 1)]}
    msgspec.structs.replace(found, detail=detail).print()
    return 0
