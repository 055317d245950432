"""One thread's events: descriptors that can be read or written, times that have come, work for the end of a round."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

Action = Callable[[], None]


class Timer:
    """Something that will be done, unless it is cancelled."""

    __slots__ = ("action",)

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        """It will not be done."""
        self.action = None


class Loop:
    """An epoll loop. Pure Python, because a packet costs tens of microseconds here and a multiple of that in asyncio."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._soon: list[Action] = []
        self.exit_code: int | None = None

    def watch(self, descriptor: int, action: Callable[[int], None], events: int) -> None:
        """Call `action` with the events whenever some of `events` (select.EPOLLIN…) come; 0 leaves errors and the end only."""
        if descriptor in self._actions:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._actions[descriptor] = action

    def forget(self, descriptor: int) -> None:
        """Watch it no longer; it has to be open still."""
        if self._actions.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, action: Action) -> Timer:
        """Do `action` once, in `seconds`."""
        timer = Timer(action)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), timer))
        return timer

    def soon(self, action: Action) -> None:
        """Do `action` once, at the end of this round."""
        self._soon.append(action)

    def stop(self, code: int) -> None:
        """End `run` after this round; the first code counts."""
        if self.exit_code is None:
            self.exit_code = code

    def run(self) -> int:
        """Until `stop`; the code."""
        while self.exit_code is None:
            self.round()
        return self.exit_code

    def round(self) -> None:
        """Wait for what comes first, and do it."""
        wait = -1.0
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if self._soon:
            wait = 0.0
        elif self._timers:
            wait = max(0.0, self._timers[0][0] - time.monotonic())
        for descriptor, events in self._epoll.poll(wait):
            # An earlier action of this round may have closed it.
            action = self._actions.get(descriptor)
            if action is not None:
                action(events)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.action is not None:
                timer.action()
        work, self._soon = self._soon, []
        for each in work:
            each()

    def close(self) -> None:
        """Free the loop's own descriptor."""
        self._epoll.close()
