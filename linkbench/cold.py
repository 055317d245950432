"""Files that no cache of this machine holds: written, flushed and dropped, and looked at whether they are gone.

posix_fadvise(DONTNEED) needs no rights. It drops clean pages of a disk's file and of a mount's; it can't drop what lies in memory
by nature (tmpfs), and knows nothing of a disk's own cache or of the caches of the cloud, which stay as warm as they are.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WRITERS = 8
"""At once: over a link each waits for several round trips."""


@dataclass(frozen=True)
class Pages:
    """How many pages there are, and how many lie in memory."""

    all: int = 0
    resident: int = 0

    def __add__(self, other: Pages) -> Pages:
        return Pages(self.all + other.all, self.resident + other.resident)

    @property
    def share(self) -> float | None:
        """0 to 1; None of no pages."""
        return self.resident / self.all if self.all else None


def write(path: Path, data: bytes) -> Pages:
    """Writes a new file and drops it from the page cache; what was left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        return _drop(descriptor)
    finally:
        os.close(descriptor)


def write_all(files: Iterable[tuple[Path, bytes]]) -> Pages:
    """`write` for each, several at once."""
    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(pool.map(lambda each: write(*each), files), Pages())


def drop(folder: Path) -> Pages:
    """Drops every file below `folder`; what was left."""
    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(pool.map(drop_file, (each for each in sorted(folder.rglob("*")) if each.is_file())), Pages())


def drop_file(path: Path) -> Pages:
    """Drops one file; what was left."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _drop(descriptor)
    finally:
        os.close(descriptor)


def _drop(descriptor: int) -> Pages:
    # What is not on the disk yet would stay.
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return _resident(descriptor)


def _resident(descriptor: int) -> Pages:
    """By mincore(2), which tells the truth to whoever may write to the file; no pages where it does not answer."""
    size = os.fstat(descriptor).st_size
    if not size:
        return Pages()
    count = -(-size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * count)()
    try:
        mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    except OSError:
        return Pages()
    with mapped:
        view = np.frombuffer(mapped, np.uint8)
        failed = _LIBC.mincore(ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), found)
        # A mapping that somebody looks at can't be closed.
        del view
    return Pages() if failed else Pages(count, sum(each & 1 for each in found))


_LIBC = ctypes.CDLL(None, use_errno=True)
