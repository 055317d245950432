"""`bin/bench read`: a large file read over the link at 8 ms, as fast as by plain sshfs at 0 ms."""

from __future__ import annotations

import argparse
import sys

from bench.distance import Arm, Ends, Samples, arms, at_distances, digest, faster, line_check, parser, rounds, run, told
from bench.report import Report

SIZE = 256 * 2**20
FILE = "large"
SCATTERED_THREADS = 8
DISTANCES_MS = (0.0, 3.0, 8.0, 20.0)


def measure(here: Ends, options: argparse.Namespace) -> Report:
    """In order, then in random order by eight threads, then in order at other distances."""
    here.plant(FILE, SIZE)
    wanted = digest(here.own / FILE)

    def in_order(arm: Arm, samples: Samples, _: int) -> None:
        here.timed(arm, "read", FILE, (), wanted=wanted, samples=samples)

    def scattered(arm: Arm, samples: Samples, number: int) -> None:
        here.timed(arm, "scattered", FILE, (SCATTERED_THREADS, number), wanted=wanted, samples=samples)

    found = rounds(arms(options), options.rounds, in_order)
    ratio = faster(found)
    detail: dict[str, object] = {"in_order": told(found), "ratio": ratio}
    detail["line"] = line_check(here, SIZE / min(found["plain"].seconds) / 1e6)
    if not options.quick:
        found = rounds(arms(options), max(2, options.rounds // 2), scattered)
        detail["random_1_mib_8_threads"] = told(found) | {"ratio": faster(found)}
        detail["both_at"] = at_distances(options, DISTANCES_MS, in_order)
    return Report(
        bench="read", value=ratio.median, unit="link at 8 ms / plain at 0 ms (throughput)", better="higher", detail=detail
    )


if __name__ == "__main__":
    sys.exit(run("read", parser("read", "A large file over the link.").parse_args(), measure))
