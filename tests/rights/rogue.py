"""A destination that wants to harm who connects: an SFTP server (protocol 3, on stdin and stdout) without any manners.

It is a forced command of sshd's, run with the system's Python, so it needs the standard library alone. Its own folder behaves, so
that a session can begin; each folder of `traps` is one kind of harm. `rogue.py LINK` makes the own folder's `tutorials` that link.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

# draft-ietf-secsh-filexfer-02
INIT, VERSION, OPEN, READ, LSTAT, FSTAT, OPENDIR, READDIR = 1, 2, 3, 5, 7, 8, 11, 12
MKDIR, REALPATH, STAT, RENAME, READLINK = 14, 16, 17, 18, 19
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
OK, EOF, NO_SUCH_FILE, UNSUPPORTED = 0, 1, 2, 8
FOLDER, FILE, LINK, DEVICE, SUID, SOCKET = 0o040777, 0o100666, 0o120777, 0o020666, 0o104777, 0o140777

ROOT = "/srv/cloud"
LINKS = {
    "beside": b"plain",
    "absolute": b"/etc/passwd",
    "up": b"../" * 9 + b"etc/passwd",
    "up-later": b"./x/" + b"../" * 9 + b"etc/passwd",
    "up-at-the-end": b"..",
    "doubled": b"//etc/passwd",
    "process": b"/proc/self/environ",
    "keys": b"/tmp/keys",
    "empty": b"",
    "long": b"a/" * 3000,
    "nul": b"plain\0/etc/passwd",
    "itself": b"itself",
}
NAMES = {
    "slash": b"a/b", "absolute": b"/etc/passwd", "up": b"../../../etc/passwd", "parent": b"..", "self": b".", "nul": b"nul\0name",
    "escape": b"\x1b[2J\x1b]0;x\x07", "line": b"two\nlines", "bytes": b"\xff\xfe\xfd", "long": b"n" * 300, "longest": b"n" * 60_000,
    "empty": b"",
}  # fmt: skip
SIZES = {"large": 2**40, "negative": 2**64 - 1, "largest": 2**63, "short": 3, "none": 0}
MODES = {"suid": SUID, "device": DEVICE, "socket": SOCKET, "nothing": 0, "everything": 0xFFFFFFFF}
BREAKS = ("huge", "garbage", "too-much", "hang-up")
"""Answers after which nobody can go on talking."""
SILENCES = ("cut-off", "other-id")
"""Answers that never become one."""


TRAPS: dict[str, dict[str, int]] = {
    "": {"": FOLDER, "people": FOLDER, "traps": FOLDER},
    "people": {"kt001": FOLDER},
    "traps": {
        **dict.fromkeys(("links", "names", "sizes", "modes", "endless"), FOLDER),
        **dict.fromkeys(BREAKS + SILENCES, FILE),
    },
    "traps/links": dict.fromkeys(LINKS, LINK),
    "traps/names": dict.fromkeys(NAMES, FOLDER),
    "traps/sizes": dict.fromkeys(SIZES, FILE),
    "traps/modes": MODES,
}
"""Folder → what is in it, and what that claims to be."""


def text(value: bytes) -> bytes:
    """SFTP's string."""
    return struct.pack(">I", len(value)) + value


def attributes(mode: int, size: int = 5) -> bytes:
    """Size, owner, mode and times, some of them impossible."""
    return struct.pack(">IQIIIII", 0x0F, size, 0xFFFFFFFF, 0xFFFFFFFE, mode, 0xFFFFFFFF, 0xFFFFFFFF)


