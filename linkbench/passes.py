"""One pass over a folder of images: read and decode ahead, compute, each timed."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from linkbench.images import Grey, decoded
from linkbench.results import Pass


class Reader:
    """Reads and decodes images in threads of its own, ahead of whoever takes them, in the order of their names."""

    def __init__(self, folder: Path, *, side: int, readers: int, ahead: int) -> None:
        """`ahead`: how many images may lie ready or be under way. Side 0: they are read and not decoded."""
        self.read_s = self.decode_s = 0.0
        self._side, self._ahead = side, ahead
        self._pool = ThreadPoolExecutor(readers)
        self._lock = threading.Lock()
        self._paths = [folder / name for name in sorted(os.listdir(folder))]  # noqa: PTH208  (the names are what is wanted)

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Grey | None]:
        """Each image; None in its place where none is decoded. Raises OSError when one can't be read."""
        waiting = iter(self._paths)
        under_way: deque[Future[Grey | None]] = deque()
        try:
            for path in waiting:
                under_way.append(self._pool.submit(self._one, path))
                if len(under_way) >= self._ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _one(self, path: Path) -> Grey | None:
        begun = time.perf_counter()
        data = path.read_bytes()
        there = time.perf_counter()
        found = decoded(data, self._side) if self._side else None
        with self._lock:
            self.read_s += there - begun
            self.decode_s += time.perf_counter() - there
        return found


def timed_reading(folder: Path, *, side: int, readers: int, ahead: int) -> float:
    """Seconds to read every image, and to decode it where `side` is not 0, without computing."""
    begun = time.perf_counter()
    for _ in Reader(folder, side=side, readers=readers, ahead=ahead):
        pass
    return time.perf_counter() - begun


def timed_pass(
    network: torch.nn.Module, folder: Path, where: torch.device, *, side: int, batch: int, readers: int, ahead: int
) -> Pass:
    """`network` over every image of `folder`; `ahead` counts batches."""
    begun = time.perf_counter()
    reader = Reader(folder, side=side, readers=readers, ahead=ahead * batch)
    compute_s = waited_s = 0.0
    images = iter(reader)
    asked = time.perf_counter()
    while gathered := [each for _, each in zip(range(batch), images, strict=False) if each is not None]:
        there = time.perf_counter()
        compute(network, gathered, where)
        waited_s += there - asked
        asked = time.perf_counter()
        compute_s += asked - there
    return Pass(
        whole_s=time.perf_counter() - begun, compute_s=compute_s, waited_s=waited_s, read_s=reader.read_s, decode_s=reader.decode_s,
        files=len(reader),
    )  # fmt: skip


def compute(network: torch.nn.Module, images: list[Grey], where: torch.device) -> None:
    """The network over a batch, to its end."""
    with torch.inference_mode():
        network(torch.from_numpy(np.stack(images)[:, None]).to(where))
        if where.type == "cuda":
            torch.cuda.synchronize(where)
