"""`bin/bench smallfiles`: a thousand small files read over the link at 8 ms, in little more time than by plain sshfs at 0 ms."""

from __future__ import annotations

import argparse
import sys

from bench.distance import Arm, Ends, Samples, arms, line_check, parser, rounds, run, told
from bench.files import digest
from bench.ratio import Ratio, ratio_of
from bench.report import Report, say

COUNT, SIZE = 1000, 30_000
FOLDER = "small"
WAYS = (("listed", 1), ("listed", 8), ("shuffled", 1), ("shuffled", 8))
"""Order and number of readers; the first gives the value."""


def slower(samples: dict[str, Samples]) -> Ratio:
    """The link's time over the peer's, pair by pair."""
    return ratio_of(samples["link"].seconds, samples["plain"].seconds)


def measure(here: Ends, options: argparse.Namespace) -> Report:
    """The listing counts, as it does for a program."""
    for number in range(COUNT):
        here.plant(f"{FOLDER}/slice-{number:04}.dcm", SIZE)
    wanted = digest(path.read_bytes() for path in sorted((here.own / FOLDER).iterdir())).hexdigest()
    detail: dict[str, object] = {}
    value = rate = 0.0
    for order, readers in WAYS[:1] if options.quick else WAYS:

        def piece(arm: Arm, samples: Samples, number: int, order: str = order, readers: int = readers) -> None:
            here.timed(arm, "small", FOLDER, (order, readers, number), wanted=wanted, samples=samples)

        say(f"{order}, {readers} at a time")
        found = rounds(arms(options), options.rounds, piece)
        ratio = slower(found)
        detail[f"{order}_{readers}"] = told(found) | {"ratio": ratio}
        value = value or ratio.median
        rate = max(rate, COUNT * SIZE / min(found["plain"].seconds) / 1e6)
    detail["line"] = line_check(here, rate)
    return Report(bench="smallfiles", value=value, unit="link at 8 ms / plain at 0 ms (time)", better="lower", detail=detail)


if __name__ == "__main__":
    sys.exit(run("smallfiles", parser("smallfiles", "Small files over the link.").parse_args(), measure))
