"""The audit from its newest line back, over the files that were moved away. Read only, and hostile until parsed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

from spawner.audit.line import OWN
from spawner.console.people import END

BLOCK = 65_536
SCANNED = 64 * 2**20
"""Bytes of the audit that one question reads at most; the next one goes on from there."""
LINE_LIMIT = 65_536
"""Bytes above which a line is none of the record's, whose own are shorter (spawner/audit/line.py)."""

Word = Annotated[str, Meta(max_length=64, pattern=rf"^[A-Za-z0-9._-]*{END}")]
Number = Annotated[int, Meta(ge=0, le=2**53)]


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of the audit, the newest first."""

    event: Word = ""
    user: Word = ""
    session: Word = ""
    before: Number = 0
    """Only lines with a lower number than this; 0: all."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event; its other fields as text."""

    seq: int
    """Its number in the record."""
    time: str
    event: str
    fields: dict[str, str]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the audit, the newest first."""

    lines: tuple[AuditLine, ...]
    older: int
    """The next question's `before`, where there may be older ones; else 0."""


def parse(line: bytes) -> AuditLine | None:
    """One line of the audit, or None where it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("time"), str) or not isinstance(found.get("event"), str):
        return None
    seq = found.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 < seq <= 2**53:
        return None
    fields = {str(name): _text(value) for name, value in found.items() if name not in OWN}
    return AuditLine(seq=seq, time=found["time"], event=found["event"], fields=fields)


def page(path: Path, query: AuditQuery) -> AuditPage:
    """The lines that `query` asks for, of the record whose newest file is `path`."""
    found: list[AuditLine] = []
    last = scanned = 0
    for raw in backwards(path, query.before):
        line = parse(raw)
        scanned += len(raw) + 1
        if line is None:
            continue
        if last and (len(found) == query.limit or scanned > SCANNED):
            return AuditPage(lines=tuple(found), older=last)
        last = line.seq
        if _wanted(line, query):
            found.append(line)
    return AuditPage(lines=tuple(found), older=0)


def backwards(path: Path, before: int = 0) -> Iterator[bytes]:
    """Lines of the record whose newest file is `path`, from its end; with `before` those with a lower number."""
    for file in _files(path, before):
        try:
            handle = file.open("rb")
        except OSError:  # moved away meanwhile: the next question finds it
            continue
        with handle:
            size = handle.seek(0, os.SEEK_END)
            yield from _back_from(handle, _position(handle, size, before) if before else size)


def _wanted(line: AuditLine, query: AuditQuery) -> bool:
    if query.event and line.event != query.event:
        return False
    return all(not wanted or line.fields.get(name) == wanted for name, wanted in (("user", query.user), ("session", query.session)))


def _files(path: Path, before: int) -> list[Path]:
    """The record's files, the newest first, without those that hold only lines from `before` on.

    Whatever `rotate` and logrotate call them: their first line's number tells their order.
    """
    begun: list[tuple[int, Path]] = []
    for each in path.parent.iterdir() if path.parent.is_dir() else ():
        if each.name.startswith(path.stem) and each.is_file() and not each.is_symlink():
            first = _first_number(each)
            if first and (not before or first < before):
                begun.append((first, each))
    return [file for _, file in sorted(begun, reverse=True)]


def _first_number(file: Path) -> int:
    """The number of the file's first line of the record, or 0 where its beginning holds none."""
    try:
        with file.open("rb") as handle:
            return _number_from(handle, 0)
    except OSError:
        return 0


def _number_from(handle: BinaryIO, start: int) -> int:
    """The number of the first line of the record that begins at `start` or after it, within some blocks; else 0."""
    handle.seek(start)
    lines = handle.read(4 * BLOCK).split(b"\n")
    return next((line.seq for line in map(parse, lines if start == 0 else lines[1:]) if line is not None), 0)


def _position(handle: BinaryIO, size: int, before: int) -> int:
    """Where in the file the lines numbered `before` and more begin, within a block: numbers only grow."""
    low, high = 0, size
    while high - low > BLOCK:
        middle = (low + high) // 2
        number = _number_from(handle, middle)
        low, high = (middle, high) if 0 < number < before else (low, middle)
    handle.seek(low)
    position = low
    for line in handle.read(high - low + 4 * BLOCK).splitlines(keepends=True):
        found = parse(line)
        if found is not None and found.seq >= before:
            break
        position += len(line)
    return position


def _back_from(handle: BinaryIO, end: int) -> Iterator[bytes]:
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK)
        handle.seek(start)
        block = handle.read(end - start) + rest
        end = start
        first, *lines = block.split(b"\n")
        rest = first if len(first) <= LINE_LIMIT else b""
        yield from (line for line in reversed(lines) if 0 < len(line) <= LINE_LIMIT)
    if rest:
        yield rest


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
