"""Round trip and bandwidth as they were measured lately, and how much has to be under way for that."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

_SLICE = 0.1
_KEPT = 50
"""Slices: 5 s."""
_STEADY = 5
"""Slices that make a habit."""
_RTT_KEPT = 10.0
LEAST = 2_097_152
"""Bytes under way before anything is known: OpenSSH's window for one connection, 8 ms at 260 MB/s."""


class Meter:
    """Fed with every answer; `window` is what should be under way. Bytes, seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slices: collections.deque[int] = collections.deque([0], maxlen=_KEPT)
        self._slice_ends = clock() + _SLICE
        self.round_trip = 0.0
        """The shortest of the last ten seconds; 0 while none is known."""
        self._rtt_since = 0.0

    def answered(self, size: int, seconds: float) -> None:
        """An answer of `size` bytes came `seconds` after it was asked for."""
        now = self._clock()
        if not self.round_trip or seconds < self.round_trip or now - self._rtt_since > _RTT_KEPT:
            self.round_trip, self._rtt_since = seconds, now
        if now >= self._slice_ends:
            # Slices in which nothing came say nothing about the line.
            self._slices.append(0)
            self._slice_ends = now + _SLICE
        self._slices[-1] += size

    @property
    def rate(self) -> float:
        """Bytes a second in the best tenth of the last seconds."""
        return max(self._slices) / _SLICE

    @property
    def steady_rate(self) -> float:
        """Bytes a second of the last half second in which something came: one fast tenth is no habit."""
        whole = list(self._slices)[-_STEADY - 1 : -1]
        return sum(whole) / (_STEADY * _SLICE)

    def window(self, most: int) -> int:
        """Twice round trip times rate, so that it grows as long as the line gives more; LEAST at least, and `most` at most."""
        return min(most, max(LEAST, int(2 * self.round_trip * self.rate)))
