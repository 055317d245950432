"""How much is measured: the quick form shows in minutes on two cores that it works, the full one is what a centre quotes."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a figure depends on besides machine and link."""

    full: bool
    trips: int = 10
    """Round trips a destination. OpenSSH 9.8 turns away for a while who connects and leaves unknown 15 times in a row."""
    files: int
    """Images in a pass."""
    side: int
    """What a network sees of an image, pixels; a multiple of 32, 64 at least."""
    batch: int = 8
    readers: int = 8
    """Threads that read and decode ahead of the network."""
    ahead: int = 4
    """Batches that may lie ready."""
    rounds: int
    """Passes of each network on each side."""
    cases: tuple[int, int]
    """Of the training and of its validation."""
    size: tuple[int, int, int]
    """Voxels of a phantom, about."""
    at_once: int = 4
    train_rounds: int = 1
    epochs: int
    steps: int
    """An epoch."""
    patch: int
    patches: int
    """In a step."""
    spacing_mm: float
    keep: bool
    """Whether each training writes its best network beside its cases, as a person's would."""
    before_s: float
    cut_s: float
    after_s: float
    """Inference before the cut, the cut, and at least so long after it."""


QUICK = Settings(
    full=False, files=48, side=128, rounds=2, cases=(4, 1), size=(96, 96, 64), epochs=2, steps=3, patch=32, patches=2,
    spacing_mm=5.0, keep=False, before_s=5.0, cut_s=5.0, after_s=5.0,
)  # fmt: skip
FULL = Settings(
    full=True, files=500, side=256, rounds=5, cases=(84, 21), size=(256, 256, 160), epochs=40, steps=250, patch=96, patches=4,
    spacing_mm=1.5, keep=True, before_s=120.0, cut_s=300.0, after_s=120.0,
)  # fmt: skip
"""84 + 21 cases and a cut of 300 s are the study's."""
