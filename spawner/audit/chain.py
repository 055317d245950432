"""Reading the record: does each line follow the one before, from the first file to the last?

What nobody can tell from the files alone: whether lines are missing at the end, and whether somebody who could write to them made
the whole chain anew. Both show against a head that was kept elsewhere (`verify --head`, `--statements`).
"""

from __future__ import annotations

import enum
import gzip
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from spawner.audit.line import START, TORN, BadLineError, Head, Line, parse


class Verdict(enum.StrEnum):
    """What can be said of a record."""

    WHOLE = "whole"
    """Every line follows."""
    TORN = "torn"
    """Every line follows, and after the last one stands the beginning of another: its writer, or the disk, failed."""
    BROKEN = "broken"
    """A line was changed, taken out, put in or moved, or an anchored head is not among them."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a record found."""

    verdict: Verdict
    first: int
    """The number that its first line has to have."""
    head: Head
    """The chain's head after the last line that follows."""
    torn: int
    """How many lines were begun and not finished."""
    where: str
    """Of a broken one: file, line of the file, and what is wrong there."""


class _BrokenError(Exception):
    """Here the chain ends."""


class _Reader:
    """Goes along the chain."""

    def __init__(self, after: Head) -> None:
        self.head = after
        self.torn = 0
        self.heads = {after.seq: after.hash}
        self.open = False
        """Whether the file that was read last ends in the middle of a line."""

    def file(self, path: Path) -> None:
        """Read on in the file at `path`. Raises _BrokenError, OSError."""
        region: list[bytes] = []
        began, complaint = 0, ""
        *lines, rest = _read(path).split(b"\n")
        for number, text_of_line in enumerate(lines, 1):
            try:
                line = parse(text_of_line)
            except BadLineError as error:
                began = began or number
                region.append(text_of_line)
                complaint = str(error)
                continue
            if region or line.event == TORN:
                torn = b"\n".join(region)
                if line.event != TORN or (line.bytes, line.sha256) != (len(torn), hashlib.sha256(torn).hexdigest()):
                    raise _BrokenError(f"{path}, line {began or number}: {complaint or 'the torn line before it is not there'}")
                region, began, self.torn = [], 0, self.torn + 1
            self._next(line, f"{path}, line {number}")
        if region and not rest:
            raise _BrokenError(f"{path}, line {began}: {complaint}")
        self.open = bool(rest)
        self.torn += self.open

    def _next(self, line: Line, where: str) -> None:
        if not line.follows(self.head):
            raise _BrokenError(f"{where}: it is line {line.seq} and does not follow line {self.head.seq}")
        self.head = line.head
        self.heads[line.seq] = line.hash

    def hold(self, anchor: Head) -> None:
        """Look for the line that `anchor` names, unless it is from before the beginning. Raises _BrokenError."""
        if anchor.seq >= min(self.heads) and self.heads.get(anchor.seq) != anchor.hash:
            raise _BrokenError(f"line {anchor.seq} with the anchored hash {anchor.hash} is not there")


def verify(paths: Iterable[Path], anchors: Collection[Head] = (), after: Head = START) -> Finding:
    """Read the record that goes on from `after` in the first of `paths`, and hold it against the `anchors`.

    An anchor from before `after` says nothing. Raises OSError.
    """
    reader, where = _Reader(after), ""
    try:
        for path in paths:
            reader.file(path)
        for anchor in sorted(anchors, key=lambda each: each.seq):
            reader.hold(anchor)
    except _BrokenError as error:
        where = str(error)
    verdict = Verdict.BROKEN if where else Verdict.TORN if reader.open else Verdict.WHOLE
    return Finding(verdict=verdict, first=after.seq + 1, head=reader.head, torn=reader.torn, where=where)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """`paths` by the number of their first line; those that have none come last. Raises OSError."""

    def first(path: Path) -> tuple[float, str]:
        try:
            return parse(_read(path).partition(b"\n")[0]).seq, path.name
        except BadLineError:
            return float("inf"), path.name

    return sorted(paths, key=first)


def _read(path: Path) -> bytes:
    text = path.read_bytes()
    return gzip.decompress(text) if path.suffix == ".gz" else text
