"""Runs one command of a batch system: an argv list, no shell, a time limit, an answer of bounded length."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence

import msgspec

OUTPUT_LIMIT = 8 * 1024 * 1024
"""Bytes of one answer; a line of ours is about 100 bytes, so this is some 80 000 jobs."""

SUDO_REFUSES = ("unknown user", "a password is required", "is not allowed to")
"""What sudo says, in lower case, when the hub's rule does not cover an account or there is no such account."""


class CommandError(Exception):
    """The command could not be run, or did not end in time, or said too much."""


class Answer(msgspec.Struct, frozen=True):
    """What a command left: exit code, and its two streams as text (undecodable bytes replaced)."""

    code: int
    out: str
    err: str


async def run(
    argv: Sequence[str], *, env: Mapping[str, str], stdin: str = "", timeout_s: float = 10.0, cwd: str = "/"
) -> Answer:
    """The answer of `argv` (its first word an absolute path), given `stdin`, in exactly the environment `env`, run in `cwd`.

    Raises CommandError, after the process is gone.
    """
    try:
        process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(env), cwd=cwd)
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout_s):
            out, err, _ = await asyncio.gather(
                _read(process.stdout),
                _read(process.stderr),
                _write(process.stdin, stdin.encode()),
            )
            code = await process.wait()
    except TimeoutError as error:
        raise CommandError(f"{argv[0]}: no answer within {timeout_s:g} s") from error
    finally:
        if process.returncode is None:
            await _end(process)
    return Answer(code, out, err)


async def _end(process: asyncio.subprocess.Process) -> None:
    # sudo is root's and can't be killed by us: closing the pipes ends what talks, and it is not waited for longer than this.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        process._transport.close()  # type: ignore[attr-defined]  # asyncio offers no other way
        async with asyncio.timeout(1):
            await process.wait()


async def _read(stream: asyncio.StreamReader | None) -> str:
    collected = bytearray()
    while stream is not None and (piece := await stream.read(65_536)):
        collected += piece
        if len(collected) > OUTPUT_LIMIT:
            raise CommandError(f"an answer longer than {OUTPUT_LIMIT} bytes")
    return collected.decode(errors="replace")


async def _write(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    # A command that refuses may close its stdin unread; its exit code tells.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()
