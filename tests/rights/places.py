"""Folders on the cloud with every kind of right that people have on each other's data, in as many equal copies as one asks for."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from testbed.host import Host

ROOT = "/srv/cloud/rights"
SOCIETY = "jrs"


@dataclass(frozen=True)
class Place:
    """A folder, whose it is and who may what; SELF is the account whose rights are tried, OTHER somebody else."""

    owner: str
    mode: int
    group: str = ""
    """The owner's own where nothing is said."""
    file_owner: str = ""
    """The folder's where nothing is said."""
    file_mode: int = 0o644
    reader: str = ""
    """Whom an access control list lets read besides."""


SELF, OTHER, CURATOR = "SELF", "OTHER", "curator"
PLACES = {
    "own": Place(SELF, 0o700),
    "others": Place(OTHER, 0o700),
    "open-data": Place(CURATOR, 0o755),
    "society-data": Place(CURATOR, 0o750, SOCIETY, file_mode=0o640),
    "society-work": Place(CURATOR, 0o2770, SOCIETY, file_mode=0o660),
    "my-read-only-files": Place(SELF, 0o755, file_mode=0o444),
    "my-unreadable-files": Place(SELF, 0o755, file_mode=0o000),
    "my-closed-folder": Place(SELF, 0o555),
    "my-folder-their-files": Place(SELF, 0o755, file_owner=OTHER, file_mode=0o600),
    "sticky": Place(CURATOR, 0o1777, file_owner=OTHER, file_mode=0o666),
    "sticky-mine": Place(CURATOR, 0o1777, file_owner=SELF),
    "anybody-s": Place(CURATOR, 0o777, file_owner=OTHER, file_mode=0o666),
    "letter-box": Place(CURATOR, 0o733),
    "passage": Place(CURATOR, 0o711),
    "listed-not-entered": Place(CURATOR, 0o744),
    "lent-to-me": Place(OTHER, 0o700, reader=SELF, file_mode=0o600),
}
FILES = ("file", "victim", "moving", "target", "leaving")


def make(host: Host, copy: str, account: str, other: str) -> str:
    """A copy of all places for `account`; the host's path of its root."""
    root = f"{ROOT}/{copy}"
    host.folder(root)
    people = {SELF: account, OTHER: other}
    for name, place in PLACES.items():
        owner = host.user(people.get(place.owner, place.owner))
        holder = host.user(people.get(place.file_owner or place.owner, place.file_owner or place.owner))
        host.folder(f"{root}/{name}", 0o755, owner.name, place.group or None)
        folder = host.path(f"{root}/{name}")
        for each in FILES:
            host.write(f"{root}/{name}/{each}", f"{each} of {name}", place.file_mode, holder.name, place.group or None)
        for link, target in (("leads-out", "/etc/hostname"), ("leads-up", f"../{name}/file"), ("leads-beside", "file")):
            (folder / link).symlink_to(target)
            os.lchown(folder / link, holder.uid, holder.gid)
        host.folder(f"{root}/{name}/folder", 0o755, holder.name)
        # Last: making things in it would change what it says.
        folder.chmod(place.mode)
        if place.reader:
            reader = host.user(people.get(place.reader, place.reader)).uid
            for path, mode in ((folder, 0o700), *((folder / each, 0o600) for each in FILES)):
                lend(path, mode, reader, 0o5 if path == folder else 0o4)
    return root


def lend(path: Path, mode: int, uid: int, rights: int) -> None:
    """Let `uid` have `rights` (one octal digit) on `path` by an access control list, beside those of `mode`."""
    # linux/posix_acl_xattr.h: a version, then (tag, permissions, id) in ascending order of tags.
    user_object, user, group_object, mask, other, nobody = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF
    entries = (
        (user_object, mode >> 6 & 7, nobody), (user, rights, uid), (group_object, mode >> 3 & 7, nobody),
        (mask, 7, nobody), (other, mode & 7, nobody),
    )  # fmt: skip
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries))


def listing(host: Host, root: str) -> list[str]:
    """Everything below `root`: kind and mode, owner, group, size, name, and where a link leads. Times are left out."""
    argv = ["find", root, "-mindepth", "1", "-printf", "%M %U:%G %s %P %l\\n"]
    # The size of a folder is its file system's affair.
    lines = host.run(argv, check=True).stdout.splitlines()
    return sorted(" ".join([*line.split()[:2], *line.split()[3:]]) if line.startswith("d") else line for line in lines)
