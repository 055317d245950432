"""The mechanism `namespaces`: what the enclave does to its own user and mount namespace before anything else runs in it.

The job script has made the namespaces (`enclave.launch`). Here they get a private /tmp in memory, which holds every file
of the session outside the sandbox, and a mountpoint that passes mounts on to the sandbox.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from enclave.failure import SessionFailure
from enclave.ground import Places, forbid_core_dumps, libc, mounted
from enclave.messages import Reason

# <sys/mount.h>
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_SHARED = 1 << 5, 1 << 12, 1 << 20
_MNT_DETACH = 2


class Namespaces:
    """The ground of a session in namespaces of its own: seen by nothing outside them, and gone with their first process."""

    places = Places(Path("/tmp"))  # noqa: S108  (a private tmpfs is mounted over it)
    """What is under the mount is read-only: without the mount, a write fails and never lands elsewhere."""
    mount_first = False
    user_namespace = True

    def unmount(self) -> None:
        """Takes the cloud out of these namespaces and the sandbox's; it is no fault when it is not there."""
        with contextlib.suppress(OSError):
            if mounted(self.places.cloud):
                libc.umount2(str(self.places.cloud).encode(), _MNT_DETACH)

    def clear(self) -> None:
        """Nothing outlives the namespaces' first process."""


def prepare() -> Namespaces:
    """Makes this process's namespaces fit for a session.

    Raises SessionFailure (sandbox-impossible) where the node does not let an ordinary user do so. Outside namespaces of its own
    it refuses before it touches anything: the process has to be the first of its pid namespace.
    """
    if os.getpid() != 1:
        raise SessionFailure(Reason.SANDBOX_IMPOSSIBLE, "the enclave is not the first process of a pid namespace")
    places = Namespaces.places
    try:
        forbid_core_dumps()
        _mount("tmpfs", places.run, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0700,size=64m")
        for folder in places.folders:
            folder.mkdir(mode=0o700)
        _mount(str(places.cloud), places.cloud, None, _MS_BIND)
        # Shared: bubblewrap's copy becomes its slave, so that a later mount reaches a sandbox that already runs.
        _mount(None, places.cloud, None, _MS_SHARED)
        _mount(None, places.cloud, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except OSError as error:
        raise SessionFailure(Reason.SANDBOX_IMPOSSIBLE, f"{error.filename}: {error.strerror}") from error
    return Namespaces()


def _mount(source: str | None, target: Path, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, str(target), kind, options)]
    if libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
