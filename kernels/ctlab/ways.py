"""The ways to compute a network: the order of its values in memory, and whether torch compiles it (then dropout draws others)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

GAIN = 0.03
"""A way has to be faster by that part than a simpler one: less is what two runs of the same differ by."""
WORTH_S = 3600.0
"""How long a training has to be ahead before compiling is tried: that takes a minute or two, and again in each session."""

Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Way:
    """One way to compute the same."""

    channels_last: bool = False
    """Whether the channels of a voxel lie side by side in memory (torch's channels_last_3d), else the voxels of a channel."""
    compiled: bool = False
    """Whether torch.compile makes the device's programs for this network."""

    def __str__(self) -> str:
        names = ("channels_last_3d" if self.channels_last else "contiguous", "torch.compile" if self.compiled else "")
        return " + ".join(filter(None, names))


WAYS = (Way(), Way(channels_last=True), Way(compiled=True), Way(channels_last=True, compiled=True))
"""All, the simplest first."""


def candidates(left_s: float) -> Sequence[Way]:
    """What to try before a training that takes `left_s` more."""
    return WAYS if left_s >= WORTH_S else tuple(each for each in WAYS if not each.compiled)


def chosen(times: Mapping[Way, float]) -> Way | None:
    """The simplest of the ways that no other beats clearly; `times` has the seconds of those that worked. None of none."""
    best = min(times.values(), default=0.0)
    return next((way for way in WAYS if way in times and times[way] * (1.0 - GAIN) <= best), None)


def compiled(network: torch.nn.Module) -> Forward:
    """`network`, as torch compiles it when it is first called. What that raises then, depends on what is missing."""
    made: Forward = torch.compile(network, dynamic=False)
    return made


def taken(network: torch.nn.Module, way: Way, compiling: Callable[[torch.nn.Module], Forward] = compiled) -> Forward:
    """Computes `network`, whose weights are laid out anew, in that way. What it learns is the network's own."""
    layout = torch.channels_last_3d if way.channels_last else torch.contiguous_format
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's types
    return compiling(network) if way.compiled else network
