"""Reading pieces of a file that is far away: many are asked for at once, because each answer takes its time and none takes long."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

Place = tuple[int, int]
"""Offset and length in bytes."""

AT_ONCE = 16
"""Requests under way: FUSE itself lets twelve wait in its background, and more threads than these changed nothing."""
GAP = 2**13
"""Places with no more than this between them are read in one go: a request costs more than some bytes."""
LONGEST_RUN = 2**17
"""Bytes of one request: what the kernel reads ahead of a file, so that a longer one would be two round trips. Asking the kernel to
fetch all of it in advance (posix_fadvise) took twice as long as these threads on a line of 8 ms."""


class FarFile(io.RawIOBase):
    """A file for reading by pieces. Its last `tail` bytes are read once, when it is opened; seeking there asks nobody."""

    def __init__(self, path: Path, tail: int) -> None:
        """Raises OSError when it can't be opened, EOFError when it ends too early."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._length = os.fstat(self._descriptor).st_size
        self._at = 0
        self._tail_at = max(0, self._length - tail)
        self._tail = self.read_at(self._tail_at, self._length - self._tail_at)

    def __len__(self) -> int:
        return self._length

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`. Raises EOFError when the file ends before."""
        if offset < 0 or length < 0 or offset + length > self._length:
            raise EOFError(offset)
        parts = []
        while length > 0:
            part = os.pread(self._descriptor, length, offset)
            if not part:
                raise EOFError(offset)
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_many(self, places: Sequence[Place]) -> Iterator[tuple[Place, bytes]]:
        """Each of `places` (offset, length) with its bytes, in the file's order, as they arrive.

        Raises EOFError when one lies beyond the end, OSError when the folder is gone.
        """
        runs = runs_of(places)
        for run, content in zip(runs, _pool(os.getpid()).map(self._read_run, runs), strict=True):
            for offset, length in run:
                yield (offset, length), content[offset - run[0][0] :][:length]

    def read_long(self, place: Place) -> bytes:
        """All of a long place, by requests as long as the kernel's, at once. Raises as `read_many` does."""
        offset, length = place
        pieces = [(at, min(LONGEST_RUN, offset + length - at)) for at in range(offset, offset + length, LONGEST_RUN)]
        return b"".join(_pool(os.getpid()).map(lambda piece: self.read_at(*piece), pieces))

    def _read_run(self, run: Sequence[Place]) -> bytes:
        begin, end = run[0][0], max(offset + length for offset, length in run)
        return self.read_at(begin, end - begin)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where `read` goes on."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As for every file. Raises EOFError before the beginning."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if start + offset < 0:
            raise EOFError(start + offset)
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        """As for every file; what lies in the tail comes from memory."""
        length = min(len(buffer), max(0, self._length - self._at))
        if self._at >= self._tail_at:
            begin = self._at - self._tail_at
            content = self._tail[begin : begin + length]
        else:
            content = self.read_at(self._at, length)
        buffer[:length] = content
        self._at += length
        return length

    def close(self) -> None:
        """Gives the descriptor back."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def runs_of(places: Sequence[Place]) -> list[list[Place]]:
    """`places` in the file's order, those that lie near each other together, up to LONGEST_RUN bytes."""
    runs: list[list[Place]] = []
    for offset, length in sorted(set(places)):
        near = runs and offset <= sum(runs[-1][-1]) + GAP and offset + length <= runs[-1][0][0] + LONGEST_RUN
        if near:
            runs[-1].append((offset, length))
        else:
            runs.append([(offset, length)])
    return runs


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    """Of this process: a child that was forked has none of its parent's threads."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="far")
