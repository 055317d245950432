"""How long a device has nothing to do because its data are not there yet."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Waits:
    """Seconds for which `where` waited.

    A CPU waits for as long as the program does. A GPU goes on computing while the program waits for data, so its own clock is
    asked: from the end of what it was given before to the arrival of the data in its memory (CUDA events).
    """

    def __init__(self, where: torch.device) -> None:
        self._where = where
        self._seconds = 0.0
        self._open: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def data(self) -> Iterator[None]:
        """What is done inside is waiting for data."""
        if self._where.type != "cuda":
            begun = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - begun
            return
        stream = torch.cuda.current_stream(self._where)
        free, there = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]  # in torch's types
        free.record(stream)
        yield
        there.record(stream)
        with self._lock:
            self._open.append((free, there))

    @property
    def seconds(self) -> float:
        """So far; of a GPU, what it has come to by now. Any thread may ask."""
        with self._lock:
            while self._open and self._open[0][1].query():  # type: ignore[no-untyped-call]
                free, there = self._open.popleft()
                self._seconds += free.elapsed_time(there) / 1000.0
            return self._seconds

    def share(self, of_seconds: float) -> float:
        """Which part of `of_seconds` that is, 0 to 1."""
        seconds = self.seconds
        return seconds / max(of_seconds, seconds, 1e-9)

    def start(self, seconds: float = 0.0) -> None:
        """Counts from `seconds` on."""
        with self._lock:
            self._open.clear()
            self._seconds = seconds
