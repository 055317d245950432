"""What the walls cost: the same program inside a session and beside it, on the same node and account, with the same mount.

Beside that, what a notebook costs: the same work in a cell, whose kernel and server do more than the work meanwhile.

Alone: `python -m bench.cost`. `measure` is for `bin/bench walls`, whose detail it is part of.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from bench.mounts import CLOUD_ACCOUNT, UNIX_ACCOUNT, mounted
from bench.person import Person
from bench.ratio import Ratio, ratio_of
from bench.report import say
from testbed import services
from testbed.host import Host, TestbedError
from testbed.site import Testbed

PERSON = "tanaka"
PAIRS = 36
SIZE_MB = 64
FILE = f"people/{CLOUD_ACCOUNT}/cost-of-the-walls"
PIECES = {"read": 4, "compute": 1, "step": 1}
"""Kind of work → pieces of it that each arm does in a round: three programs and two cores make a read's time waver most."""
BOUND = 1.05
"""What the upper bound of each ratio may be."""

_FOLDER = "/var/tmp/bench-cost"  # noqa: S108  (on a host of the testbed)
_PROGRAM = """
import subprocess
words = [sys.executable, "-m", "bench.work", work.path]
settings = os.environ | {"PYTHONPATH": ":".join(sys.path)}
program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=settings)
def said(kind):
    program.stdin.write(kind + "\\n")
    program.stdin.flush()
    return program.stdout.readline().strip()
said("compute")
"""
"""A cell that starts the work as a program of its own."""
_WISH = {"resource_group": "ct-link", "destination": "cloud", "gpus": 0, "hours": 1, "language": "en"}


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work: seconds inside over seconds outside, outside over outside as a control, and a cell over outside."""

    inside_s: float
    """Median, by the clock."""
    outside_s: float
    ratio: Ratio
    control: Ratio
    cell: Ratio
    processor: Ratio
    """The same of the processor time that the working process took: other work on the machine hardly changes it."""
    processor_control: Ratio


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and on how busy a machine."""

    kinds: dict[str, Kind]
    read_mb: int
    load_before: float
    """The machine's load average over a minute."""
    load_after: float

    @property
    def holds(self) -> bool:
        """Whether every upper bound is within BOUND."""
        return all(each.ratio.high <= BOUND for each in self.kinds.values())


Times = tuple[float, float]
"""Seconds by the clock, and of processor time."""


