"""Files on the mount appear whole or not at all: what is written is a draft beside its place until the storage has all of it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ABANDONED_S = 24 * 3600.0
"""Seconds after whose last byte nobody writes a draft any more. A pause of the storage is minutes, and clocks differ by less."""

_NAME = re.compile(r"\.saving-[0-9a-f]{16}")


@contextlib.contextmanager
def whole(path: Path, encoding: str | None = None) -> Iterator[IO[Any]]:
    """A stream to a draft beside `path`; at the end it is flushed to the storage and renamed to `path`. Raises OSError.

    A link stays one, and permissions stay. A file that this person may not write to is refused as if it were written in place. No
    two drafts have one name, whoever writes: so several may be written at once.
    """
    if path.is_symlink():
        path = path.resolve()
    permissions = _permissions(path)
    draft = path.with_name(f".saving-{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding=encoding, newline="\n") if encoding else draft.open("xb") as stream:
            if permissions not in {None, stat.S_IMODE(os.fstat(stream.fileno()).st_mode)}:
                os.fchmod(stream.fileno(), permissions or 0)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def sweep(folder: Path) -> None:
    """Removes drafts that killed servers left in `folder`. Other sessions may write there now: only old ones are touched."""
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            if _NAME.fullmatch(each.name) and time.time() - each.lstat().st_mtime > ABANDONED_S:
                each.unlink()


def _permissions(path: Path) -> int | None:
    """The permissions of a file that this person may write to; None where there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
