"""`bin/bench linktrain`: the highest patch rate that a GPU could be fed at from the mount at 8 ms ÷ from a local disk.

A timed consumer stands for the GPU: it takes patches and is busy as long as a step would take; it is fed well while it waits for
less than 2 % of the time. No case has room in memory, so that every patch is read from its packed file, ahead of its turn. Plain
sshfs is held to the local disk's rate in the same run. Then the V-Net on the CPU: mount ÷ local, and four at once ÷ one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from ctlab.cohort import Cohort
from ctlab.packing import pack
from ctlab.phantoms import Marking, make_cohort

from bench.asked import Asked
from bench.distance import FAR_MS, Ends, ends
from bench.feeding import BATCH
from bench.mounts import LINK, OWN_FOLDER, mounted
from bench.ratio import ratio_of
from bench.report import Report, quartiles, say
from testbed.host import Host, TestbedError

WAIT = 0.02
"""Part of the time that a consumer may wait."""
SIZE = (256, 256, 160)
FED_SIDE, FED_MM = 96, 1.5
"""The patch of the presets for a GPU."""
NET_SIDE, NET_MM = 32, 5.0
"""That of the tutorial's, which a CPU computes in seconds."""
AT_ONCE = 4
HALVINGS = 7
"""Of the interval in which the rate lies, from a sixteenth to five quarters of what comes at most: it is then known to 3 %."""
STEPS = 4
FOLDERS = "/srv"
"""The machine's own disk, which hosts see below their own: a node reads it as its local disk, the cloud serves it."""


class Program(Asked):
    """`bench.feeding` on a node."""

    def __init__(self, node: Host, folder: str, spacing_mm: float, side: int, threads: int) -> None:
        super().__init__(node, "bench.feeding", [folder, str(spacing_mm), str(side), str(threads)])
        self.first_s = 0.0

    def ready(self) -> None:
        """Waits until it has read every case once. Raises TestbedError when it ends before."""
        self.first_s = float(self.line())

    def rate(self, patches: float, seconds: float, seed: int) -> tuple[float, float]:
        """Part of the time waited, and patches a second; see `bench.feeding`."""
        waited, got = map(float, self.ask(f"rate {patches} {seconds} {seed}").split())
        return waited, got

    def steps(self, count: int) -> float:
        """Seconds."""
        return float(self.ask(f"step {count}"))


class Rated(Protocol):
    """Who can be asked as `Program` can."""

    def rate(self, patches: float, seconds: float, seed: int) -> tuple[float, float]:
        """Part of the time waited, and patches a second."""


def highest(program: Rated, seconds: float, seed: int) -> float:
    """The highest rate, patches a second, at which a consumer waits less than WAIT; a sixteenth of all that comes where none is."""
    _, most = program.rate(0.0, seconds, seed)
    low, high = most / 16, most * 1.25
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        waited, _ = program.rate(middle, seconds, seed)
        low, high = (middle, high) if waited < WAIT else (low, middle)
    return low


def make(top: Path, options: argparse.Namespace) -> None:
    """The cohort as NIfTI and packed; readable for everybody."""
    say(f"{options.train} + {options.val} phantoms of {options.size} voxels…")
    make_cohort(top / "nifti", options.train, options.val, 7, tuple(options.size), marking=Marking.LUNGS)
    pack(Cohort(top / "nifti"), top / "packed", show=lambda _: None)
    for each in (top, *top.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)


