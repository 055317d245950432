"""`bin/bench write`: a large file written over the link at 8 ms and safe at the cloud, as fast as by plain sshfs at 0 ms."""

from __future__ import annotations

import argparse
import sys

from bench.distance import Arm, Ends, Samples, arms, at_distances, faster, line_check, parser, rounds, run, told
from bench.report import Report

SIZE_MB = 256
DISTANCES_MS = (0.0, 3.0, 8.0)


def measure(here: Ends, options: argparse.Namespace) -> Report:
    """Each piece is a new file: written, fsync, closed, compared on the cloud's disk, removed. Then both at several distances."""

    def written(arm: Arm, samples: Samples, number: int) -> None:
        name = f"written-{arm.name}-{number}"
        here.timed(arm, "write", name, (SIZE_MB, number), wanted="", samples=samples)
        (here.own / name).unlink()

    found = rounds(arms(options), options.rounds, written)
    ratio = faster(found)
    line = line_check(here, SIZE_MB * 2**20 / min(found["plain"].seconds) / 1e6)
    detail = told(found) | {"ratio": ratio, "line": line}
    if not options.quick:
        detail["both_at"] = at_distances(options, DISTANCES_MS, written)
    return Report(
        bench="write", value=ratio.median, unit="link at 8 ms / plain at 0 ms (throughput)", better="higher", detail=detail
    )


if __name__ == "__main__":
    sys.exit(run("write", parser("write", "A large file written over the link.").parse_args(), measure))
