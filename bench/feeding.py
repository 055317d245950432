"""A training's data as a program on a node takes them; `python -m bench.feeding COHORT SPACING_MM SIDE THREADS` answers lines.

Nothing of the cohort lies in memory: every patch comes from the folder, through the training's own feed. `rate PATCHES SECONDS`: a
consumer that takes BATCH patches and then is busy as long as a GPU would be at that rate (0: not at all); answers with the part of
the time for which it waited, and the patches a second that it got. `step COUNT`: steps of the V-Net; answers with their seconds.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ctlab.cohort import Cohort
from ctlab.feed import Feed
from ctlab.network import PRESETS, Preset
from ctlab.sampling import Sampler
from ctlab.tiers import Room
from ctlab.trainer import Trainer
from ctlab.training import read_cases

from bench.packreads import forget

BATCH = 2
WARM = 3
"""Batches that are taken before the clock starts: what comes first has to be waited for at any rate."""


class Data:
    """A cohort that is read once, as a training does before its first step, and then patch by patch."""

    def __init__(self, folder: Path, preset: Preset) -> None:
        cohort = Cohort(folder)
        self.folder, self.preset = folder, preset
        begun = time.perf_counter()
        self.learn, self.judge = (read_cases(cohort, part, preset, Room(0)) for part in (cohort.train, cohort.val))
        self.first_s = time.perf_counter() - begun
        self._trainer: Trainer | None = None
        if cohort.problems:
            raise ValueError(cohort.problems[0].text)

    def rate(self, patches_a_second: float, seconds: float, seed: int) -> tuple[float, float]:
        """What a consumer of that rate met: which part of the time it waited, and patches a second."""
        forget(self.folder)
        feed = Feed(Sampler(self.learn.known, self.preset.patch, np.random.default_rng(seed)), self.learn)
        busy_s = BATCH / patches_a_second if patches_a_second else 0.0
        begun = end = waited = 0.0
        taken = -WARM
        try:
            while taken < 0 or time.perf_counter() < end:
                asked = time.perf_counter()
                feed.take(BATCH)
                there = time.perf_counter()
                taken += 1
                if taken == 0:
                    begun, end = there, there + seconds
                elif taken > 0:
                    waited += there - asked
                time.sleep(max(0.0, there + busy_s - time.perf_counter()))
        finally:
            feed.close()
        spent = time.perf_counter() - begun
        return waited / spent, taken * BATCH / spent

    def steps(self, count: int) -> float:
        """Seconds that `count` steps of the V-Net take, data and all."""
        if self._trainer is None:
            self._trainer = Trainer(self.preset, self.learn, self.judge, {1: "lung"}, seed=1, where=torch.device("cpu"))
            self._trainer.step()
        begun = time.perf_counter()
        for _ in range(count):
            self._trainer.step()
        return time.perf_counter() - begun


def main() -> int:
    """Answer until the input ends."""
    folder, spacing_mm, side, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    preset = replace(PRESETS["vnet"], spacing_mm=float(spacing_mm), patch=int(side), batch=BATCH, steps=10_000, epochs=1)
    data = Data(Path(folder), preset)
    _say(f"{data.first_s:.3f}")
    for line in sys.stdin:
        match line.split():
            case ["rate", patches, seconds, seed]:
                waited, got = data.rate(float(patches), float(seconds), int(seed))
                _say(f"{waited:.6f} {got:.4f}")
            case ["step", count]:
                _say(f"{data.steps(int(count)):.4f}")
            case _:
                raise ValueError(line)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
