"""In which order somebody goes through a folder's files, and which he will want next: pure."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

_REMEMBERED = 4
"""Steps that are looked back on."""
_ENOUGH = 2
"""Files of a folder in a row, before any is fetched that was not asked for."""


class Order:
    """One folder's small files: `names` as the folder was listed."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._orders = [list(names), sorted(names)]
        self._places = [{name: place for place, name in enumerate(order)} for order in self._orders]
        self._last: bytes | None = None
        self._steps: list[collections.deque[bool]] = [collections.deque(maxlen=_REMEMBERED) for _ in self._orders]
        self._count = 0

    def __contains__(self, name: bytes) -> bool:
        return name in self._places[0]

    def __len__(self) -> int:
        return len(self._places[0])

    def without(self, name: bytes) -> None:
        """It is not to be fetched any more."""
        for places in self._places:
            places.pop(name, None)

    def opened(self, name: bytes) -> None:
        """Somebody has opened it."""
        if name not in self or name == self._last:
            return
        if self._last is not None:
            for places, steps in zip(self._places, self._steps, strict=True):
                steps.append(places[name] - places.get(self._last, -2) in {1, 2})
        self._last = name
        self._count += 1

    @property
    def in_order(self) -> bool:
        """Whether one of the orders is followed; else any file may be next."""
        return any(sum(steps) * 2 >= len(steps) > 0 for steps in self._steps)

    def ahead(self) -> Iterator[bytes]:
        """Who may be next, the likeliest first: nobody before there is a habit."""
        if self._count < _ENOUGH or self._last is None:
            return
        best = max(range(len(self._orders)), key=lambda index: sum(self._steps[index]))
        order, places = self._orders[best], self._places[best]
        begin = places.get(self._last, -1) + 1
        for at in range(begin, len(order)):
            if order[at] in places:
                yield order[at]
        if not self.in_order:
            for at in range(begin - 1):
                if order[at] in places:
                    yield order[at]
