"""Before a training begins: what a step takes, found by trying one, and when all of it will be over."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import torch

from ctlab.checkpoints import own_random
from ctlab.loss import dice_ce
from ctlab.memory import free
from ctlab.network import KINDS, Preset, fewest
from ctlab.precision import Precision
from ctlab.regrid import Shape
from ctlab.text import say
from ctlab.windows import OVERLAP
from phrases import N_

COPIES = 3
"""Of the weights: themselves, their gradients, and SGD's momentum."""
EXCHANGED = 2
"""And where several processes compute together: a row of all weights, and one of all gradients."""
BACKWARD = 3.0
"""A step does this many times the work of a forward pass."""
LEAST, COARSEST = 32, 16
"""The smallest side of a patch that shows enough of a body to be worth training on, and by how much a side shrinks at least."""
GB = 1e9


@dataclass(frozen=True)
class Trial:
    """One step, tried on random patches."""

    seconds: float
    activations: int
    """Bytes that the forward pass leaves for the backward pass."""


def trial(network: torch.nn.Module, preset: Preset, where: torch.device, precision: Precision) -> Trial:
    """Tries a step of the size of `preset` on a copy of `network`, which learns nothing by it.

    Raises torch.OutOfMemoryError when `where` hasn't the memory for it.
    """
    tried = copy.deepcopy(network).train()
    with own_random(where):
        image = torch.randn(preset.batch, 1, *(preset.patch,) * 3, device=where)
        truth = torch.zeros(preset.batch, *(preset.patch,) * 3, dtype=torch.uint8, device=where)
        seconds, activations = 0.0, 0
        # The first warms up: memory is asked for, kernels are chosen.
        for _ in range(2):
            kept: dict[int, int] = {}
            begun = time.perf_counter()
            with torch.autograd.graph.saved_tensors_hooks(partial(_noted, kept), lambda tensor: tensor):
                with torch.autocast(where.type, precision.dtype, enabled=precision.mixed):
                    logits = tried(image)
                loss = dice_ce(logits, truth)
            loss.backward()  # type: ignore[no-untyped-call]  # in torch's types
            # The value has to be there: a GPU goes on computing after the call.
            float(loss.detach())
            seconds, activations = time.perf_counter() - begun, sum(kept.values())
            tried.zero_grad(set_to_none=True)
    return Trial(seconds, activations)


def _noted(kept: dict[int, int], tensor: torch.Tensor) -> torch.Tensor:
    """A storage that several tensors share counts once."""
    storage = tensor.untyped_storage()
    kept[storage.data_ptr()] = storage.nbytes()
    return tensor


def smaller(preset: Preset) -> Preset | None:
    """The same training in less memory: fewer patches at a time in more passes, and one by one smaller ones; None at the end."""
    parts = [part for part in range(fewest(preset), preset.batch) if preset.batch % part == 0]
    if parts:
        return replace(preset, batch=parts[-1], accumulate=preset.accumulate * preset.batch // parts[-1])
    kind = KINDS[preset.kind]
    side = preset.patch - max(kind.stride, COARSEST)
    return replace(preset, patch=side) if side >= max(kind.least, LEAST) else None


@dataclass(frozen=True)
class Forecast:
    """What a training will take."""

    preset: Preset
    precision: Precision
    weights: int
    """How many."""
    memory: int
    """Bytes that it needs on the device, at least."""
    room: int | None
    """Bytes that the device has for it; None where the system doesn't tell."""
    epoch_s: float
    """Seconds for one epoch, with its validation."""

    def text(self, *, seconds_left: float, done: int = 0) -> str:
        """For people: memory, time, and whether it ends within `seconds_left`; `done` epochs are over already."""
        left = self.preset.epochs - done
        lines = [
            say(
                N_("{kind}, {weights:.1f} million weights, {count} patches of {side} x {side} x {side} voxels at a time, {dtype}: "
                   "at least {memory:.1f} GB of {room} GB memory."),
                kind=self.preset.kind, weights=self.weights / 1e6, count=self.preset.batch, side=self.preset.patch,
                dtype=self.precision, memory=self.memory / GB, room="?" if self.room is None else f"{self.room / GB:.1f}",
            ),
            say(
                N_("An epoch takes about {epoch}; {epochs} epochs end at about {clock}."),
                epoch=in_words(self.epoch_s), epochs=left, clock=clock(left * self.epoch_s),
            ),
        ]  # fmt: skip
        if left * self.epoch_s > seconds_left:
            lines.append(
                say(
                    N_("The session ends before that, at {clock}: about {fit} epochs fit. "
                       "Train again in the next session to go on."),
                    clock=clock(seconds_left), fit=int(seconds_left / self.epoch_s),
                )
            )  # fmt: skip
        return "\n".join(lines)


def forecast(
    preset: Preset,
    tried: Trial,
    *,
    precision: Precision,
    network: torch.nn.Module,
    judge: Sequence[Shape],
    room: int | None,
    processes: int = 1,
) -> Forecast:
    """From one pass that was tried to the whole training; `judge`: shapes of what is validated on, `room` as in Forecast.

    Several processes share the passes of a step; one of them validates.
    """
    weights = sum(each.numel() for each in network.parameters())
    size = sum(each.numel() * each.element_size() for each in network.parameters())
    steps_s = preset.steps * preset.accumulate * tried.seconds / processes
    windows = sum(math.prod(_windows(length, preset.patch) for length in shape) for shape in judge)
    judging_s = windows * tried.seconds / preset.batch / BACKWARD
    memory = size * (COPIES + bool(preset.average) + EXCHANGED * (processes > 1)) + tried.activations
    return Forecast(preset, precision, weights, memory, room, steps_s + judging_s)


def room(where: torch.device) -> int | None:
    """Bytes of memory that are free on `where`; None where the system doesn't tell."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    return free()


def in_words(seconds: float) -> str:
    """A time for people, in the unit in which they would say it."""
    if seconds < 90:
        return say(N_("{seconds:.0f} s"), seconds=seconds)
    minutes = round(seconds / 60)
    if minutes < 90:
        return say(N_("{minutes} min"), minutes=minutes)
    return say(N_("{hours} h {minutes} min"), hours=minutes // 60, minutes=minutes % 60)


def _windows(length: int, side: int) -> int:
    """Of the sliding window along one axis."""
    return 1 + max(0, math.ceil((length - side) / (side * (1.0 - OVERLAP))))


def clock(seconds: float) -> str:
    """The time of day in `seconds`, with the date when it is another day."""
    now = datetime.now().astimezone()
    then = now + timedelta(seconds=min(seconds, 1e9))
    return then.strftime("%H:%M" if then.date() == now.date() else "%Y-%m-%d %H:%M")
