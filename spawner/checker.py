"""Asking saslauthd, the small root-owned process beside the hub, whether a password is right.

An unprivileged hub can't check other people's passwords by PAM itself. The protocol of saslauthd's unix socket: four counted
strings (login, password, service, realm), each a 16-bit length in network order and that many bytes; the answer is one
counted string that starts with `OK` or `NO`.
"""

from __future__ import annotations

import asyncio
import struct

LONGEST = 256
"""Bytes of a name, password or code that are worth asking about; saslauthd refuses longer ones itself."""
LONGEST_ANSWER = 1024
TIMEOUT = 20.0
"""Seconds; PAM holds a wrong password back for some of them on purpose."""


class CheckerDownError(Exception):
    """Nobody could say whether the password is right; the text is for the log and holds no password."""


def request(login: str, password: str, service: str) -> bytes | None:
    """The question as saslauthd reads it, or None when no such password can be right: too long, or with a NUL byte.

    A NUL ends a string on the other side, so that what follows it would go unchecked.
    """
    fields = [text.encode("utf-8", errors="surrogateescape") for text in (login, password, service, "")]
    if any(len(field) > LONGEST or b"\0" in field for field in fields) or not all(fields[:3]):
        return None
    return b"".join(struct.pack(">H", len(field)) + field for field in fields)


async def check(socket: str, *, login: str, password: str, service: str, wait: float = TIMEOUT) -> bool:
    """Whether the PAM service `service` accepts `password` for `login`, as the checker at the unix socket `socket` says.

    Raises CheckerDownError when it can't be asked, does not answer within `wait` seconds or answers neither yes nor no.
    """
    question = request(login, password, service)
    if question is None:
        return False
    try:
        async with asyncio.timeout(wait):
            answer = await _exchange(socket, question)
    except TimeoutError as error:
        raise CheckerDownError(f"{socket}: no answer within {wait:g} s") from error
    except (OSError, asyncio.IncompleteReadError) as error:
        raise CheckerDownError(f"{socket}: {error}") from error
    if answer[:2] == b"OK":
        return True
    if answer[:2] == b"NO":
        return False
    raise CheckerDownError(f"{socket}: an answer that is neither OK nor NO")


async def _exchange(socket: str, question: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(question)
        await writer.drain()
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        return await reader.readexactly(min(int(length), LONGEST_ANSWER))
    finally:
        writer.close()