@dataclass
class Outside:
    """A process of the session's account on the node, beside the session."""

    process: subprocess.Popen[bytes]

    def seconds(self, kind: str) -> Times:
        """Have one piece of work done. Raises TestbedError when the process has ended."""
        assert self.process.stdin is not None  # noqa: S101  (for the type checker: popen makes pipes)
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write(f"{kind}\n".encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            errors = self.process.stderr.read() if self.process.stderr else b""
            raise TestbedError(f"the work outside the session ended: {errors.decode(errors='replace')[-500:]}")
        return _times(line.decode())


class Arm(Protocol):
    """Somewhere where the work is ready."""

    def seconds(self, kind: str) -> Times:
        """Have one piece of work done."""


@dataclass
class Cell:
    """A cell of the session."""

    runner: asyncio.Runner
    person: Person
    kernel: str

    def ask(self, code: str) -> str:
        """The result of a cell, as text. Raises PersonError when it has none."""
        return self.runner.run(self.person.run_cell(self.kernel, code))

    def seconds(self, kind: str) -> Times:
        """Have one piece of work done."""
        return _times(self.ask(f"work.seconds({kind!r})").strip("()").replace(",", " "))


@dataclass
class Inside:
    """The program in the session's sandbox, started by a cell; the cell waits for it, as for any program."""

    cell: Cell

    def __post_init__(self) -> None:
        self.cell.ask(_PROGRAM)

    def seconds(self, kind: str) -> Times:
        """Have one piece of work done."""
        return _times(self.cell.ask(f"said({kind!r})").strip("'"))


def _times(said: str) -> Times:
    clock, processor = map(float, said.split())
    return clock, processor


@contextlib.contextmanager
def session(testbed: Testbed) -> Iterator[Cell]:
    """PERSON's session, with the work ready in a kernel."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def begin() -> tuple[Person, str]:
            person = await stack.enter_async_context(Person(testbed.url, PERSON))
            await person.log_in(testbed.passwords[PERSON])
            stack.push_async_callback(person.stop)
            await person.ask_for_server(_WISH)
            await person.wait_until_ready()
            await person.open_lab()
            return person, await stack.enter_async_context(person.kernel("ct"))

        try:
            cell = Cell(runner, *runner.run(begin()))
            cell.ask(
                f"import os, sys\nsys.path.append({services.SOURCE!r})\nfrom bench.work import Work\n"
                f"work = Work(os.environ['RENKEI_MOUNT'] + '/{FILE}')\n0"
            )
            yield cell
        finally:
            runner.run(stack.aclose())


@contextlib.contextmanager
def beside(node: Host, place: str) -> Iterator[Outside]:
    """The work ready in a process outside the session."""
    path = f"{services.SOURCE}:{services.SOURCE}/kernels"
    argv = ["env", f"PYTHONPATH={path}", "OMP_WAIT_POLICY=PASSIVE", "PYTHONDONTWRITEBYTECODE=1", services.PYTHON]
    process = node.popen([*argv, "-m", "bench.work", f"{place}/{FILE}"], UNIX_ACCOUNT)
    try:
        outside = Outside(process)
        outside.seconds("compute")
        yield outside
    finally:
        process.kill()
        process.wait()


def plant(cloud: Host) -> None:
    """The file that is read: random bytes, so that nothing on the way can make it smaller."""
    target = cloud.path(f"/srv/cloud/{FILE}")
    with target.open("wb") as stream:
        for _ in range(SIZE_MB):
            stream.write(os.urandom(1_000_000))
    os.chown(target, cloud.user(CLOUD_ACCOUNT).uid, -1)


def measure(testbed: Testbed, pairs: int = PAIRS) -> Cost:
    """The cost in `pairs` interleaved rounds at a testbed that is up with its hub; each round has another order.

    The line has no delay meanwhile: waiting for it would hide what the walls cost. Raises TestbedError or PersonError.
    """
    load = os.getloadavg()[0]
    kept = testbed.round_trips
    testbed.delay(0)
    plant(testbed.host("cloud"))
    try:
        with session(testbed) as cell:
            job = testbed.run("hub", ["squeue", "--noheader", f"--user={UNIX_ACCOUNT}", "--format=%N %j"], check=True)
            name, _, title = job.stdout.strip().partition(" ")
            node = testbed.host(name)
            beyond = mounted(testbed, node, _FOLDER, title.removeprefix("renkei-"))
            with beyond as here, beside(node, here.place) as outside, beside(node, here.place) as control:
                times = rounds((Inside(cell), outside, control, cell), pairs)
    finally:
        testbed.host("cloud").path(f"/srv/cloud/{FILE}").unlink()
        for name, milliseconds in kept.items():
            testbed.delay(milliseconds, name)
    kinds = {kind: compared(*arms) for kind, arms in times.items()}
    return Cost(kinds=kinds, read_mb=SIZE_MB, load_before=round(load, 2), load_after=round(os.getloadavg()[0], 2))


def compared(inside: list[Times], outside: list[Times], control: list[Times], cell: list[Times]) -> Kind:
    """What the arms' times say of one kind of work."""
    (within, within_busy), (without, without_busy), (again, again_busy) = (
        ([clock for clock, _ in arm], [processor for _, processor in arm]) for arm in (inside, outside, control)
    )
    return Kind(
        inside_s=round(statistics.median(within), 4),
        outside_s=round(statistics.median(without), 4),
        ratio=ratio_of(within, without),
        control=ratio_of(again, without),
        cell=ratio_of([clock for clock, _ in cell], without),
        processor=ratio_of(within_busy, without_busy),
        processor_control=ratio_of(again_busy, without_busy),
    )


def rounds(arms: tuple[Arm, ...], pairs: int) -> dict[str, tuple[list[Times], ...]]:
    """Kind of work → the seconds of each arm, round by round."""
    times: dict[str, tuple[list[Times], ...]] = {kind: tuple([] for _ in arms) for kind in PIECES}
    orders = list(itertools.permutations(range(len(arms))))
    for number in range(pairs):
        # Neighbours in this list differ at their ends only: a step of 7 (prime to the 24 of four arms) mixes them.
        order = orders[7 * number % len(orders)]
        for kind, arm in ((kind, arm) for kind, pieces in PIECES.items() for _ in range(pieces) for arm in order):
            times[kind][arm].append(arms[arm].seconds(kind))
        last = (f"{kind} {times[kind][0][-1][0]:.2f} and {times[kind][1][-1][0]:.2f} s" for kind in PIECES)
        say(f"round {number + 1}/{pairs}, inside and outside: {', '.join(last)}")
    return times


def main() -> int:
    """Bring a testbed up, measure, take it away; 0 if the bound holds."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    testbed = Testbed(f"bench-cost-{os.getpid()}", progress=say)
    try:
        testbed.up()
        cost = measure(testbed, options.pairs)
    finally:
        testbed.down()
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(cost), indent=1).decode() + "\n")
    return 0 if cost.holds else 1


if __name__ == "__main__":
    sys.exit(main())