@contextlib.contextmanager
def programs(node: Host, folders: Sequence[str], spacing_mm: float, side: int, threads: int) -> Iterator[list[Program]]:
    """A program for each of `folders`, all ready."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(contextlib.closing(Program(node, each, spacing_mm, side, threads))) for each in folders]
        for each in made:
            each.ready()
        yield made


def fed(here: Ends, top: str, link: Sequence[str], plain: str, options: argparse.Namespace) -> tuple[float, dict[str, object]]:
    """Rates of mount and local disk, round by round; the plain mount at the local disk's."""
    folders = [f"{top}/packed", f"{link[0]}/packed", f"{plain}/packed", f"{plain}/nifti"]
    with programs(here.node, folders, FED_MM, FED_SIDE, 1) as (local, far, other, loose):
        rates: dict[str, list[float]] = {"local": [], "link": []}
        for number in range(options.rounds):
            order = [("local", local), ("link", far)]
            for name, program in order if number % 2 == 0 else order[::-1]:
                rates[name].append(highest(program, options.seconds, number))
            say(f"round {number + 1}/{options.rounds}, patches/s: " + ", ".join(f"{k} {v[-1]:.2f}" for k, v in rates.items()))
        wanted = statistics.median(rates["local"])
        waits = {name: program.rate(wanted, options.seconds, 0)[0] for name, program in (("packed", other), ("nii.gz", loose))}
        say("plain sshfs at the local rate waits: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in waits.items()))
        ratio = ratio_of(rates["link"], rates["local"])
        detail: dict[str, object] = {
            "patches_a_second": {name: quartiles(each) for name, each in rates.items()},
            "ratio": ratio,
            "plain_sshfs_waits_at_the_local_rate": {name: round(share, 4) for name, share in waits.items()},
            "plain_sshfs_fails": {name: share >= WAIT for name, share in waits.items()},
            "first_reading_s": {
                "local": round(local.first_s, 1), "link": round(far.first_s, 1), "plain": round(other.first_s, 1),
                "plain, nii.gz": round(loose.first_s, 1),
            },
        }  # fmt: skip
        return ratio.median, detail


def trained(here: Ends, top: str, link: Sequence[str], options: argparse.Namespace) -> dict[str, object]:
    """The V-Net on the CPU: steps from the mount ÷ from the local disk; four trainings at once, a mount each, ÷ one alone."""
    cores, steps = os.cpu_count() or 1, options.steps
    folders = [f"{each}/packed" for each in link]
    with programs(here.node, [f"{top}/packed", folders[0]], NET_MM, NET_SIDE, cores) as (local, far):
        times: dict[str, list[float]] = {"local": [], "link": []}
        for number in range(options.rounds):
            order = [("local", local), ("link", far)]
            for name, program in order if number % 2 == 0 else order[::-1]:
                times[name].append(program.steps(steps))
            say(f"round {number + 1}/{options.rounds}, s for {steps} steps: {times['local'][-1]:.1f} and {times['link'][-1]:.1f}")
        with (
            programs(here.node, folders, NET_MM, NET_SIDE, max(1, cores // len(folders))) as several,
            ThreadPoolExecutor(len(several)) as pool,
        ):
            together, alone = [], []
            for _ in range(options.rounds):
                alone.append(far.steps(steps))
                # So much for one of them as one alone would take for its part of the work.
                together.append(max(pool.map(lambda each: each.steps(steps), several)) / len(several))
                say(f"one alone {alone[-1]:.1f} s, each of {len(several)} at once {together[-1]:.1f} s for as many steps")
    return {
        "mount_over_local": ratio_of(times["local"], times["link"]),
        "step_s": {name: round(statistics.median(each) / steps, 3) for name, each in times.items()},
        f"{AT_ONCE}_at_once_over_one": ratio_of(alone, together),
        "patch": [NET_SIDE, NET_MM],
    }


def measure(options: argparse.Namespace) -> Report:
    """All of it, in a testbed of its own."""
    load = os.getloadavg()[0]
    top = tempfile.mkdtemp(prefix="bench-linktrain-", dir=FOLDERS)
    try:
        make(Path(top), options)
        with ends("linktrain") as here, contextlib.ExitStack() as stack:
            here.testbed.delay(FAR_MS)
            shared = f"/srv/cloud/{OWN_FOLDER}/linktrain"
            here.cloud.folder(shared, 0o755)
            here.cloud.run(["mount", "--bind", top, shared], check=True)
            seen = []
            for number, program in enumerate([*[LINK] * AT_ONCE, None]):
                run = f"/var/tmp/bench-linktrain-{number}"  # noqa: S108  (on a host of the testbed)
                place = stack.enter_context(mounted(here.testbed, here.node, run, here.session, program))
                seen.append(f"{place.own}/linktrain")
            value, detail = fed(here, top, seen[:-1], seen[-1], options)
            vnet = {} if options.no_vnet else trained(here, top, seen[:-1], options)
    finally:
        shutil.rmtree(top)
    detail |= {
        "vnet": vnet, "cases": [options.train, options.val], "voxels": options.size, "delay_ms": FAR_MS, "batch": BATCH,
        "patch": [FED_SIDE, FED_MM], "seconds": options.seconds, "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }  # fmt: skip
    return Report(bench="linktrain", value=value, unit="mount at 8 ms / local disk (patch rate)", better="higher", detail=detail)


def main() -> int:
    """Measure, and print the report."""
    parser = argparse.ArgumentParser(prog="bin/bench linktrain", description=__doc__)
    parser.add_argument("--train", type=int, default=84)
    parser.add_argument("--val", type=int, default=21)
    parser.add_argument("--size", type=int, nargs=3, default=list(SIZE), metavar=("X", "Y", "Z"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10.0, help="that each rate is tried for")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the V-Net, in one piece")
    parser.add_argument("--no-vnet", action="store_true", help="the value alone")
    parser.add_argument("--quick", action="store_true", help="four small cases, two rounds: whether it works, no figure to quote")
    options = parser.parse_args()
    if options.quick:
        options.train, options.val, options.size, options.rounds, options.seconds, options.steps = 3, 1, [128, 128, 96], 2, 3.0, 1
    try:
        measure(options).print()
    except TestbedError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
