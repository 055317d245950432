"""What a program does with files of a mount, timed: run on a node as `python3 -I -S files.py KIND …`, it answers with JSON.

`seconds` ends before the bytes are looked at; `sha256` is of what was read, so that whoever asked can tell whether it is right.
It needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PIECE = 2**20
_OPEN = os.O_RDONLY | os.O_CLOEXEC

Timed = tuple[float, "hashlib._Hash", int]
"""Seconds, digest and number of bytes."""


def _fill(path: str, memory: memoryview, offset: int) -> None:
    """Fill `memory` from the file's `offset`. Raises EOFError when the file ends before."""
    descriptor = os.open(path, _OPEN)
    try:
        _read(descriptor, memory, offset)
    finally:
        os.close(descriptor)


def _read(descriptor: int, memory: memoryview, offset: int) -> None:
    done = 0
    while done < len(memory):
        size = os.preadv(descriptor, [memory[done : done + _PIECE]], offset + done)
        if size == 0:
            raise EOFError(f"the file ends at {offset + done}")
        done += size


def read(path: str) -> Timed:
    """The whole file in order, 1 MiB at a time."""
    whole = bytearray(Path(path).stat().st_size)
    begun = time.perf_counter()
    _fill(path, memoryview(whole), 0)
    return time.perf_counter() - begun, hashlib.sha256(whole), len(whole)


def scattered(path: str, threads: str, seed: str) -> Timed:
    """The whole file in pieces of 1 MiB, in random order, by several threads."""
    whole = bytearray(Path(path).stat().st_size)
    offsets = list(range(0, len(whole), _PIECE))
    random.Random(int(seed)).shuffle(offsets)  # noqa: S311  (an order, no secret)
    descriptor = os.open(path, _OPEN)
    begun = time.perf_counter()
    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(lambda at: _read(descriptor, memoryview(whole)[at : at + _PIECE], at), offsets))
    took = time.perf_counter() - begun
    os.close(descriptor)
    return took, hashlib.sha256(whole), len(whole)


def small(folder: str, order: str, readers: str, seed: str) -> Timed:
    """Every file of a folder, listed first: in the order of the listing (`listed`) or another (`shuffled`), by several readers."""
    begun = time.perf_counter()
    names = os.listdir(folder)  # noqa: PTH208  (the names are what is wanted)
    if order == "shuffled":
        random.Random(int(seed)).shuffle(names)  # noqa: S311
    with ThreadPoolExecutor(int(readers)) as pool:
        read = dict(zip(names, pool.map(lambda name: Path(folder, name).read_bytes(), names), strict=True))
    took = time.perf_counter() - begun
    return took, digest(read[name] for name in sorted(read)), sum(map(len, read.values()))


def write(path: str, megabytes: str, seed: str) -> Timed:
    """A new file, 1 MiB at a time, until it is safe at the destination and closed."""
    draw = random.Random(int(seed))  # noqa: S311  (test data)
    data = memoryview(b"".join(draw.randbytes(_PIECE) for _ in range(int(megabytes))))
    begun = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    for at in range(0, len(data), _PIECE):
        os.write(descriptor, data[at : at + _PIECE])
    os.fsync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - begun, hashlib.sha256(data), len(data)


def digest(pieces: Iterable[bytes]) -> hashlib._Hash:
    """Of all pieces, one after the other."""
    found = hashlib.sha256()
    for each in pieces:
        found.update(each)
    return found


KINDS: dict[str, Callable[..., Timed]] = {"read": read, "scattered": scattered, "small": small, "write": write}


def main() -> int:
    """Do what the arguments say."""
    seconds, found, size = KINDS[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(json.dumps({"seconds": seconds, "sha256": found.hexdigest(), "size": size}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
