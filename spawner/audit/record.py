"""Writing the record. A line is on the disk before `record` returns, and an act whose line can't be written must not happen:
callers let AuditError stop it.

Several processes may write: each takes the lock on the file beside the record, `NAME.head`, reads where the chain stands at the
record's own end, and appends. `NAME.head` repeats number and hash of the last line, so that the chain goes on into the next
file after the record was moved away, by `rotate` or by logrotate; and so that a record whose end was cut off is not continued.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from spawner.audit.line import LONGEST, START, TORN, BadLineError, Field, Head, compose, parse, parse_head

LOCK_S = 2.0
"""Seconds that a writer waits for another one; each needs some milliseconds."""

TAIL = 16 * LONGEST
"""Bytes at the record's end that are looked at for its last line."""

_MEND = "move the file away, and ask who changed it"

_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class AuditError(Exception):
    """The record can't be written, so what it was about must not be done."""


class Audit:
    """Appends to the file at `path`, which belongs to the hub's account and nobody else may read."""

    failures: ClassVar[int] = 0
    """How many lines this process could not write."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def record(self, event: str, **fields: Field) -> None:
        """Append `event` with its `fields` and the time (UTC, ISO 8601), and wait until the disk has it.

        Raises AuditError when that fails, whatever the cause.
        """
        with self._told(), self._locked() as (lock, kept):
            self._append(lock, kept, event, fields)

    def head(self) -> Head:
        """Where the chain stands. Raises AuditError."""
        with self._told(), self._locked() as (_, kept):
            return self._end(kept)[0]

    def rotate(self) -> Path:
        """Move the record away, under a name with the time, and begin the next file, whose first line follows the old one's last.

        Returns where the old file is now. Raises AuditError.
        """
        with self._told(), self._locked() as (lock, kept):
            head, _, _ = self._end(kept)
            stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            target = self.path.with_name(f"{self.path.stem}-{stamp}{self.path.suffix}")
            self.path.rename(target)
            # Before the new file's first line: whatever happens to us now, the chain goes on from here.
            _keep(lock, head)
            self._append(lock, head, "audit-rotated", {"before": target.name})
            return target

    def _append(self, lock: int, kept: Head, event: str, fields: dict[str, Field]) -> None:
        head, torn, new = self._end(kept)
        text = b""
        if torn:
            found: dict[str, Field] = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            text, head = compose(head, TORN, found)
            text = b"\n" + text + b"\n"
        line, head = compose(head, event, fields)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | _FLAGS, 0o600)
        try:
            text += line + b"\n"
            # One write; what of it did not fit is a torn line, which the next writer says.
            written = os.write(handle, text)
            os.fsync(handle)
        finally:
            os.close(handle)
        if written != len(text):
            raise AuditError(f"{self.path}: only {written} of {len(text)} bytes written")
        if new:
            _sync_folder(self.path.parent)
        _keep(lock, head)

    def _end(self, kept: Head) -> tuple[Head, bytes, bool]:
        """Where the chain stands, what was begun after that and not finished, and whether the file is yet to be begun."""
        try:
            tail, complete = _tail(self.path)
        except FileNotFoundError:
            return kept, b"", True
        if not tail:
            return kept, b"", True
        whole, _, torn = tail.rpartition(b"\n")
        head, torn = _last(whole, torn) if torn else (self._whole(whole.rpartition(b"\n")[2]), b"")
        if head is None and not complete:
            raise AuditError(f"{self.path}: none of its last {TAIL} bytes is a line of it: {_MEND}")
        head = head or kept
        if head.seq < kept.seq:
            raise AuditError(f"{self.path}: lines {head.seq + 1} to {kept.seq} are missing at its end: {_MEND}")
        return head, torn, False

    def _whole(self, line: bytes) -> Head:
        try:
            return parse(line).head
        except BadLineError as error:
            raise AuditError(f"{self.path}: its last line is not to be believed, {error}: {_MEND}") from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            Audit.failures += 1
            raise AuditError(f"{self.path}: {error.strerror}") from error
        except ValueError as error:
            Audit.failures += 1
            raise AuditError(f"{self.path}: {error}") from error
        except AuditError:
            Audit.failures += 1
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[int, Head]]:
        """The file that holds the lock, and what it says of the chain."""
        path = self.path.with_name(f"{self.path.name}.head")
        handle = os.open(path, os.O_RDWR | _FLAGS, 0o600)
        try:
            until = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise AuditError(f"{path}: another process holds it") from None
                    time.sleep(0.002)
            yield handle, self._kept(path, os.pread(handle, 200, 0))
        finally:
            os.close(handle)

    def _kept(self, path: Path, text: bytes) -> Head:
        if not text:
            return START
        try:
            return parse_head(text.decode())
        except ValueError as error:
            raise AuditError(f"{path}: {error}") from error


def _tail(path: Path) -> tuple[bytes, bool]:
    """The last lines of the file at `path`, and whether that is all of it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(handle).st_size
        start = max(0, size - TAIL)
        text = os.pread(handle, size - start, start)
    finally:
        os.close(handle)
    return (text, True) if start == 0 else (text.partition(b"\n")[2], False)


def _last(whole: bytes, torn: bytes) -> tuple[Head | None, bytes]:
    """The head after the last line that is whole, and all that is after it: a torn line may have been torn again."""
    while whole:
        whole, _, line = whole.rpartition(b"\n")
        with contextlib.suppress(BadLineError):
            return parse(line).head, torn
        torn = line + b"\n" + torn
    return None, torn


def _keep(handle: int, head: Head) -> None:
    """Write `head` over what the file said; its length only grows, with the number's."""
    os.pwrite(handle, f"{head}\n".encode(), 0)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
