"""Files appear whole or not at all, also when the line to the cloud breaks or the job ends in the middle."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DRAFT = re.compile(r"\.(\d+)-(\d+)-(.+)", re.DOTALL)
"""Writer's process id, when that process began (ticks since the machine did), and the name that the file will have."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; on success it is flushed to storage and renamed to `path`, else removed.

    The temporary name keeps the ending of `path`, from which writers choose the format. It also tells who writes, so that `sweep`
    knows what a killed process left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}-{_begun(os.getpid())}-{path.name}")
    try:
        yield draft
        _flush(draft, os.O_RDWR)
        draft.replace(path)
        _flush(path.parent, os.O_RDONLY)
    finally:
        draft.unlink(missing_ok=True)


def _flush(path: Path, flags: int) -> None:
    """Content, or the names in a folder, reach the storage; some storages know no such thing for folders (fsync(2): EINVAL)."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path, mine: re.Pattern[str]) -> None:
    """Removes what dead processes left half written in `folder` of the files whose whole name matches `mine`.

    Another process of this machine that is still writing keeps its draft. One of another machine can't be told from a dead one;
    if it lives, its own `whole` raises FileNotFoundError, and nothing half written ever gets the file's name.
    """
    for path in folder.iterdir():
        named = _DRAFT.fullmatch(path.name)
        if named and mine.fullmatch(named[3]) and not _lives(int(named[1]), int(named[2])):
            path.unlink(missing_ok=True)


def _lives(process: int, begun: int) -> bool:
    """Whether another process writes: of this one, nothing is under way when it sweeps. Ids come again; id and time don't."""
    return process != os.getpid() and begun == _begun(process)


def _begun(process: int) -> int:
    """When `process` began, in clock ticks since the machine did; -1 if it is no more, 0 where the system doesn't tell."""
    if not Path("/proc/self/stat").exists():
        return 0
    with suppress(OSError):
        # After the command's name, which may hold anything: proc_pid_stat(5), field 22.
        return int(Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
    return -1
