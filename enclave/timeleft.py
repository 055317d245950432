"""How much time a session has left, and what its person reads about it and the storage: plain values and a clock, no I/O.

The deadline and what administrators have to say come from the hub alone; when a browser last spoke, the doorway tells. Nothing in
the sandbox can change any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from enclave.messages import Notice, PulseAnswer
from enclave.storage import PAUSED, Told
from enclave.wording import Clock

WARN_S = (1800, 600, 300)
"""Seconds before the end at which the person is warned."""
SAVE_S = (300, 60)
"""Seconds before the end at which the Lab saves all documents."""
ASK_S, ASK_LINK_S, ASK_PAUSED_S = 15.0, 5.0, 2.0
"""Seconds until a page asks again: for the time alone, where rates are shown, and during a cut."""
IDLE_WARN_S = 600.0
"""Seconds before the end of an idle session from which on its page says so."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a page of the session shows about time and storage; the Lab's part (enclave/labextension) shows it as it is."""

    left: str
    warning: str = ""
    urgent: bool = False
    step: str = ""
    """Another one than before: the warning is to be said aloud."""
    save: str = ""
    """Another one than before: all documents are to be saved."""
    notices: tuple[Notice, ...] = ()
    storage: Told = Told()
    again_s: float = ASK_S
    """Seconds until the page asks again."""
    silent: str
    """What is shown instead where the session does not answer."""


@dataclass
class TimeLeft:
    """One session's time."""

    deadline: float
    """Seconds since the epoch."""
    clock: Clock = field(default_factory=Clock)
    idle_s: float | None = None
    """After so many seconds in which nothing goes on the session ends; None: never."""
    notices: tuple[Notice, ...] = ()
    storage: Callable[[], Told] = Told
    """How the storage does now; it has to answer at once."""
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _spoken: float = field(init=False)
    _lively: float = field(init=False)
    _moved: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._spoken = self._lively = self.monotonic()

    def spoke(self) -> None:
        """A browser spoke."""
        self._spoken = self._lively = self.monotonic()

    def busy(self) -> None:
        """A kernel runs something."""
        self._lively = self.monotonic()

    def browser_s(self) -> float:
        """Seconds since a browser last spoke; the session's beginning counts as such."""
        return self.monotonic() - self._spoken

    def idle_for(self) -> float:
        """Seconds since anything went on."""
        return self.monotonic() - self._lively

    def told(self, answer: PulseAnswer) -> None:
        """What the hub said is so from now on."""
        self.deadline, self.notices, self.idle_s = answer.deadline, answer.notices, answer.idle_s
        self._moved.set()

    def idle(self) -> bool:
        """Whether nothing went on for as long as the site allows."""
        return self.idle_s is not None and self.idle_for() >= self.idle_s

    async def over(self) -> None:
        """Returns when the time is up, wherever the deadline has moved by then."""
        while (left := self.deadline - self.now()) > 0:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), left)

    def view(self) -> View:
        """What the person reads now."""
        left = max(0.0, self.deadline - self.now())
        minutes = math.ceil(left / 60)
        text = self.clock.minutes if minutes < 60 else self.clock.hours
        storage = self.storage()
        shown = View(
            left=_fill(text, minutes % 60 if minutes >= 60 else minutes, minutes // 60),
            notices=self.notices,
            storage=storage,
            again_s=ASK_PAUSED_S if storage.line == PAUSED else ASK_LINK_S if storage.line else ASK_S,
            silent=self.clock.silent,
        )
        step = next((each for each in sorted({*WARN_S, *SAVE_S}) if left <= each), None)
        if step is not None:
            saves = left <= max(SAVE_S)
            # A deadline that has moved is another one: what was done for the old one does not count.
            name = f"{step}-{round(self.deadline)}"
            sentence = self.clock.saving if saves else self.clock.ends
            return msgspec.structs.replace(
                shown, warning=_fill(sentence, minutes), urgent=saves, step=name, save=name if saves else ""
            )
        if self.idle_s is not None and (rest := self.idle_s - self.idle_for()) <= min(IDLE_WARN_S, self.idle_s / 2):
            sentence = _fill(self.clock.idle, math.ceil(max(0.0, rest) / 60))
            return msgspec.structs.replace(shown, warning=sentence, step="idle")
        return shown


def _fill(text: str, minutes: int, hours: int = 0) -> str:
    return text.replace("{hours}", str(hours)).replace("{minutes}", str(minutes))
