"""A forwarder of TCP connections that can be told to misbehave: silence, held flows, resets, refusal, a server that dies.

Run as `python3 -I -S forwarder.py PORT HOST:PORT`, or `… PORT -- PROGRAM…` for a server that talks on its standard input and
output, one process a connection. PORT 0 takes a free one of 127.0.0.1; ADDRESS:PORT binds another address. It answers `ready PORT`.
Then each line of its input is an order (`Line` has them) and each is answered by `done`; `later SECONDS ORDER…` is answered at once
and done then. It ends with its input.

It is a process of its own because whoever reads a mapped file of a mount holds its interpreter until the bytes have come.

Unlike `line.py` it is a proxy of streams: each side's TCP speaks with it, so what it does not pass on counts as received. That
is what late bytes need: a flow is held, its client goes on by a new one, and then the old flow's bytes arrive. A client that has
*reset* its flow has taken them back, as its kernel would have; one that has merely closed it has not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable

_PIECE = 262_144
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""


class Flow:
    """One connection, and what stands behind it."""

    def __init__(self, client: socket.socket, server: socket.socket, process: asyncio.subprocess.Process | None) -> None:
        self.client, self.server, self.process = client, server, process
        self.passing = asyncio.Event()
        self.passing.set()
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self, delay: float) -> None:
        """Pass bytes on both ways, each `delay` seconds later, until both sides have ended or somebody breaks it."""
        ways = (self.client, self.server), (self.server, self.client)
        self.tasks = [asyncio.ensure_future(self._one_way(*way, delay)) for way in ways]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self.tasks, return_exceptions=True)
        self.close()

    async def _one_way(self, source: socket.socket, sink: socket.socket, delay: float) -> None:
        loop = asyncio.get_running_loop()
        # A bounded line: whoever sends more than fits waits, as on a real one.
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

        async def take() -> None:
            while True:
                await self.passing.wait()
                try:
                    data = await loop.sock_recv(source, _PIECE)
                except OSError:
                    self.end()
                    return
                await under_way.put((loop.time() + delay, data))
                if not data:
                    return

        taking = asyncio.ensure_future(take())
        try:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - loop.time() if delay else 0)
                if not self.passing.is_set():
                    await self.passing.wait()
                if _is_reset(source):
                    self.end()
                    return
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                await loop.sock_sendall(sink, data)
        except OSError:
            self.end()
        finally:
            taking.cancel()

    def end(self) -> None:
        """Stop passing on; `run` then closes both sides."""
        for task in self.tasks:
            task.cancel()

    def close(self) -> None:
        """Reset both sides, and end the server's process."""
        for end in (self.client, self.server):
            if end.family == socket.AF_INET:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            end.close()
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()


def _is_reset(end: socket.socket) -> bool:
    """Whether the other side has reset the connection, even with bytes still to be read."""
    poll = select.poll()
    poll.register(end, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Line:
    """Everything that the forwarder carries, and the orders that it takes."""

    def __init__(self, open_server: Callable[[], Awaitable[tuple[socket.socket, asyncio.subprocess.Process | None]]]) -> None:
        self._open = open_server
        self.delay = 0.0
        self.silent = self.refusing = False
        self.flows: set[Flow] = set()
        self.accepted = 0
        self._later: list[asyncio.TimerHandle] = []

    async def accepted_one(self, client: socket.socket) -> None:
        """Carry a new connection."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(0)
        if self.refusing:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            client.close()
            return
        self.accepted += 1
        server, process = await self._open()
        flow = Flow(client, server, process)
        if self.silent:
            flow.passing.clear()
        self.flows.add(flow)
        try:
            await flow.run(self.delay)
        finally:
            self.flows.discard(flow)

    # The orders

    def silence(self) -> None:
        """Pass nothing on, of old flows and new ones; nobody is told."""
        self.silent = True
        self.hold()

    def hold(self) -> None:
        """The same for the flows that there are; new ones pass."""
        for flow in self.flows:
            flow.passing.clear()

    def restore(self) -> None:
        """Everything passes again, also what was held."""
        self.silent = self.refusing = False
        for flow in self.flows:
            flow.passing.set()

    def calm(self) -> None:
        """The same, and orders for later are forgotten."""
        for each in self._later:
            each.cancel()
        self._later.clear()
        self.restore()

    def refuse(self) -> None:
        """New connections are reset, as by a gateway whose destination is down."""
        self.refusing = True

    def reset(self) -> None:
        """Break every flow, both sides at once."""
        for flow in list(self.flows):
            flow.end()

    def kill(self) -> None:
        """The server's processes die; what they had sent still arrives."""
        for flow in self.flows:
            if flow.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(flow.process.pid, signal.SIGKILL)

    def order(self, words: list[str]) -> str:
        """Do what one line of input says."""
        loop = asyncio.get_running_loop()
        match words:
            case ["later", seconds, *rest]:
                self._later.append(loop.call_later(float(seconds), self.order, rest))
            case ["delay", milliseconds]:  # round trip, for connections from now on
                self.delay = float(milliseconds) / 2000
            case ["count"]:
                return f"done {self.accepted} {len(self.flows)}"
            case [("silence" | "hold" | "restore" | "calm" | "refuse" | "reset" | "kill") as name]:
                getattr(self, name)()
            case _:
                return "unknown order"
        return "done"


async def _by_program(argv: list[str]) -> tuple[socket.socket, asyncio.subprocess.Process]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    with theirs:
        process = await asyncio.create_subprocess_exec(*argv, stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True)
    return ours, process


async def _by_address(host: str, port: int) -> tuple[socket.socket, None]:
    server = socket.socket()
    server.settimeout(0)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(server, (host, port))
    return server, None


async def _main(listen: str, target: list[str]) -> None:
    address, _, port = listen.rpartition(":")
    loop = asyncio.get_running_loop()
    if target[0] == "--":
        line = Line(lambda: _by_program(target[1:]))
    else:
        host, _, number = target[0].rpartition(":")
        line = Line(lambda: _by_address(host, int(number)))
    listening = socket.create_server((address or "127.0.0.1", int(port)), backlog=64)
    listening.settimeout(0)
    ended = asyncio.Event()

    def answer(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def obey(words: list[str]) -> None:
        answer(line.order(words))

    def orders() -> None:
        for text in sys.stdin:
            loop.call_soon_threadsafe(obey, text.split())
        loop.call_soon_threadsafe(ended.set)

    async def accept() -> None:
        carried = set()
        while True:
            client, _ = await loop.sock_accept(listening)
            task = asyncio.ensure_future(line.accepted_one(client))
            carried.add(task)
            task.add_done_callback(carried.discard)

    threading.Thread(target=orders, daemon=True).start()
    accepting = asyncio.ensure_future(accept())
    answer(f"ready {listening.getsockname()[1]}")
    await ended.wait()
    accepting.cancel()
    for flow in list(line.flows):
        flow.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2:]))
