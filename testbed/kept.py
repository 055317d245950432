"""What a host keeps: everything it wrote, by the file system's own account, whoever wrote it and however it was hidden."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from testbed.init import KEPT_DESCRIPTOR

_PLACES = {"upper": "/", "tmp": "/tmp", "var-tmp": "/var/tmp", "run": "/run", "dev-shm": "/dev/shm"}


@dataclass(frozen=True, order=True)
class Kept:
    """A file that a host holds in memory or has changed on its disk."""

    path: str
    kind: str
    """file, folder, link, socket, pipe, device, or deleted: a file of the machine that this host has removed."""
    size: int
    uid: int
    mode: str
    """Octal permission bits."""
    mtime: float
    """Seconds since the epoch; 0 for a folder, whose time only says that one of its files came or went."""

    def line(self) -> str:
        """As one line for people."""
        return f"{self.kind:7} {self.mode:>5} {self.uid:>6} {self.size:>10} {self.mtime:15.3f} {self.path}"


_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "pipe",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


def _entry(path: str, status: os.stat_result) -> Kept:
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    if kind == "device" and status.st_rdev == 0:  # overlayfs marks a removed file so
        kind = "deleted"
    folder = kind == "folder"
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    return Kept(path, kind, 0 if folder else status.st_size, status.st_uid, mode, 0.0 if folder else status.st_mtime)


def listing(first: int) -> set[Kept]:
    """Everything that the host with the first process `first` holds."""
    found: set[Kept] = set()
    for place, shown in _PLACES.items():
        base = Path(f"/proc/{first}/fd/{KEPT_DESCRIPTOR}/{place}")
        for folder, folders, files in os.walk(base):
            inside = shown.rstrip("/") + folder.removeprefix(str(base))
            for name in (*folders, *files):
                try:
                    found.add(_entry(f"{inside}/{name}", os.lstat(f"{folder}/{name}")))
                except FileNotFoundError:
                    continue  # a program of the host was quicker
    return found
