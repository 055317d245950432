"""`bin/bench pack`: time to read training patches of a CT from the mount, packed ÷ .nii.gz, on a line of 8 ms.

Over the link and over plain sshfs; the value is the worse of both. `--formats` measures the other formats too, those whose
packages are there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctlab import nifti
from ctlab.packed import ENDING, write_packed
from ctlab.phantoms import Phantom, make_phantom

from bench.asked import Asked
from bench.mounts import CLOUD_ACCOUNT, LINK, OWN_FOLDER, mounted, vouch
from bench.packreads import known
from bench.ratio import ratio_of
from bench.report import Report, quartiles, say
from testbed.host import Host, TestbedError
from testbed.site import Testbed

DELAY_MS = 8
SIZE = (512, 512, 300)
SIDE = 96
ROUNDS = 12
MOST_SLICES = 255
"""A phantom's own number of slices is 15 % more or less than asked for."""
WAYS = ("packed", "packed, kept open")
"""What is measured against `.nii.gz` without --formats."""
VALUE = "packed, kept open"
"""How `ctlab` reads: a case stays open from its first patch on."""
NODE = "cx01"
MOUNTS: dict[str, str | None] = {"link": LINK, "plain": None}
"""What sshfs starts in place of ssh."""


def write_forms(folder: Path, phantom: Phantom, ways: Sequence[str]) -> None:
    """The phantom in every form that `ways` read. Compressed NIfTI is nibabel's own: gzip at level 1."""
    hu, labels, geometry = phantom.ct.voxels, phantom.labels.voxels, phantom.ct.geometry
    for name, array in (("ct", hu), ("label", labels)):
        nifti.write(folder / f"{name}.nii.gz", array, geometry)
        if "nii" in ways:
            nifti.write(folder / f"{name}.nii", array, geometry)
        if "npy" in ways:
            np.save(folder / f"{name}.npy", array)
        if "blosc2" in ways:
            _write_blosc2(folder / f"{name}.b2nd", array)
    write_packed(folder / f"case{ENDING}", phantom.ct, phantom.labels, {"1": "lung"}, ())
    if "zarr folder" in ways:
        shutil.unpack_archive(folder / f"case{ENDING}", folder / "case.zarr", "zip")


def _write_blosc2(path: Path, array: npt.NDArray[Any]) -> None:
    """As nnU-Net lays it out for a patch of SIDE: small blocks in chunks that hold a patch."""
    import blosc2  # only where it is compared

    parameters = {"codec": blosc2.Codec.ZSTD, "clevel": 3, "filters": [blosc2.Filter.SHUFFLE]}
    blosc2.asarray(array, urlpath=str(path), mode="w", chunks=(128, 128, 128), blocks=(32, 32, 32), cparams=parameters)


class Reader(Asked):
    """`bench.packreads` on a node, with `folder` of the mount."""

    def __init__(self, node: Host, folder: str) -> None:
        super().__init__(node, "bench.packreads", [folder])
        self.known = self.line().split(";")

    def seconds(self, way: str, start: Sequence[int]) -> tuple[float, float, str]:
        """Seconds by the clock and of processor time for the patch at `start`, and the checksum of what was read."""
        took, busy, checksum = self.ask(f"{way} {' '.join(map(str, start))} {SIDE}").split()
        return float(took), float(busy), checksum


def measure(readers: dict[str, Reader], ways: Sequence[str], rounds: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Mount → way → (seconds, processor seconds) round by round: the same patch by every way, each round in another order.

    Raises TestbedError when two ways read different voxels.
    """
    draw = random.Random(1)  # noqa: S311  (which patches, no secret)
    times: dict[str, dict[str, list[tuple[float, float]]]] = {mount: {way: [] for way in ways} for mount in readers}
    for number in range(rounds):
        start = [draw.randrange(length - SIDE + 1) for length in SIZE[:2]] + [draw.randrange(MOST_SLICES - SIDE + 1)]
        order = [(mount, way) for mount in readers for way in ways]
        draw.shuffle(order)
        seen = set()
        for mount, way in order:
            took, busy, checksum = readers[mount].seconds(way, start)
            times[mount][way].append((took, busy))
            seen.add(checksum)
        if len(seen) != 1:
            raise TestbedError(f"the ways read different voxels at {start}")
        last = (f"{mount}: " + ", ".join(f"{way} {times[mount][way][-1][0]:.3f}" for way in ways) for mount in readers)
        say(f"round {number + 1}/{rounds}, s. {'; '.join(last)}")
    return times


def main() -> int:
    """Bring a testbed up, measure, take it away."""
    parser = argparse.ArgumentParser(prog="bin/bench pack")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--formats", action="store_true")
    options = parser.parse_args()
    ways = ["nii.gz", *(known()[1:] if options.formats else WAYS)]
    testbed = Testbed(f"bench-pack-{os.getpid()}", progress=say)
    with tempfile.TemporaryDirectory(prefix="bench-pack-") as made:
        say("a CT phantom in each form…")
        write_forms(Path(made), make_phantom((1, 0, 0), SIZE, stored="RAS"), ways)
        sizes = {path.name: size_of(path) for path in sorted(Path(made).iterdir())}
        try:
            testbed.up(hub=False)
            testbed.delay(DELAY_MS)
            cloud, node, session = testbed.host("cloud"), testbed.host(NODE), vouch(testbed)
            shutil.copytree(made, cloud.path(f"/srv/cloud/{OWN_FOLDER}/pack"))
            cloud.run(["chown", "-R", f"{cloud.user(CLOUD_ACCOUNT).uid}", f"/srv/cloud/{OWN_FOLDER}/pack"], check=True)
            with contextlib.ExitStack() as stack:
                readers = {}
                for name, program in MOUNTS.items():
                    there = stack.enter_context(mounted(testbed, node, f"/var/tmp/bench-{name}", session, program))  # noqa: S108
                    readers[name] = stack.enter_context(contextlib.closing(Reader(node, f"{there.own}/pack")))
                times = measure(readers, ways, options.rounds)
        finally:
            testbed.down()
    report(times, sizes)
    return 0


def size_of(path: Path) -> float:
    """MiB of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return round(sum(each.stat().st_size for each in files) / 2**20, 1)


def report(times: dict[str, dict[str, list[tuple[float, float]]]], sizes: dict[str, float]) -> None:
    """Print what was measured."""
    mounts: dict[str, object] = {}
    value = 0.0
    for mount, ways in times.items():
        clock = {way: [took for took, _ in each] for way, each in ways.items()}
        ratios = {way: ratio_of(each, clock["nii.gz"]) for way, each in clock.items() if way != "nii.gz"}
        mounts[mount] = {
            "seconds": {way: quartiles(each) for way, each in clock.items()},
            "processor_s": {way: round(statistics.median(busy for _, busy in each), 3) for way, each in ways.items()},
            "ratio": ratios,
        }
        value = max(value, ratios[VALUE].median)
    settings: dict[str, object] = {"delay_ms": DELAY_MS, "voxels": SIZE, "patch": SIDE, "load": round(os.getloadavg()[0], 1)}
    Report(bench="pack", value=value, unit="ratio", better="lower", detail=settings | mounts | {"mib": sizes}).print()


if __name__ == "__main__":
    sys.exit(main())
