"""What a training has been through, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ctlab.files import whole

HISTORY = "history.json"
"""File beside the checkpoint: a list of epochs."""


@dataclass(frozen=True)
class Epoch:
    """One pass of training followed by validation."""

    number: int
    """Counted from 1."""
    loss: float
    """Mean training loss of the epoch's steps: Dice loss plus cross-entropy."""
    dice: Mapping[int, float]
    """Label value to mean Dice over the validation cases, on the working grid; NaN where no case has the label."""
    seconds: float
    """Training and validation together."""
    waited: float = 0.0
    """Part of the training's seconds in which the device waited for data, 0 to 1."""
    learning_rate: float = 0.0
    """Of the epoch's last step."""
    patches_s: float = 0.0
    """Patches a second, validation left out."""
    ended: float = 0.0
    """When, in seconds since 1970 (Unix time)."""
    processes: int = 1
    """How many made its steps together, each on a device of its own."""
    way: str = ""
    """In which the device computed the network, where that was tried (`ctlab.ways`)."""

    @property
    def mean_dice(self) -> float:
        """The mean over the labels that a validation case has; 0 when there is none."""
        known = [value for value in self.dice.values() if value == value]  # noqa: PLR0124  (NaN is the one value unlike itself)
        return sum(known) / len(known) if known else 0.0


def plain(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """`history` as lists, dictionaries, numbers and texts."""
    return [asdict(epoch) for epoch in history]


def from_plain(stored: Sequence[Mapping[str, Any]]) -> list[Epoch]:
    """The inverse of `plain`; label values may have become texts, as JSON makes them."""
    return [Epoch(**{**each, "dice": {int(value): float(score) for value, score in each["dice"].items()}}) for each in stored]


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Writes HISTORY into `folder`; it appears whole or not at all."""
    with whole(folder / HISTORY) as draft:
        draft.write_text(json.dumps(plain(history)) + "\n", "utf-8")


def read_history(folder: Path) -> tuple[Epoch, ...]:
    """The epochs in `folder`; none when no training has ended an epoch there. Raises ValueError when the file isn't ours."""
    path = folder / HISTORY
    return tuple(from_plain(json.loads(path.read_text("utf-8")))) if path.is_file() else ()
