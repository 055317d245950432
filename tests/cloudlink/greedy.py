"""An SFTP server that wants the link to hold what it says: `greedy.py names` lists files with endless names, `greedy.py attributes`
small files whose attributes never end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cloudlink.wire import Kind, Status, packet, string
from tests.cloudlink.lossy import frame, write

COUNT = 700
FAT = 250_000
HANDLE = string(b"four")
ATTRIBUTES = (5).to_bytes(4) + (1).to_bytes(8) + 0o100644.to_bytes(4)
"""Of a regular file of one byte."""
FAT_ATTRIBUTES = (0x80000005).to_bytes(4) + ATTRIBUTES[4:] + (1).to_bytes(4) + string(b"x") + string(bytes(FAT))
LINE = string(b"-rw-r--r--    1 owner group 1 Jan  1 00:00 f")


def listing(names: list[bytes]) -> bytes:
    return len(names).to_bytes(4) + b"".join(string(name) + LINE + ATTRIBUTES for name in names)


def listings(what: str) -> Iterator[bytes]:
    if what == "names":
        return (listing([b"%04d" % number + bytes([120]) * FAT]) for number in range(COUNT))
    return iter([listing([b"%04d" % number for number in range(COUNT)])])


def main() -> None:
    parts, what = listings(sys.argv[1]), sys.argv[1]
    frame(0)
    write(1, b"\0\0\0\5\2\0\0\0\3")
    while True:
        request = frame(0)
        kind, number = request[4], int.from_bytes(request[5:9])
        match kind:
            case Kind.OPEN | Kind.OPENDIR:
                answer = packet(Kind.HANDLE, number, HANDLE)
            case Kind.LSTAT | Kind.FSTAT | Kind.STAT:
                answer = packet(Kind.ATTRS, number, ATTRIBUTES if what == "names" else FAT_ATTRIBUTES)
            case Kind.READ:
                answer = packet(Kind.DATA, number, string(b"x"))
            case Kind.READDIR if (part := next(parts, None)) is not None:
                answer = packet(Kind.NAME, number, part)
            case _:
                status = Status.EOF if kind == Kind.READDIR else Status.OK
                answer = packet(Kind.STATUS, number, status.to_bytes(4), string(b""), string(b""))
        write(1, answer)


if __name__ == "__main__":
    main()
