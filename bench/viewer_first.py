"""`python -m bench.viewer_first FILE`: a packed CT opened by `ctlab.view` where each request takes DELAY_MS longer; JSON.

Seconds to the first three pictures, by the clock and of processor time; seconds to the whole volume; MiB of this process at its
fullest, and before.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import ctlab
import ctlab.viewing.widget  # not what is measured
from ctlab import far

DELAY_MS = 8


def main() -> int:
    """Measure once, cold; returns the exit status."""
    read = os.pread

    def distant(descriptor: int, length: int, offset: int) -> bytes:
        time.sleep(DELAY_MS / 1000)
        return read(descriptor, length, offset)

    far.os.pread = distant  # type: ignore[attr-defined]  # of this process alone
    before = _peak_mib()
    begun, busy = time.perf_counter(), time.process_time()
    viewer = ctlab.view(sys.argv[1])
    shown, worked = time.perf_counter() - begun, time.process_time() - busy
    for thread in threading.enumerate():
        if thread.name == "ctlab-arriving":
            thread.join()
    print(
        json.dumps({
            "pictures": len(viewer._first), "s": round(shown, 2), "processor_s": round(worked, 2),
            "whole_s": round(time.perf_counter() - begun, 1), "mib": _peak_mib(), "mib_before": before,
        })
    )  # fmt: skip
    return 0


def _peak_mib() -> int:
    # Not the resource usage of `getrusage`, which a process has from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    sys.exit(main())
