"""How pictures flow to the browser: how good they may be on this line, and what was sent. Plain counting, no I/O.

The browser asks for each frame, has at most two questions open, and asks for the newest state only: there is nothing to throw away.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

REMEMBERED = 500
"""Frames over which times are told."""

QUALITIES = ((120.0, 85), (300.0, 70), (float("inf"), 50))
"""JPEG quality by how long the last frames took from asking to seeing, in ms."""


@dataclass(frozen=True)
class Stats:
    """What a viewer has sent so far; times in ms over its last frames, 0 before there is one."""

    frames: int
    exact_frames: int
    pictures: int
    bytes: int
    kernel_ms: float
    """Median time to make a frame."""
    kernel_ms_p95: float
    seen_ms: float
    """Median time from asking to seeing, by the browser's own clock."""
    seen_ms_p95: float
    quality: int
    """Of the next JPEG."""


@dataclass
class Flow:
    """One viewer's counts."""

    frames: int = 0
    exact_frames: int = 0
    pictures: int = 0
    bytes: int = 0
    _made: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _seen: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def sent(self, sizes: list[int], made_ms: float, *, exact: bool) -> None:
        """A frame went out: bytes of each picture, and how long it took to make them."""
        self.frames += 1
        self.exact_frames += exact
        self.pictures += len(sizes)
        self.bytes += sum(sizes)
        self._made.append(made_ms)

    def seen(self, took_ms: float) -> None:
        """The browser says how long its last frame took from asking to seeing."""
        if took_ms > 0:
            self._seen.append(took_ms)

    @property
    def quality(self) -> int:
        """The JPEG quality that this line bears."""
        recent = list(self._seen)[-5:]
        usual = percentile(recent, 50)
        return next(quality for limit, quality in QUALITIES if usual <= limit)

    def stats(self) -> Stats:
        """All of it."""
        made, seen = list(self._made), list(self._seen)
        return Stats(
            frames=self.frames,
            exact_frames=self.exact_frames,
            pictures=self.pictures,
            bytes=self.bytes,
            kernel_ms=percentile(made, 50),
            kernel_ms_p95=percentile(made, 95),
            seen_ms=percentile(seen, 50),
            seen_ms_p95=percentile(seen, 95),
            quality=self.quality,
        )


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    if not values:
        return 0.0
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]
