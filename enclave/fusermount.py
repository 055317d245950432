"""The mechanism `fusermount`: the setuid fusermount3 mounts on the node itself, for nodes whose users may make no namespaces.

Weaker than `enclave.namespace`: the mount and the folder with the key are on the node while the session lives, for the session's
account alone; and what takes them away is a process (`enclave.watchdog`), not the kernel. docs/architecture.md, "Mechanisms",
says what that means.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from enclave import job, watchdog
from enclave.failure import MechanismFailure
from enclave.ground import Places, forbid_core_dumps, libc, mounted

MEMORY = Path("/dev/shm")  # noqa: S108  (checked to be memory)
FUSERMOUNT = Path("/usr/bin/fusermount3")
BUBBLEWRAP = Path("/usr/bin/bwrap")

_TMPFS_MAGIC = 0x01021994  # <linux/magic.h>
_JOB = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COMMAND_S = 10.0


@dataclass(frozen=True)
class Fusermount:
    """The ground of a session on the node itself."""

    places: Places
    user_namespace: bool
    mount_first = True

    def unmount(self) -> None:
        """Takes the cloud off the node; the sandbox's copy goes with the sandbox. It is no fault when it is not there."""
        for point in (self.places.cloud, self.places.trial):
            with contextlib.suppress(OSError):
                if mounted(point):
                    _run(str(FUSERMOUNT), "-u", "-z", "-q", "--", str(point))

    def clear(self) -> None:
        """Unmounts, and removes the places with all their files."""
        self.unmount()
        for folder in (self.places.keys, self.places.etc, self.places.sockets, self.places.link, self.places.run):
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    if not entry.is_dir(follow_symlinks=False):
                        Path(entry.path).unlink()
        # Folders as empty ones only: were the cloud still mounted, nothing of it would be deleted.
        for folder in (*self.places.folders, self.places.run):
            with contextlib.suppress(OSError):
                folder.rmdir()


def prepare() -> Fusermount:
    """Makes a folder in the node's memory for a session, and leaves the calling process behind as its watchdog.

    Returns in another process than the one that called. Raises MechanismFailure where the node lacks what this mechanism
    needs.
    """
    try:
        forbid_core_dumps()
        user_namespace = _check()
        ground = Fusermount(Places(_folder()), user_namespace)
        watchdog.leave(ground.clear)
        for folder in ground.places.folders:
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise MechanismFailure(f"{error.filename}: {error.strerror}") from error
    return ground


def _check() -> bool:
    """Whether the sandbox has a user namespace. Raises MechanismFailure for what is missing, and OSError."""
    if not _is_setuid_root(FUSERMOUNT):
        raise MechanismFailure(f"{FUSERMOUNT} is not setuid root")
    if not in_memory(MEMORY):
        raise MechanismFailure(f"{MEMORY} is no tmpfs")
    by_root, users_may = _is_setuid_root(BUBBLEWRAP), _run("/usr/bin/unshare", "--user", "/usr/bin/true") == 0
    if by_root and users_may:
        # It can't forbid them to what runs inside.
        raise MechanismFailure(f"{BUBBLEWRAP} is setuid root, but users may make user namespaces")
    if not by_root and not users_may:
        raise MechanismFailure(f"users may not make user namespaces, and {BUBBLEWRAP} is not setuid root")
    return not by_root


def in_memory(folder: Path) -> bool:
    """Whether `folder` is on a tmpfs. Raises OSError."""
    answer = ctypes.create_string_buffer(256)  # struct statfs: its first word is the file system's magic number
    if libc.statfs(str(folder).encode(), answer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
    return ctypes.c_long.from_buffer(answer).value == _TMPFS_MAGIC


def _is_setuid_root(program: Path) -> bool:
    found = program.stat()
    return found.st_uid == 0 and bool(found.st_mode & stat.S_ISUID)


def _folder() -> Path:
    """A new folder of this user's alone; the epilog finds it by the job's number. Raises OSError."""
    number = job.number() or "none"
    if not _JOB.fullmatch(number):
        raise MechanismFailure("the job has no number that can be part of a name")
    return Path(tempfile.mkdtemp(prefix=f"renkei-{number}-", dir=MEMORY))


def _run(*argv: str) -> int:
    """The exit code of a short command. Raises OSError, also when it takes too long."""
    try:
        answer = subprocess.run(argv, capture_output=True, check=False, timeout=_COMMAND_S, env={"PATH": "/usr/bin:/bin"}, cwd="/")
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), argv[0]) from error
    return answer.returncode