class Rogue:
    """Answers one client until it hangs up."""

    def __init__(self, tutorials: bytes) -> None:
        self.tutorials = tutorials
        self.made: set[str] = set()
        self.listings: dict[str, Iterator[list[bytes]]] = {}

    def mode(self, path: str) -> int | None:
        """What `path` claims to be."""
        folder, _, name = path.removeprefix(ROOT).strip("/").rpartition("/")
        if name == "tutorials" and self.tutorials:
            return LINK
        known = TRAPS.get(folder, {}).get(name)
        if known is None and name == "plain":
            known = FILE
        if known is None and path in self.made:
            known = FILE if "." in name else FOLDER
        return known

    def listing(self, path: str) -> Iterator[list[bytes]]:
        """The names in `path`, some at a time."""
        last = path.rpartition("/")[2]
        if last == "endless":
            number = 0
            while True:
                yield [b"%08d-%s" % (number + more, b"n" * 220) for more in range(400)]
                number += 400
        if path.startswith(f"{ROOT}/traps/names/"):
            yield [b"plain", NAMES[last], b"after"]

    def answer(self, kind: int, number: int, body: bytes) -> bytes:
        """The packet that answers one request, with its length."""
        path = body[4 : 4 + struct.unpack_from(">I", body)[0]].decode(errors="replace") if len(body) >= 4 else ""
        if kind in ASKS:
            return ASKS[kind](self, number, path)
        return status(number, OK if kind <= RENAME else UNSUPPORTED)

    def real_path(self, number: int, path: str) -> bytes:
        """The path as it came."""
        return packet(NAME, number, struct.pack(">I", 1) + text(path.encode()) * 2 + attributes(FOLDER))

    def read_link(self, number: int, path: str) -> bytes:
        """Where a link leads."""
        target = self.tutorials if path.endswith("/tutorials") else LINKS[path.rpartition("/")[2]]
        return packet(NAME, number, struct.pack(">I", 1) + text(target) * 2 + attributes(LINK))

    def make_folder(self, number: int, path: str) -> bytes:
        """It is there from now on."""
        self.made.add(path)
        return status(number, OK)

    def open_folder(self, number: int, path: str) -> bytes:
        """A handle is the path itself."""
        self.listings[path] = self.listing(path)
        return packet(HANDLE, number, text(path.encode()))

    def read_folder(self, number: int, path: str) -> bytes:
        """The next names."""
        names = next(self.listings[path], None)
        if names is None:
            return status(number, EOF)
        entries = b"".join(text(name) + text(b"") + attributes(FILE) for name in names)
        return packet(NAME, number, struct.pack(">I", len(names)) + entries)

    def stat(self, number: int, path: str) -> bytes:
        """What a file claims to be, by path or handle."""
        mode = self.mode(path)
        if mode is None:
            return status(number, NO_SUCH_FILE)
        return packet(ATTRS, number, attributes(mode, SIZES.get(path.rpartition("/")[2], 5)))

    def open(self, number: int, path: str) -> bytes:
        """A handle is the path itself."""
        self.made.add(path)
        return packet(HANDLE, number, text(path.encode()))

    def read(self, number: int, path: str) -> bytes:
        """Data, or what the file's name promises instead."""
        good = packet(DATA, number, text(b"plain"))
        trap = path.removeprefix(f"{ROOT}/traps/")
        if trap == "hang-up":
            sys.exit(0)
        return {
            "cut-off": good[:-3],
            "huge": b"\xff\xff\xff\xff" + good[4:],
            "other-id": packet(DATA, number + 1_000_000, text(b"plain")),
            "garbage": bytes(range(256)) * 300,
            "too-much": packet(DATA, number, text(b"x" * 200_000)),
            "sizes/negative": packet(DATA, number, b"\xff\xff\xff\xf0plain"),
        }.get(trap, good)


ASKS = {
    REALPATH: Rogue.real_path, STAT: Rogue.stat, LSTAT: Rogue.stat, FSTAT: Rogue.stat, READLINK: Rogue.read_link, OPEN: Rogue.open,
    READ: Rogue.read, OPENDIR: Rogue.open_folder, READDIR: Rogue.read_folder, MKDIR: Rogue.make_folder,
}  # fmt: skip
"""Request → its answer; every other request up to RENAME succeeds without doing anything."""


def packet(kind: int, number: int, body: bytes) -> bytes:
    """One packet with its length."""
    return struct.pack(">IBI", len(body) + 5, kind, number) + body


def status(number: int, code: int) -> bytes:
    """An answer without content."""
    return packet(STATUS, number, struct.pack(">I", code) + text(b"") + text(b""))


def main() -> int:
    """Serve until the client hangs up."""
    rogue = Rogue(LINKS[sys.argv[1]] if len(sys.argv) > 1 else b"")
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    while len(head := incoming.read(5)) == 5:
        length, kind = struct.unpack(">IB", head)
        body = incoming.read(length - 1)
        if kind == INIT:
            outgoing.write(struct.pack(">IBI", 5, VERSION, 3))
        else:
            outgoing.write(rogue.answer(kind, *struct.unpack_from(">I", body), body[4:]))
        outgoing.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
