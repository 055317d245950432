"""Work that goes on in a thread of its own when nobody waits for it, and can be looked at again, held and ended."""

from __future__ import annotations

import ctypes
import gc
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ctlab.examples import Examples
from ctlab.history import Epoch

Result = TypeVar("Result")
Event = str | Epoch
"""A sentence for people, or the end of an epoch."""


@dataclass(frozen=True)
class Progress:
    """Where a training is."""

    epoch: int
    """The one that is under way, counted from 1."""
    epochs: int
    step: int
    """Made of it."""
    steps: int
    loss: float
    """Of the last step; NaN before the first."""
    device: str
    """What computes, `GPU` or `CPU`."""
    waited: float
    """Part of the time for which that waits because its next patches aren't there yet, 0 to 1."""
    left_s: float
    """Seconds to the end of all epochs."""
    session_s: float
    """Seconds to the end of the session."""

    @property
    def share(self) -> float:
        """What is done of all, 0 to 1."""
        return min(1.0, (self.epoch - 1 + self.step / self.steps) / self.epochs)


class Control:
    """What a person wishes of a training; it is asked between two steps."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = self._stopped = False

    @property
    def paused(self) -> bool:
        """Whether it is to wait."""
        return self._paused

    @property
    def stopped(self) -> bool:
        """Whether it is to save what it has, and end."""
        return self._stopped

    def pause(self) -> None:
        """Wait before the next step."""
        self._set(paused=True)

    def go_on(self) -> None:
        """Wait no longer."""
        self._set(paused=False)

    def stop(self) -> None:
        """End before the next step."""
        self._set(stopped=True)

    def wait(self, seconds: float) -> None:
        """Returns when it is not paused, or is to end, or `seconds` have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._paused, seconds)

    def _set(self, *, paused: bool | None = None, stopped: bool = False) -> None:
        with self._changed:
            self._paused = self._paused if paused is None else paused
            self._stopped = self._stopped or stopped
            self._changed.notify_all()


class Run(Generic[Result]):
    """One piece of work in its thread, with all that it has said."""

    def __init__(self, asked: str, work: Callable[[Run[Result]], Result]) -> None:
        """Starts `work`; `asked` tells what was asked for, so that the same can be found again."""
        self.asked, self.control = asked, Control()
        self.progress: Callable[[], Progress] | None = None
        """Where it is; the work sets it when it knows."""
        self.names: Mapping[int, str] = {}
        """Of the labels."""
        self.examples: Examples | None = None
        """Slices with prediction and truth, of the last validation."""
        self.board: object = None
        """What a notebook shows of it."""
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._over = False
        # Ends with the process: what it has saved is what counts.
        self._thread = threading.Thread(target=self._run, args=(work,), name="ctlab-training", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._over

    @property
    def error(self) -> BaseException | None:
        """What ended it, where it did not end well."""
        return self._error

    def tell(self, event: Event) -> None:
        """Remembers `event` for everybody who looks."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def events(self) -> list[Event]:
        """All that it has said by now."""
        with self._changed:
            return list(self._events)

    def wait(self, seconds: float) -> bool:
        """Whether it is over, at the latest after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over, seconds)

    def follow(self) -> Iterator[Event]:
        """All events from the first, until it is over."""
        seen = 0
        while True:
            with self._changed:
                while len(self._events) == seen and not self._over:
                    self._changed.wait()
                new = self._events[seen:]
            if not new:
                return
            yield from new
            seen += len(new)

    def result(self) -> Result:
        """What came out. Raises what the work raised, or RuntimeError when it is not over."""
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise RuntimeError("this is not over")
        return self._result

    def _run(self, work: Callable[[Run[Result]], Result]) -> None:
        # A notebook keeps for ever what it showed: this, but not the networks, optimizers and patches that the work had in hand.
        try:
            self._result = work(self)
            if self.progress is not None:
                last = self.progress()
                self.progress = lambda: last
        except BaseException as error:  # noqa: BLE001  (raised again where somebody waits)
            self._error, self.progress = error, None
            for each in _behind(error):
                traceback.clear_frames(each.__traceback__)
        # They hang together in circles; Python would look for those when gigabytes have gathered.
        gc.collect()
        _give_back()
        with self._changed:
            self._over = True
            self._changed.notify_all()


def _behind(error: BaseException) -> Iterator[BaseException]:
    """`error`, and what it was raised for, and so on: each holds the frames that it passed."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in seen:
            seen.append(each)
            waiting += [each.__cause__, each.__context__]
            yield each


def _give_back() -> None:
    """What was freed goes back to the system: glibc keeps what a thread had, gigabytes after a training."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


class Runs(Generic[Result]):
    """The work that is under way in this process, by the folder that it writes to; what has ended stays until it was fetched."""

    def __init__(self) -> None:
        self._runs: dict[Path, Run[Result]] = {}
        self._lock = threading.Lock()

    def find(self, folder: Path) -> Run[Result] | None:
        """What is under way in `folder`, or has ended there and was not fetched."""
        with self._lock:
            return self._runs.get(folder.resolve())

    def start(self, folder: Path, asked: str, work: Callable[[Run[Result]], Result]) -> Run[Result]:
        """Starts `work` in `folder`."""
        with self._lock:
            run = self._runs[folder.resolve()] = Run(asked, work)
            return run

    def fetched(self, folder: Path) -> None:
        """The next one in `folder` begins anew."""
        with self._lock:
            self._runs.pop(folder.resolve(), None)
