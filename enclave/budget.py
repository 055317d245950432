"""How much a session may send to its person's browser, and how fast requests may come: plain counting, no I/O.

Counted is everything that goes out through the doorway, JupyterLab's own files included: who counts by kind has to believe what
the server says of its answers, and a cell can become the server. When it is used up, large answers stop; a trickle goes on, so that
work can be saved and the session ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from enclave.messages import Level

HEAD = 256
"""Bytes that the head of an answer counts for, besides what its server wrote."""
FRAME = 14
"""Bytes of the largest head of a websocket message."""
TRICKLE_LIMIT = 64 * 2**10
"""Bytes of the largest answer or message that still passes when the budget is used up."""
TRICKLE_RATE = 4 * 2**10
"""Bytes a second that all of them together may then have: 350 MB in a day at most."""
TRICKLE_BURST = 512 * 2**10
PATIENCE = 30.0
"""Seconds that an answer may have to wait for its part of the trickle; what would wait longer is refused."""
WARN_SHARE = 0.8
"""Of the budget: when this much is used, hub and person are told."""

Clock = Callable[[], float]


class Bucket:
    """A token bucket: `rate` a second, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Clock = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._then = burst, clock()

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now

    def take(self, amount: float = 1.0) -> bool:
        """Take `amount` if it is there."""
        self._refill()
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def owe(self, amount: float = 0.0) -> float:
        """Take `amount` in any case; seconds to wait until it is paid."""
        self._refill()
        self._left -= amount
        return max(0.0, -self._left / self._rate)


@dataclass
class Budget:
    """One session's bytes towards the browser."""

    limit: int
    """Bytes."""
    tell: Callable[[Level, int], None] = lambda _level, _spent: None
    """Called once for every level that is reached, with what is spent by then."""
    clock: Clock = time.monotonic
    spent: int = field(default=0, init=False)
    level: Level = field(default=Level.FINE, init=False)

    def __post_init__(self) -> None:
        self._trickle = Bucket(TRICKLE_RATE, TRICKLE_BURST, self.clock)

    def allows(self, announced: int) -> bool:
        """Whether an answer or message of `announced` bytes may go out."""
        if self.level is not Level.USED_UP:
            return True
        return announced <= TRICKLE_LIMIT and self._trickle.owe() < PATIENCE

    def spend(self, amount: int) -> float:
        """Count `amount` bytes that go out; seconds to wait before more may follow."""
        self.spent += amount
        if self.level is Level.USED_UP:
            return self._trickle.owe(amount)
        if self.spent >= self.limit:
            self._reach(Level.USED_UP)
        elif self.level is Level.FINE and self.spent >= self.limit * WARN_SHARE:
            self._reach(Level.WARNING)
        return 0.0

    def _reach(self, level: Level) -> None:
        self.level = level
        self.tell(level, self.spent)
