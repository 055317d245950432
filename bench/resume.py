"""`bin/bench resume`: what differs between a V-Net's training that is killed ten times at random and one that never was."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ctlab import network
from ctlab.checkpoints import Keeper, State
from ctlab.cohort import Cohort
from ctlab.course import CHECKPOINT
from ctlab.forecast import trial
from ctlab.history import read_history
from ctlab.phantoms import make_cohort
from ctlab.precision import PLAIN
from ctlab.trainer import Trainer
from ctlab.training import train

from bench.report import Report, say

PRESET = replace(network.PRESETS["vnet"], spacing_mm=14.0, patch=16, epochs=3)
"""The V-Net itself (45.6 million parameters, a state of 0.4 GB) on pieces that two cores do in a fraction of a second."""
KILLS, PERIOD_S, PERIOD_STEPS = 10, 4.0, 3
"""A checkpoint every few seconds in the place of five minutes, so that ten kills take minutes; or after some steps."""
LIVES = 2.0
"""Periods after which a process is killed at the latest."""
_BY_THE_CLOCK: dict[str, Any] = {"seconds": 0.0, "waited": 0.0, "patches_s": 0.0, "ended": 0.0}
"""What of an epoch is another in each run."""
SEED = 11


@dataclass(frozen=True)
class Work:
    """What is trained."""

    cohort: Path
    preset: network.Preset
    period_s: float
    """Between two checkpoints."""


def _sized(cohort: Path, kills: int) -> Work:
    """As many steps as all the processes can make before they are killed, so that none comes to the end."""
    where = torch.device("cpu")
    step_s = trial(network.build(3), PRESET, where, PLAIN).seconds
    period_s = max(PERIOD_S, PERIOD_STEPS * step_s)
    return Work(cohort, replace(PRESET, steps=math.ceil(kills * LIVES * period_s / step_s / PRESET.epochs)), period_s)


@dataclass
class Heard:
    """What the processes of one training said; times are seconds of the machine's monotonic clock."""

    losses: dict[int, set[float]] = field(default_factory=dict)
    """Step → every loss that was computed for it: one, unless a repetition came to something else."""
    saved: int = 0
    """The newest step whose state is on disk."""
    at: float = 0.0
    """When that step was made, or when the process began to train."""
    made: int = 0

    def hear(self, what: str, step: int, when: float, loss: float) -> None:
        """Takes one message of a child in."""
        if what == "made":
            self.losses.setdefault(step, set()).add(loss)
            self.made = step
        else:
            self.saved, self.at = max(self.saved, step), max(self.at, when)


def _child(work: Work, folder: Path, said: Connection) -> None:
    """Trains, and tells each step with its loss and each state that is on disk."""
    torch.set_num_threads(1)
    step, save, lock = Trainer.step, Keeper.save, threading.Lock()
    times: dict[int, float] = {}
    begun = time.monotonic()

    def tell(what: str, number: int, when: float, loss: float) -> None:
        with lock:
            said.send((what, number, when, loss))

    def heard(trainer: Trainer) -> torch.Tensor:
        if not times:
            tell("begun", trainer.steps, time.monotonic(), 0.0)
        loss = step(trainer)
        times[trainer.steps] = time.monotonic()
        tell("made", trainer.steps, times[trainer.steps], float(loss))
        return loss

    def saved(keeper: Keeper, steps: int, state: State, taken: float) -> Path:
        path = save(keeper, steps, state, taken)
        tell("saved", steps, times.get(steps, begun), 0.0)
        return path

    Trainer.step = heard  # type: ignore[method-assign,assignment]
    Keeper.save = saved  # type: ignore[method-assign,assignment]
    train(Cohort(work.cohort), work.preset, folder=folder, report=lambda _: None, save_every_s=work.period_s)


def _messages(child: Connection) -> Iterator[tuple[str, int, float, float]]:
    with suppress(EOFError):
        while True:
            yield child.recv()


def _run(work: Work, folder: Path, heard: Heard, lives_s: float | None) -> float | None:
    """One process, killed `lives_s` seconds after its first step began; the seconds of work that were lost, None if it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ctlab.training"])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(work, folder, there))
    child.start()
    there.close()
    said = _messages(here)
    for message in said:
        heard.hear(*message)
        if message[0] == "begun":
            break
    killer = threading.Timer(threading.TIMEOUT_MAX if lives_s is None else lives_s, child.kill)
    killer.start()
    for message in said:
        heard.hear(*message)
    child.join()
    killed = time.monotonic()
    killer.cancel()
    return None if child.exitcode == 0 else killed - heard.at


def _differing(one: Path, other: Path) -> dict[str, int]:
    """How many weight tensors of the best networks and epochs of the curves differ between two results, the clock's part aside."""
    weights = [torch.load(folder / CHECKPOINT, weights_only=True)["network"] for folder in (one, other)]
    # By its text, because NaN, the Dice of a label that no case has, is unlike itself.
    curves = [[repr(replace(epoch, **_BY_THE_CLOCK)) for epoch in read_history(folder)] for folder in (one, other)]
    tensors = sum(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    return {"weights": tensors, "epochs": sum(a != b for a, b in zip_longest(*curves))}


def main() -> int:
    """Measure, and print the report."""
    parser = argparse.ArgumentParser(prog="bin/bench resume", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    kills = parser.parse_args().kills
    draw = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory(prefix="bench-resume-") as name:
        cohort, unbroken, killed = (Path(name) / part for part in ("cohort", "unbroken", "killed"))
        make_cohort(cohort, 2, 1, 5, (32, 32, 24))
        whole, broken = Heard(), Heard()
        lost: list[float] = []
        work = _sized(cohort, kills)
        _run(work, unbroken, whole, None)
        say(f"unbroken: {whole.made} steps")
        while len(lost) < kills:
            seconds = _run(work, killed, broken, float(draw.uniform(0.0, LIVES * work.period_s)))
            if seconds is None:
                raise RuntimeError(f"The training ended after {len(lost)} kills: ask for fewer with --kills.")
            lost.append(seconds)
            say(f"kill {len(lost)}: at step {broken.made}, {seconds:.1f} s of work lost")
        _run(work, killed, broken, None)
        losses = sum(found != whole.losses[step] for step, found in broken.losses.items()) + abs(
            len(whole.losses) - len(broken.losses)
        )
        differing = {"losses": losses, **_differing(unbroken, killed)}
    Report(
        bench="resume",
        value=sum(differing.values()),
        unit="losses, weight tensors and epochs of the curve that differ",
        better="lower",
        detail={
            "kills": kills,
            "steps": work.preset.steps * work.preset.epochs,
            "losses_compared": sum(len(each) for each in broken.losses.values()),
            "differing": differing,
            "seconds_lost": {"worst": round(max(lost), 2), "median": round(statistics.median(lost), 2)},
            "checkpoint_period_s": round(work.period_s, 2),
        },
    ).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
