"""The page on the machine: listens on 127.0.0.1, connects inside the hub's network, so that no link joins the two.

Run as `python3 -I -S publish.py MARK HUB_PID ADDRESS PORT FIRST_PORT`; answers the port it got on stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

_NEWNET = 0x40000000
_CHUNK = 262_144


def _listen(first: int) -> socket.socket:
    """A listening socket on the first free port from `first`."""
    for port in range(first, first + 100):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=128)
    raise OSError(f"no free port between {first} and {first + 99}")


def _enter_network(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open() as space:
        if libc.setns(space.fileno(), _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "can't enter the hub's network")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _serve(listener: socket.socket, address: str, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        for each in (writer, far_writer):
            each.close()

    server = await asyncio.start_server(connected, sock=listener)
    await server.serve_forever()


def main() -> int:
    """Serve until killed."""
    _, _, hub, address, port, first = sys.argv
    listener = _listen(int(first))
    _enter_network(int(hub))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    asyncio.run(_serve(listener, address, int(port)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
