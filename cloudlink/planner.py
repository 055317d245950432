"""Which blocks of a file will be asked for next, by those that were: pure, and without a clock.

Counted is in blocks, because requests of one reader come slightly out of order. A *run* is a row of neighbouring blocks, upwards or
downwards; runs that begin at equal distances are a *stride*. Nothing is planned for a reader who jumps about, and no further than
his earlier runs went.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass

_RUNS = 8
"""Readers of one file that are told apart."""
_HISTORY = 4
_SLACK = 2
"""Blocks by which a request may be ahead of its turn."""


@dataclass(slots=True)
class _Run:
    start: int
    low: int
    high: int
    """The blocks that were asked for, both ends included."""
    direction: int = 0

    @property
    def length(self) -> int:
        return self.high - self.low + 1

    def takes(self, block: int) -> bool:
        """Whether `block` goes on with this run."""
        if self.low <= block <= self.high:
            return True
        if self.direction >= 0 and self.high < block <= self.high + _SLACK:
            self.direction, self.high = 1, block
            return True
        if self.direction <= 0 and self.low - _SLACK <= block < self.low:
            self.direction, self.low = -1, block
            return True
        return False


class Planner:
    """One open file's readers."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._lengths: collections.deque[int] = collections.deque(maxlen=_HISTORY)
        self._starts: collections.deque[int] = collections.deque(maxlen=3)
        self._before = 1
        """Blocks of the run before the newest."""

    def note(self, first: int, last: int, window: int) -> Sequence[int]:
        """A request for the blocks `first` to `last`: what to fetch beyond them, `window` blocks at most, the next one first.

        Blocks before the file's beginning are left out; where it ends, the caller knows.
        """
        run = next((run for run in self._runs if run.takes(first)), None)
        if run is None:
            run = self._begin(first)
            run.high = max(run.high, last)
            return self._by_stride(run, window)
        run.high = max(run.high, last)
        self._runs.remove(run)
        self._runs.append(run)
        ahead = self._ahead(run, window)
        if run.direction < 0:
            return range(run.low - 1, max(-1, run.low - 1 - ahead), -1)
        if run.direction == 0 and run.low > 0:
            return ()
        return range(run.high + 1, run.high + 1 + ahead)

    def _begin(self, block: int) -> _Run:
        self._before = self._runs[-1].length if self._runs else 1
        if len(self._runs) >= _RUNS:
            self._lengths.append(self._runs.pop(0).length)
        run = _Run(block, block, block)
        self._runs.append(run)
        self._starts.append(block)
        return run

    def _ahead(self, run: _Run, window: int) -> int:
        """As far as the runs before went, or as far again as this one has come."""
        if self._stride() and run.length <= self._before:
            return min(window, self._before - run.length)
        expected = max(self._lengths, default=0)
        if run.length <= expected and len(self._lengths) == _HISTORY:
            return min(window, expected - run.length)
        return min(window, run.length)

    def _stride(self) -> int:
        """The distance of the last three beginnings where it is the same, else 0."""
        if len(self._starts) < 3:
            return 0
        one, two, three = self._starts
        return three - two if two - one == three - two else 0

    def _by_stride(self, run: _Run, window: int) -> Sequence[int]:
        stride = self._stride()
        if not stride:
            # Whoever begins at the beginning mostly goes on.
            return range(run.high + 1, run.high + 2)[:window] if run.low == 0 else ()
        width = min(self._before, abs(stride))
        turns = max(1, min(window // width, 4))
        planned = [run.start + stride * turn + at for turn in range(1, turns + 1) for at in range(width)]
        return [block for block in planned if block >= 0][:window]
