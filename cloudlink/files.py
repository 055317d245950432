"""Files and folders that sshfs holds open, under numbers of ours that outlive the connection on which they were opened."""

from __future__ import annotations

import collections
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudlink.wire import Attrs, Open

if TYPE_CHECKING:
    from cloudlink.fetch import Item
    from cloudlink.session import Call

_NAMES_LIMIT = 500_000
"""Names of one folder that are remembered for a listing that a cut interrupts."""


@dataclass(eq=False, slots=True)
class OpenFile:
    """One open file or folder.

    `known` is what the server last said of it while no write was under way; `touched` says that something was written since.
    """

    number: int
    path: bytes
    flags: Open
    folder: bool = False
    remote: bytes = b""
    """The server's handle, on the connection that orders everything; empty while there is none."""
    known: Attrs | None = None
    touched: bool = False
    low: int = 0
    """Bytes that the file has at least, by what was acknowledged."""
    failed: int = 0
    """Where the farthest write that failed would have ended: how much of it is there nobody knows."""
    writing: int = 0
    """Writes and truncations that are not acknowledged."""
    closing: bool = False
    lazy: bool = False
    """It was answered for out of what was fetched ahead; the server will be asked when that is not enough."""
    content: Item | None = None
    broken: str = ""
    """Why every further use is an error; empty while it is none."""
    orphan: bool = False
    """Its name is gone or another's: it can't be opened again."""
    appends: bool = field(init=False)
    """Whether each write goes to its end."""
    resumed: bool = False
    asked: collections.deque[Call] = field(default_factory=collections.deque)
    """READDIRs that are not answered yet, the first one first."""
    seen: set[int] = field(default_factory=set)
    """Hashes of the names that a listing has given."""

    def __post_init__(self) -> None:
        self.appends = bool(self.flags & Open.APPEND)

    def learn(self, attrs: Attrs) -> None:
        """What the server says of it now, with nothing written that it may not know of."""
        if not self.writing and not self.lazy:
            self.known, self.touched = attrs, False
            self.low, self.failed = attrs.size or 0, 0

    def wrote(self, end: int) -> None:
        """A write up to `end` was acknowledged."""
        self.touched = True
        self.low = max(self.low, end)

    def may_have_written(self, end: int) -> None:
        """A write up to `end` failed, after a part of it perhaps."""
        self.touched = True
        self.failed = max(self.failed, end)

    def resized(self, size: int | None) -> None:
        """It was made to have so many bytes; None: something else about it was set."""
        self.touched = True
        if size is not None:
            self.low, self.failed = size, 0

    def changed(self, now: Attrs, high: int) -> str:
        """Why what is there `now` can't be what was open; empty when it can. `high` is where unacknowledged writes end, at most."""
        if not now.is_file and now.mode is not None:
            return "it is no file any more"
        if not self.touched and not self.writing:
            same = self.known is None or (now.size, now.mtime) == (self.known.size, self.known.mtime)
            return "" if same else "it was changed by somebody else meanwhile"
        size = now.size or 0
        if size < self.low:
            return "what was written is not all there"
        if size > max(self.low, self.failed, high):
            return "it has grown by somebody else's doing"
        return ""

    def fresh(self, names: list[bytes]) -> list[bool]:
        """Which of these names of a listing sshfs has not had yet; from now on it has."""
        if self.too_long:
            return [True] * len(names)
        hashes = [hash(name) for name in names]
        new = [not self.resumed or each not in self.seen for each in hashes]
        self.seen.update(hashes)
        return new

    @property
    def too_long(self) -> bool:
        """Whether the listing is too long to be taken up after a cut."""
        return len(self.seen) > _NAMES_LIMIT


class Files:
    """All of them, by number and by path."""

    def __init__(self) -> None:
        self._files: dict[int, OpenFile] = {}
        self._by_path: defaultdict[bytes, list[OpenFile]] = defaultdict(list)
        self._last = 0

    def __iter__(self) -> Iterator[OpenFile]:
        return iter(list(self._files.values()))

    def __len__(self) -> int:
        return len(self._files)

    def add(self, path: bytes, flags: Open, remote: bytes, *, folder: bool = False) -> OpenFile:
        """One more, under a number that no other has."""
        while True:
            self._last = (self._last + 1) & 0xFFFFFFFF
            if self._last not in self._files:
                break
        file = OpenFile(self._last, path, flags, folder, remote)
        self._files[file.number] = file
        self._by_path[path].append(file)
        return file

    def get(self, number: int) -> OpenFile | None:
        """The file of that number."""
        return self._files.get(number)

    def remove(self, file: OpenFile) -> None:
        """It is closed."""
        if self._files.pop(file.number, None) is not None:
            self._forget_path(file)

    def at(self, path: bytes) -> list[OpenFile]:
        """Those open under this path, orphans aside."""
        return [file for file in self._by_path.get(path, ()) if not file.orphan]

    def same(self, file: OpenFile) -> Collection[OpenFile]:
        """`file`, and whatever else is open under its path."""
        others = self._by_path.get(file.path, ())
        return (file,) if len(others) == 1 and others[0] is file else {file, *self.at(file.path)}

    def gone(self, path: bytes) -> None:
        """The name was removed, or another file has it now."""
        for file in self.at(path):
            file.orphan = True

    def renamed(self, old: bytes, new: bytes) -> None:
        """`old`, and all below it, is called `new` now."""
        if old == new:
            return
        below = old + b"/"
        moved = [file for file in self._files.values() if not file.orphan and (file.path + b"/").startswith(below)]
        self.gone(new)
        for file in moved:
            self._forget_path(file)
            file.path = new + file.path[len(old) :]
            self._by_path[file.path].append(file)

    def _forget_path(self, file: OpenFile) -> None:
        others = self._by_path[file.path]
        others.remove(file)
        if not others:
            del self._by_path[file.path]
