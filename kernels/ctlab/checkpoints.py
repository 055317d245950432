"""The state of a training that is under way, on disk: the newest two, each whole or not there.

A file is called `state-STEP-DIGEST.pt`: how many steps it has seen, and the first half of the SHA-256 of its bytes. So a file
that a broken line or a full disk has damaged is known as such, and the one before it counts.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from ctlab.files import whole

EVERY_S = 300.0
"""Seconds between two states: what a killed training loses at most. A V-Net's state is 0.4 GB."""
KEEP = 2
DELAYS = 4
"""The last states, of which the slowest tells how long the next may take until it is on disk."""
MARGIN = 2.0
"""One after the other takes up to this many times as long: a storage is shared with others."""
STATE = re.compile(r"state-(\d{9})-([0-9a-f]{32})\.pt")
"""Their names."""

State = Mapping[str, Any]
"""Tensors, numbers, texts, and lists and dictionaries of them: what can be loaded without running code."""


def snapshot(state: State) -> State:
    """A copy of `state` in memory that later steps don't change; tensors on the CPU."""
    return {key: _copy(value) for key, value in state.items()}


def _copy(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(each) for each in value)
    return value


def random_state(where: torch.device) -> dict[str, torch.Tensor]:
    """Where the process's own random numbers are, from which a network's dropout draws on `where`."""
    state = {"cpu": torch.get_rng_state()}
    return {**state, "cuda": torch.cuda.get_rng_state(where)} if where.type == "cuda" else state


def restore_random(where: torch.device, state: Mapping[str, torch.Tensor]) -> None:
    """Goes on drawing where `state` was taken."""
    torch.set_rng_state(state["cpu"])
    if where.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], where)


def own_random(where: torch.device) -> AbstractContextManager[None]:
    """What draws inside leaves the random numbers of this process as they were; GPUs that aren't `where` are not touched."""
    kept: AbstractContextManager[None] = torch.random.fork_rng(devices=[where] if where.type == "cuda" else [])
    return kept


class Keeper:
    """Keeps the states of one training in `folder`, a new one when `every_s` have passed."""

    def __init__(self, folder: Path, *, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._every_s, self._clock = folder, every_s, clock
        self._last = self._asked = clock()
        self._delays: deque[float] = deque(maxlen=DELAYS)
        self.kept: int | None = None
        """Steps that the newest state has seen that was saved or loaded."""

    def due(self, ahead_s: float = 0.0) -> bool:
        """Whether it is time for the next snapshot, if no other can be taken for the next `ahead_s` seconds, or for as long as it
        is since this was asked before.

        A kill at the worst moment, just before the next state is on disk, is to lose no more than the period. So it is time MARGIN
        times as much earlier as a state took from its snapshot until it was on disk; how long the first will take nobody knows. But
        a storage that takes half of the period for one is given that time.
        """
        now = self._clock()
        ahead_s, self._asked = max(ahead_s, now - self._asked), now
        delay_s = min(MARGIN * max(self._delays, default=self._every_s), self._every_s / 2)
        return now + ahead_s - self._last >= self._every_s - delay_s

    def taken(self) -> float:
        """A snapshot is taken now; returns when that is, for `save`."""
        self._last = self._asked = self._clock()
        return self._last

    def save(self, steps: int, state: State, taken: float) -> Path:
        """Writes `state`, which has seen `steps` steps when it was `taken`, and removes all but the newest KEEP.

        Raises OSError when the folder doesn't take it; what was there before is still there then.
        """
        stream = io.BytesIO()
        torch.save(dict(state), stream)
        content = stream.getbuffer()
        path = self._folder / f"state-{steps:09d}-{hashlib.sha256(content).hexdigest()[:32]}.pt"
        with whole(path) as draft:
            draft.write_bytes(content)
        self.kept = steps
        self._delays.append(self._clock() - taken)
        for old in self._files()[KEEP:]:
            old.unlink(missing_ok=True)
        return path

    def load(self) -> dict[str, Any] | None:
        """The newest state that is undamaged, on the CPU; None when there is none."""
        for path in self._files():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest().startswith(path.stem.rpartition("-")[2]):
                # weights_only: a state is data, and may not run code.
                state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                self.kept = int(path.name.split("-")[1])
                return state
        return None

    def clear(self) -> None:
        """Removes every state: the training is over."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """The newest first."""
        return sorted((path for path in self._folder.iterdir() if STATE.fullmatch(path.name)), reverse=True)
