"""Which way of computing a network is fastest on a device: found by trying, before a training's first step."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ctlab.checkpoints import own_random
from ctlab.loss import dice_ce
from ctlab.network import Preset
from ctlab.precision import Precision
from ctlab.text import say
from ctlab.ways import WAYS, Forward, Way, chosen, compiled, taken
from phrases import N_

WARM, TIMED = 2, 5
"""Passes before the clock runs, in which kernels are chosen and compiled, and passes whose median counts."""
MOST_S = 240.0
"""After which no further way is begun."""


@dataclass(frozen=True)
class Tried:
    """What a trial has shown."""

    times: Mapping[Way, float]
    """Seconds that a pass takes, forward and backward."""
    failed: Mapping[Way, str] = field(default_factory=dict)
    """The ways that can't be used here, and why."""
    seconds: float = 0.0
    """That it took."""

    @property
    def way(self) -> Way | None:
        """The one to use; None when none was or could be tried."""
        return chosen(self.times)

    def text(self) -> str:
        """A sentence for people."""
        found = [f"{way} {self.times[way]:.3f} s" if way in self.times else f"{way} –" for way in WAYS
                 if way in self.times or way in self.failed]  # fmt: skip
        return say(
            N_("The GPU computes this network fastest as {way}, found by trying for {seconds:.0f} s (a pass: {found}); the "
               "training keeps to that."),
            way=self.way, seconds=self.seconds, found=", ".join(found),
        )  # fmt: skip


def tried(
    network: torch.nn.Module,
    preset: Preset,
    where: torch.device,
    precision: Precision,
    ways: Sequence[Way] = WAYS,
    *,
    compiling: Callable[[torch.nn.Module], Forward] = compiled,
    clock: Callable[[], float] = time.perf_counter,
) -> Tried:
    """Times `ways` on copies of `network` with random patches of the preset's size. The network learns nothing by it, and the
    random numbers of this process stay where they were: so a training is the same whether or not this was done before it.

    A way that can't be used, because a compiler is missing or memory is short, is one of the outcomes.
    """
    times, failed, begun = {}, {}, clock()
    with own_random(where):
        images = torch.rand(preset.batch, 1, *(preset.patch,) * 3, device=where) * 2.0 - 1.0
        truth = torch.zeros(preset.batch, *(preset.patch,) * 3, dtype=torch.uint8, device=where)
        for way in ways:
            if clock() - begun > MOST_S:
                break
            try:
                times[way] = _timed(taken(copy.deepcopy(network).train(), way, compiling), images, truth, precision, clock)
            # Whatever a compiler, or what looks for one, may raise.
            except Exception as error:  # noqa: BLE001
                failed[way] = f"{type(error).__name__}: {error}"
    if any(way.compiled for way in ways):
        # The copies' programs hold the copies.
        torch.compiler.reset()
    if where.type == "cuda":
        torch.cuda.empty_cache()
    return Tried(times, failed, clock() - begun)


def _timed(forward: Forward, images: torch.Tensor, truth: torch.Tensor, precision: Precision, clock: Callable[[], float]) -> float:
    where, found = images.device, []
    for _ in range(WARM + TIMED):
        begun = clock()
        with torch.autocast(where.type, precision.dtype, enabled=precision.mixed):
            logits = forward(images)
        dice_ce(logits, truth).backward()  # type: ignore[no-untyped-call]  # in torch's types
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        found.append(clock() - begun)
    return statistics.median(found[WARM:])
