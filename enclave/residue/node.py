"""The node from inside the walls: folders that are opened before the walls hide them.

An open folder stays what it was when another file system is mounted over its path. So the enclave, whose own /tmp is in memory
and whose /proc shows its own processes, still sees what its account has on the node. What was mounted on the node after the job
began is not seen through them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from enclave.launch import NODE_PROC

REQUIRED = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108  (names; nothing is put there)
"""Where every account may write on every node: one of these that can't be looked at is told as not seen."""
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "ramfs", "overlay", "mqueue"})
"""File systems that are the node's own. A shared one may change while a session runs, and not by that session."""
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes spaces and the like."""
_SYSTEMS = ("/proc/", "/sys/", "/dev/", "/run/", "/boot/")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    point: str
    kind: str
    writable: bool
    options: str
    """The super block's."""


@dataclass(frozen=True)
class Node:
    """Open descriptors of the node's folders; `proc` is the node's own /proc, or None where it shows no more than the session's.

    A node that hides processes from other accounts (hidepid) hides all of its own from whoever lives in a user namespace.
    """

    folders: dict[str, int] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    """Folders that should have been opened and could not be."""
    proc: int | None = None


BLIND = Node()
"""Sees nothing of the node."""


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The mounts in mountinfo's lines; a line that is none is left out."""
    found = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        head, tail = before.split(" "), after.split(" ")
        if dash and len(head) >= 6 and len(tail) >= 3:
            point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), head[4])
            writable = "rw" in head[5].split(",") and "rw" in tail[2].split(",")
            found.append(Mount(point, tail[0], writable, tail[2]))
    return tuple(found)


def local_folders(mounts: Iterable[Mount], home: str, uid: int) -> tuple[str, ...]:
    """Where an account may have written on the node's own file systems: the usual folders, its home, further local mounts."""
    mounts = tuple(mounts)
    named = (*REQUIRED, "/run/lock", home, f"/run/user/{uid}")
    further = (
        each.point
        for each in mounts
        if each.kind in LOCAL and each.writable and each.point != "/" and not f"{each.point}/".startswith(_SYSTEMS)
    )
    return tuple(dict.fromkeys(path for path in (*named, *further) if _kind(path, mounts) in LOCAL))


def _kind(path: str, mounts: Iterable[Mount]) -> str:
    """The file system that `path` lies on; the last of the longest mount points counts, as it lies on top."""
    best, kind = -1, ""
    for each in mounts:
        if f"{path}/".startswith(each.point.rstrip("/") + "/") and len(each.point) >= best:
            best, kind = len(each.point), each.kind
    return kind


def open_node(home: str) -> Node:
    """Opens what will be looked at again in the end; call it before any wall stands. What is not there is not a place."""
    proc = _node_proc()
    if read(proc, "1/status") is None:
        proc = None
    mounts = parse_mounts(read(proc, "1/mountinfo") or read(None, "/proc/self/mountinfo") or "")
    folders: dict[str, int] = {}
    closed = []
    for path in local_folders(mounts, home, os.getuid()):
        try:
            folders[path] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            closed.append(path)
    closed += [path for path in REQUIRED if path not in (*folders, *closed)]
    return Node(folders, tuple(closed), proc)


def _node_proc() -> int | None:
    """The node's /proc: the descriptor that the job script opened before the namespaces, or /proc where it is still the node's."""
    with contextlib.suppress(OSError):
        os.readlink("self", dir_fd=NODE_PROC)
        os.set_inheritable(NODE_PROC, False)  # noqa: FBT003  (os has no name for it)
        return NODE_PROC
    with contextlib.suppress(OSError):
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        own = read(proc, "self/status") or ""
        if os.getpid() != 1 and len(_field(own, "NSpid").split()) == 1:
            return proc
        os.close(proc)
    return None


def _field(status: str, name: str) -> str:
    return next((line.partition(":")[2] for line in status.splitlines() if line.startswith(f"{name}:")), "")


def read(folder: int | None, path: str, limit: int = 1 << 20) -> str | None:
    """The text of a file below the open `folder` (None: `path` is absolute); None when it can't be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as stream:  # noqa: PTH123  (relative to a descriptor)
            return stream.read(limit).decode("utf-8", "replace")
    except OSError:
        return None
