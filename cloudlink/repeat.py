"""What a request that was made before a cut, and again after it, has come to: pure decisions.

The first of the two may have been done or not; its answer is lost. A request whose repetition changes nothing is simply repeated.
Of the others the second answer says which it was, sometimes with one more look; where nothing can say it, the caller gets an error.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from cloudlink.requests import Request
from cloudlink.wire import HARDLINK, POSIX_RENAME, Kind, Open, Status


class Verdict(enum.Enum):
    """What to tell the caller."""

    AS_ANSWERED = enum.auto()
    DONE = enum.auto()
    """The first one was done: success."""
    LOOK = enum.auto()
    """The second path (the first where there is one only) decides: `after_look`."""
    UNKNOWN = enum.auto()
    """Nobody can say."""


def look_at(request: Request) -> tuple[Kind, bytes]:
    """What to ask, and of which path, when the verdict is LOOK."""
    if request.kind is Kind.SYMLINK:
        return Kind.READLINK, request.target
    return Kind.LSTAT, request.target or request.path


def after_repeat(request: Request, status: int) -> Verdict:
    """By the answer to the second one. Success says that the first was not done, or that doing it twice is the same."""
    if status == Status.OK:
        return Verdict.AS_ANSWERED
    if request.kind in {Kind.REMOVE, Kind.RMDIR}:
        # sshfs asks for what it has just seen there; the end is the same in any case.
        return Verdict.DONE if status == Status.NO_SUCH_FILE else Verdict.AS_ANSWERED
    if request.kind is Kind.RENAME or request.extension == POSIX_RENAME:
        return Verdict.LOOK if status == Status.NO_SUCH_FILE else Verdict.AS_ANSWERED
    exclusive = request.kind is Kind.OPEN and request.flags & Open.EXCL
    if exclusive or request.kind in {Kind.MKDIR, Kind.SYMLINK} or request.extension == HARDLINK:
        return Verdict.LOOK if status == Status.FAILURE else Verdict.AS_ANSWERED
    return Verdict.AS_ANSWERED


def after_look(request: Request, found: bytes | None) -> Verdict:
    """By what is at `look_at`: None for nothing, a link's text for READLINK, anything else for a file."""
    if found is None:
        return Verdict.AS_ANSWERED
    if request.kind is Kind.SYMLINK:
        return Verdict.DONE if found == request.path else Verdict.AS_ANSWERED
    if request.kind is Kind.RENAME or request.extension == POSIX_RENAME:
        return Verdict.DONE
    # A folder, a link or a lock file of that name: whether it is ours or came from somebody else at that moment, no attribute says.
    return Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Step:
    """What a request does to a file's size, in bytes: adds `more` at the end, makes it reach `least`, or be `exactly` so long."""

    more: int = 0
    least: int = 0
    exactly: int | None = None

    def after(self, size: int) -> int:
        """The size then."""
        return max(size + self.more if self.exactly is None else self.exactly, self.least)


def appended(size_before: int, steps: Sequence[Step], size_now: int) -> int | None:
    """How many of the `steps`, up to the last that appends, were done; None when the size does not say it.

    A server does the requests of one connection in their order, so what was done is the beginning of `steps`.
    """
    found, size, last = set(), size_before, 0
    for count, step in enumerate([*steps, Step()]):
        if size == size_now:
            found.add(last)
        size = step.after(size)
        last = count + 1 if step.more else last
    return found.pop() if len(found) == 1 else None
