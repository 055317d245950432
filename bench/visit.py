"""One visit of one person, timed: the click, the ready server, the Lab, the kernel, the first result; then everything is stopped.

Run on the host `hub` as `python -m bench.visit`, with a `Visit` (JSON) on stdin; prints its `Phases` (JSON).
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

import msgspec

from bench.person import Person, PersonError


class Visit(msgspec.Struct, frozen=True):
    """Who visits which hub, and wants what."""

    hub: str
    person: str
    password: str
    options: dict[str, object]
    kernel: str


class Phases(msgspec.Struct, frozen=True):
    """Seconds of each part, one after the other."""

    server: float
    """From the click to the progress page's word that the server is ready."""
    lab: float
    """From there to JupyterLab's page, the login at the server included."""
    kernel: float
    """From there to a kernel's id."""
    cell: float
    """From there to the result of `1+1`."""

    @property
    def total(self) -> float:
        """From the click to the result."""
        return self.server + self.lab + self.kernel + self.cell


async def visit(wish: Visit) -> Phases:
    """Make the visit. Raises PersonError when the hub does not do what is asked of it, or the result is wrong."""
    async with Person(wish.hub, wish.person) as person:
        await person.log_in(wish.password)
        times = [time.perf_counter()]
        try:
            await person.ask_for_server(wish.options)
            await person.wait_until_ready()
            times.append(time.perf_counter())
            await person.open_lab()
            times.append(time.perf_counter())
            async with person.kernel(wish.kernel) as kernel:
                times.append(time.perf_counter())
                result = await person.run_cell(kernel, "1+1")
                times.append(time.perf_counter())
            if result != "2":
                raise PersonError(f"1+1 gave {result}")
        finally:
            await person.stop()
    return Phases(*(later - earlier for earlier, later in itertools.pairwise(times)))


def main() -> int:
    """Read the visit, make it, print its phases; 1 with a sentence on stderr when it failed."""
    try:
        phases = asyncio.run(visit(msgspec.json.decode(sys.stdin.buffer.read(), type=Visit)))
    except PersonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(phases).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
