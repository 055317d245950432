"""A program that reads or writes on a mount without pause and checks every byte: `steady.py KIND PATH`, until its input ends.

Each line of its output is one thing done: `ok`, `wrong` or the error's name, and when it began and ended (seconds of the machine's
monotonic clock). The last line of a writer is `left SHA256`: what its file has to be. It needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

BLOCK = 32_768
BLOCKS = 256
"""Of the file that is read, and of the one that is written: 8 MiB."""
_SAFE_EVERY = 16
"""Blocks that are written between two fsyncs."""
_PAUSE = 0.2
"""Seconds after an error, so that whoever fails doesn't do it a thousand times a second."""


def block(number: int, version: int = 0) -> bytes:
    """What has to be in block `number` when it was written for the `version`th time."""
    return random.Random(number * 1_000_003 + version).randbytes(BLOCK)  # noqa: S311  (test data)


def whole(versions: dict[int, int]) -> bytes:
    """A file of BLOCKS blocks; block → version, 0 where it is not said."""
    return b"".join(block(number, versions.get(number, 0)) for number in range(BLOCKS))


def _close(file: int) -> None:
    """Close what an error came from: another one says nothing new."""
    with contextlib.suppress(OSError):
        os.close(file)


class Reader:
    """One file that is open all the time; no read is answered by the page cache."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = os.open(path, os.O_RDONLY)
        self.draw = random.Random(1)  # noqa: S311

    def once(self) -> bool:
        """Read one block; whether it was right."""
        number = self.draw.randrange(BLOCKS)
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(self.file, BLOCK, number * BLOCK) == block(number)

    def again(self) -> None:
        """Open it again after an error, as a person would."""
        self.file, old = os.open(self.path, os.O_RDONLY), self.file
        _close(old)

    def left(self) -> str:
        """Nothing is left behind."""
        return ""


class Writer:
    """One file that is open all the time: blocks are written over each other, and now and then made safe."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.versions: dict[int, int] = {}
        self.count = 0
        self.file = os.open(path, os.O_RDWR)
        self.draw = random.Random(2)  # noqa: S311

    def once(self) -> bool:
        """Write one block, or make them safe and read one back."""
        self.count += 1
        if self.count % _SAFE_EVERY == 0:
            os.fsync(self.file)
            number = self.draw.randrange(BLOCKS)
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(self.file, BLOCK, number * BLOCK) == block(number, self.versions.get(number, 0))
        number = self.draw.randrange(BLOCKS)
        # Said before it is done: a write that fails may have been done.
        self.versions[number] = self.count
        return os.pwrite(self.file, block(number, self.count), number * BLOCK) == BLOCK

    def again(self) -> None:
        """Open it again after an error."""
        self.file, old = os.open(self.path, os.O_RDWR), self.file
        _close(old)

    def left(self) -> str:
        """What the file has to be."""
        os.fsync(self.file)
        os.close(self.file)
        return hashlib.sha256(whole(self.versions)).hexdigest()


class Replacer:
    """A small file that is replaced as a careful editor does: new name, fsync, rename; then read by its name."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.count = 0

    def once(self) -> bool:
        """Replace it once and look."""
        self.count += 1
        fresh, data = self.path.with_suffix(".new"), block(0, self.count)
        with fresh.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self.path)
        return self.path.read_bytes() == data

    def again(self) -> None:
        """Nothing stays open."""

    def left(self) -> str:
        """What it has to be."""
        return hashlib.sha256(block(0, self.count)).hexdigest()


KINDS: dict[str, Callable[[str], Reader | Writer | Replacer]] = {"reader": Reader, "writer": Writer, "replacer": Replacer}


def steady(worker: Reader | Writer | Replacer, ended: threading.Event, say: Callable[[str], None]) -> None:
    """Work until `ended`, and say how each thing went."""
    failed = False
    while not ended.is_set():
        begun = time.monotonic()
        try:
            if failed:
                worker.again()
            outcome = "ok" if worker.once() else "wrong"
            failed = False
        except OSError as error:
            outcome, failed = errno.errorcode.get(error.errno or 0, "error"), True
        say(f"{outcome} {begun:.3f} {time.monotonic():.3f}")
        if outcome != "ok":
            time.sleep(_PAUSE)
    try:
        say(f"left {worker.left()}")
    except OSError as error:
        say(f"left {errno.errorcode.get(error.errno or 0, 'error')}")


def main() -> int:
    """Begin, and go on until the input ends."""
    ended = threading.Event()
    worker = KINDS[sys.argv[1]](sys.argv[2])

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    threading.Thread(target=wait, daemon=True).start()
    steady(worker, ended, say)
    return 0


if __name__ == "__main__":
    sys.exit(main())
