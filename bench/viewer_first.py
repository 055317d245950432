"""`python -m bench.viewer_first CT`: a CT opened by `ctlab.view` where each request takes DELAY_MS longer; JSON.

A packed case, or a folder with a DICOM series. Seconds to the first pictures, by the clock and of processor time; seconds until all
headers are known, before which the picture of a series is marked as preliminary; seconds to the whole volume; MiB of this process
at its fullest, and before.

`--ipyniivue CT.nii.gz` opens that by ipyniivue, which has to be importable (`bench.peers`), and tells the seconds to the message
that its browser half waits for, and its MB: the whole file, before anything can be drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import ctlab
import ctlab.viewer  # not what is measured
import pydicom
from ctlab import far

DELAY_MS = 8
READ_AHEAD = 2**17
"""Bytes that the kernel asks for at once of a file that is read in order."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure once, cold; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewer_first", description=__doc__)
    parser.add_argument("ct", type=Path)
    parser.add_argument("--ipyniivue", action="store_true")
    parser.add_argument("--as-it-is", action="store_true", help="on a real mount: nothing takes longer than it does")
    given = parser.parse_args(argv)
    whole = [] if given.as_it_is else go_away()
    found = _peer(given.ct, whole) if given.ipyniivue else _ours(given.ct)
    print(json.dumps(found))
    return 0


def go_away() -> list[int]:
    """What this process reads is far away from now on: each listing, and each file that is opened and each part of it that is read.

    Returns the bytes of each file that was read in one go, a list that grows.
    """
    read, opened, read_bytes, found, listed = os.pread, Path.open, Path.read_bytes, os.open, os.scandir
    whole: list[int] = []

    def wait(requests: int = 1) -> None:
        time.sleep(requests * DELAY_MS / 1000)

    def distant(descriptor: int, length: int, offset: int) -> bytes:
        wait()
        return read(descriptor, length, offset)

    def distant_find(path: str | Path, flags: int, *more: Any, **named: Any) -> int:  # noqa: ANN401  (as `os.open` has it)
        wait()
        return found(path, flags, *more, **named)

    def distant_list(path: str | Path) -> Any:  # noqa: ANN401  (as `os.scandir` has it)
        wait(2)
        return listed(path)

    def distant_open(self: Path, mode: str = "r", *more: Any, **named: Any) -> IO[Any]:  # noqa: ANN401  (as `Path.open` has it)
        # Once to open it, once for its first bytes.
        wait(2)
        return opened(self, mode, *more, **named)

    def in_order(path: Path) -> None:
        wait(1 + -(-path.stat().st_size // READ_AHEAD))

    def distant_bytes(self: Path) -> bytes:
        in_order(self)
        whole.append(self.stat().st_size)
        return read_bytes(self)

    def distant_dicom(path: str | Path, mode: str) -> IO[Any]:
        in_order(Path(path))
        return open(path, mode)  # noqa: PTH123  (as pydicom does)

    far.os.pread, far.os.open, far.os.scandir = distant, distant_find, distant_list  # type: ignore[attr-defined]  # of this process alone
    Path.open, Path.read_bytes = distant_open, distant_bytes  # type: ignore[method-assign,assignment]  # the same
    pydicom.filereader.open = distant_dicom  # in place of the built-in one
    return whole


def _peer(path: Path, whole: list[int]) -> dict[str, object]:
    """ipyniivue, as far as the kernel goes: the state that opens its widget, with the file in it."""
    import ipyniivue  # type: ignore[import-not-found]  # where somebody has it

    begun, busy = time.perf_counter(), time.process_time()
    shown = ipyniivue.NiiVue()
    shown.load_volumes([{"path": path}])
    seconds, worked = time.perf_counter() - begun, time.process_time() - busy
    return {"s": round(seconds, 2), "processor_s": round(worked, 2), "sent_mb": round(sum(whole) / 1e6, 1)}


def _ours(path: Path) -> dict[str, object]:
    before = peak_mib()
    begun, busy = time.perf_counter(), time.process_time()
    viewer = ctlab.view(path)
    shown, worked = time.perf_counter() - begun, time.process_time() - busy
    pictures, preliminary = sum(len(each) > 0 for each in viewer._first), viewer._facts["is"] == "early"
    _join("ctlab-opening")
    known = time.perf_counter() - begun
    _join("ctlab-arriving")
    return {
        "pictures": pictures, "preliminary": preliminary, "s": round(shown, 2), "processor_s": round(worked, 2),
        "known_s": round(known if preliminary else shown, 2),
        "whole_s": round(time.perf_counter() - begun, 1), "mib": peak_mib(), "mib_before": before,
    }  # fmt: skip


def _join(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()


def peak_mib() -> int:
    """What this process has had in memory at its fullest."""
    # Not the resource usage of `getrusage`, which a process has from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    sys.exit(main())
