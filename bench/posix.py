"""Random operations of programs on files, and a folder to do them in: what the differential test compares two folders by.

A step says all that it does in itself, and is possible (if perhaps refused) after any other: steps can be left out.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

FOLDERS = ("", "d", "e")
NAMES = ("a", "b", "d/a", "d/b", "e/a")
SLOTS = 4
"""Open files at a time."""
LARGEST = 1 << 20
"""Bytes of the longest file."""
HIDDEN = ".fuse_hidden"
"""What libfuse calls a file that is open and has no name any more."""
NAMESPACE = frozenset({"open", "unlink", "rename", "mkdir", "rmdir", "replace", "truncate", "utime", "chmod"})
"""Verbs after which nobody can say, when the line broke in between, whether they were done."""
_MODES = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of a program."""

    verb: str
    path: str = ""
    other: str = ""
    slot: int = 0
    offset: int = 0
    size: int = 0
    flags: int = 0


def _data(step: Step) -> bytes:
    """What is written: other bytes at every place, and with every step that is not the very same."""
    return random.Random(repr(step)).randbytes(step.size)  # noqa: S311  (test data)


def _extent(draw: random.Random, largest: int) -> tuple[int, int]:
    """Offset and size: mostly small, at times a large piece, often at the edges of pages and of SFTP's 32 KiB."""
    size = draw.choice((draw.randint(1, 100), draw.randint(1, 40_000), draw.randint(1, largest // 3), 4096, 32_768))
    offset = draw.choice((0, draw.randint(0, largest - size), 4096 * draw.randint(0, (largest - size) // 4096)))
    return offset, size


def _open(draw: random.Random) -> Step:
    flags = draw.choice(_MODES)
    if flags != os.O_RDONLY:
        flags |= draw.choice((0, os.O_CREAT, os.O_CREAT | os.O_TRUNC, os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_CREAT | os.O_APPEND))
    return Step("open", draw.choice(NAMES), slot=draw.randrange(SLOTS), flags=flags)


def _piece(verb: str) -> Callable[[random.Random], Step]:
    def drawn(draw: random.Random) -> Step:
        offset, size = _extent(draw, LARGEST)
        return Step(verb, slot=draw.randrange(SLOTS), offset=offset, size=size)

    return drawn


def _named(verb: str) -> Callable[[random.Random], Step]:
    return lambda draw: Step(verb, draw.choice(NAMES), size=draw.choice((0, draw.randint(0, LARGEST), 4096 * draw.randint(0, 200))))


def _rename(draw: random.Random) -> Step:
    one, other = draw.sample(FOLDERS[1:] if draw.random() < 0.1 else NAMES, 2)
    return Step("rename", one, other)


def _on_slot(verb: str) -> Callable[[random.Random], Step]:
    return lambda draw: Step(verb, slot=draw.randrange(SLOTS))


def _on_folder(verb: str) -> Callable[[random.Random], Step]:
    return lambda draw: Step(verb, draw.choice(FOLDERS))


_DRAWS: dict[str, Callable[[random.Random], Step]] = {
    "open": _open,
    "rename": _rename,
    **{verb: _piece(verb) for verb in ("pread", "pwrite", "read", "write", "map", "ftruncate", "seek")},
    **{verb: _named(verb) for verb in ("truncate", "stat", "whole", "unlink", "replace")},
    **{verb: _on_slot(verb) for verb in ("close", "fsync", "fstat")},
    **{verb: _on_folder(verb) for verb in ("list", "mkdir", "rmdir")},
    "utime": lambda draw: Step("utime", draw.choice(NAMES), size=draw.randint(1, 2**30)),
    "chmod": lambda draw: Step("chmod", draw.choice(NAMES), flags=draw.choice((0o600, 0o644, 0o640, 0o755))),
    "switch": lambda _: Step("switch"),
}
TREE = {
    "open": 14, "close": 6, "pread": 8, "pwrite": 10, "read": 4, "write": 6, "seek": 2, "map": 3, "ftruncate": 3, "truncate": 2,
    "fsync": 2, "fstat": 3, "stat": 6, "whole": 6, "list": 8, "unlink": 4, "rename": 5, "replace": 4, "mkdir": 2, "rmdir": 1,
    "utime": 1, "chmod": 1,
}  # fmt: skip
"""How often each verb comes among names and open files; `switch`, to the second mount, is added by whoever has one."""
ONE_FILE = {"pread": 10, "pwrite": 12, "map": 5, "ftruncate": 4, "fstat": 2, "whole": 2, "fsync": 1, "write": 2, "read": 2}
"""As fsx does: one file, through several handles, and nothing else."""


def steps(draw: random.Random, count: int, *, switching: bool = False) -> list[Step]:
    """`count` steps or a few more, of one of two kinds: among names, or on one file."""
    if draw.random() < 0.3:
        first = [Step("open", "a", slot=slot, flags=os.O_RDWR | os.O_CREAT) for slot in range(SLOTS)]
        weights = ONE_FILE
    else:
        first = [
            Step("mkdir", "d"),
            Step("mkdir", "e"),
            *(Step("replace", name, size=draw.randint(0, 200_000)) for name in NAMES[:3]),
        ]
        weights = TREE | ({"switch": 1} if switching else {})
    verbs = draw.choices(list(weights), list(weights.values()), k=count)
    return first + [_DRAWS[verb](draw) for verb in verbs]


class Side:
    """A folder and the files that are open in it. With several roots these are mounts of one folder, used one after the other."""

    def __init__(self, *roots: Path) -> None:
        self._roots = list(roots)
        self._files: dict[int, int] = {}
        self._verbs: dict[str, Callable[[Step], object]] = {
            "open": self._open,
            "close": self._close,
            "pread": lambda step: _seen(os.pread(self._file(step), step.size, step.offset)),
            "pwrite": lambda step: os.pwrite(self._file(step), _data(step), step.offset),
            "read": lambda step: _seen(os.read(self._file(step), step.size)),
            "write": lambda step: os.write(self._file(step), _data(step)),
            "seek": lambda step: os.lseek(self._file(step), step.offset, os.SEEK_SET),
            "map": self._map,
            "ftruncate": lambda step: os.ftruncate(self._file(step), step.size),
            "fsync": lambda step: os.fsync(self._file(step)),
            "fstat": lambda step: _state(os.fstat(self._file(step))),
            "truncate": lambda step: os.truncate(self._at(step.path), step.size),
            "stat": lambda step: _state(self._at(step.path).stat()),
            "whole": lambda step: _seen(self._at(step.path).read_bytes()),
            "list": lambda step: names(self._at(step.path)),
            "unlink": lambda step: self._at(step.path).unlink(),
            "rename": lambda step: self._at(step.path).rename(self._at(step.other)) and None,
            "replace": self._replace,
            "mkdir": lambda step: self._at(step.path).mkdir(),
            "rmdir": lambda step: self._at(step.path).rmdir(),
            "utime": self._utime,
            "chmod": lambda step: self._at(step.path).chmod(step.flags),
            "switch": self._switch,
        }

    def do(self, step: Step) -> str:
        """Do one step; what a program would have seen: `ok` and what it got, or the error's name."""
        try:
            return f"ok {self._verbs[step.verb](step)}"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))

    def close(self) -> str:
        """Close whatever is open; `ok`, or the first error's name."""
        said = [self.do(Step("close", slot=slot)) for slot in sorted(self._files)]
        return next((each for each in said if not each.startswith("ok")), "ok")

    def _at(self, path: str) -> Path:
        return self._roots[0] / path

    def _file(self, step: Step) -> int:
        if step.slot not in self._files:
            raise OSError(errno.EBADF, "not open")
        return self._files[step.slot]

    def _open(self, step: Step) -> None:
        if step.slot in self._files:
            raise OSError(errno.EMFILE, "open already")
        self._files[step.slot] = os.open(self._at(step.path), step.flags, 0o644)

    def _close(self, step: Step) -> None:
        file = self._file(step)
        del self._files[step.slot]
        os.close(file)

    def _map(self, step: Step) -> str:
        file = self._file(step)
        size = os.fstat(file).st_size
        if size == 0:
            return "empty"
        with mmap.mmap(file, size, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
            return _seen(mapped[step.offset : step.offset + step.size])

    def _replace(self, step: Step) -> None:
        target = self._at(step.path)
        fresh = target.with_name(f"new-{target.name}")
        with fresh.open("wb") as stream:
            stream.write(_data(step))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(target)

    def _utime(self, step: Step) -> int:
        os.utime(self._at(step.path), (step.size, step.size))
        return int(self._at(step.path).stat().st_mtime)

    def _switch(self, _: Step) -> str:
        said = self.close()
        self._roots.append(self._roots.pop(0))
        return said


def _seen(data: bytes) -> str:
    return f"{len(data)} {zlib.crc32(data):08x}"


def _state(found: os.stat_result) -> str:
    """Kind, permissions, and a file's size."""
    return f"{found.st_mode:o} {found.st_size if stat.S_ISREG(found.st_mode) else ''}"


def names(folder: Path) -> list[str]:
    """What is in a folder, without what libfuse hides there."""
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith(HIDDEN))


def hides(folder: Path) -> bool:
    """Whether libfuse keeps a file there that has no name any more: the folder can't be removed then, where a local one could."""
    try:
        return any(each.name.startswith(HIDDEN) for each in folder.iterdir())
    except OSError:
        return False


def tree(root: Path) -> dict[str, str]:
    """Each path below `root` → what is there, as text: permissions, and length and checksum of a file.

    Raises OSError when something can't be listed or read.
    """

    def refused(error: OSError) -> None:
        raise error

    found: dict[str, str] = {}
    for folder, _, files in os.walk(root, onerror=refused):
        paths = [Path(folder, name) for name in files if not name.startswith(HIDDEN)]
        found |= {str(path.relative_to(root)): f"{_state(path.stat())} {_seen(path.read_bytes())}" for path in paths}
        found[str(Path(folder).relative_to(root))] = _state(Path(folder).stat())
    return found
