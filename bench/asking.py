"""Many people at one hub: each asks for a session within some seconds and then looks how it goes, as a waiting page does.

Run on the host `hub` as `python -m bench.asking`, with a `Crowd` (JSON) on stdin; prints what was `Seen` (JSON).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import aiohttp
import msgspec

from bench.person import Person

LOGINS = 8
"""At once, before the clock starts."""
LOOK_S = 2.0
"""Seconds between two looks of one person."""


class Crowd(msgspec.Struct, frozen=True):
    """Who asks which hub, within how many seconds, and for how long each looks after that."""

    hub: str
    people: tuple[str, ...]
    password: str
    options: dict[str, object]
    within: float
    look: float


class Seen(msgspec.Struct):
    """Milliseconds of each answer, and what became of each person."""

    looks: list[float] = []
    """Of the API's word about the own server."""
    wishes: list[float] = []
    """Of the wish itself: JupyterHub holds it back for up to 10 s, so as to answer that the server is ready."""
    errors: list[str] = []
    served: list[str] = []
    pending: list[str] = []
    refused: list[str] = []
    """By a rule of the quota."""


async def one(crowd: Crowd, number: int, seen: Seen, gate: asyncio.Semaphore, ready: asyncio.Barrier) -> None:
    """One person's part: log in, wait until everybody has, ask in turn, look."""
    name, after = crowd.people[number], number * crowd.within / len(crowd.people)
    async with Person(crowd.hub, name) as person:
        async with gate:
            await person.log_in(crowd.password)
        await ready.wait()
        await asyncio.sleep(after)
        wish = asyncio.ensure_future(_wish(person, crowd, seen))
        end = time.monotonic() + crowd.within - after + crowd.look
        state = ""
        while time.monotonic() < end and state != "ready" and not (wish.done() and wish.result() == "refused"):
            await asyncio.sleep(LOOK_S)
            state = await _look(person, seen)
        outcome = await wish
        if outcome == "refused":
            seen.refused.append(name)
        elif state == "ready":
            seen.served.append(name)
        elif state:
            seen.pending.append(name)


async def _wish(person: Person, crowd: Crowd, seen: Seen) -> str:
    began = time.perf_counter()
    try:
        status, text = await person.wish(crowd.options)
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.errors.append(f"{person.name}: {error!r}")
        return "failed"
    seen.wishes.append((time.perf_counter() - began) * 1000)
    if status in {201, 202}:
        return "taken"
    if status == 403 and "The rule for " in text:
        return "refused"
    seen.errors.append(f"{person.name}: {status} {text[:200]}")
    return "failed"


async def _look(person: Person, seen: Seen) -> str:
    began = time.perf_counter()
    try:
        servers = await person.servers()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.errors.append(f"{person.name}: {error!r}")
        return ""
    seen.looks.append((time.perf_counter() - began) * 1000)
    return "".join("ready" if each.get("ready") else str(each.get("pending") or "") for each in servers.values())


async def ask(crowd: Crowd) -> Seen:
    """Let everybody log in, then ask."""
    seen, gate, ready = Seen(), asyncio.Semaphore(LOGINS), asyncio.Barrier(len(crowd.people))
    await asyncio.gather(*(one(crowd, number, seen, gate, ready) for number in range(len(crowd.people))))
    return seen


def main() -> int:
    """Read the crowd, ask, print what was seen."""
    # People's browsers run elsewhere: what they see must not depend on what the nodes leave of this machine's processors.
    os.setsid()
    Path("/proc/self/autogroup").write_text("-20")
    seen = asyncio.run(ask(msgspec.json.decode(sys.stdin.buffer.read(), type=Crowd)))
    sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
