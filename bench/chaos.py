"""`bin/bench chaos`: random faults over live sessions on a real batch system; how many were orphaned, lost or charged twice."""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import math
import random
import sys
import time
from dataclasses import dataclass, field

import aiohttp

from bench.batch import BATCHES, Batch
from bench.faults import DATABASE, faults
from bench.person import Person, PersonError
from bench.report import Report, say
from testbed import services
from testbed.build import Texts
from testbed.host import TestbedError
from testbed.site import Testbed

PEOPLE = ("tanaka", "suzuki")
"""Who may have a session at the testbed's site."""
COUNT = 500
BETWEEN = 10
"""Faults between two looks at what is left."""
CALM_S = 120.0
"""Seconds in which all has to agree again once nothing goes wrong any more."""
SLACK_S = 5.0
"""Seconds by which a charge may be longer than the batch system's own time for the job."""
WISHED = ("stopped", "cancelled")
"""Reasons of an end that somebody asked for: the button, and the batch system's own word for it."""
ASKED_S = 180.0
"""An end is somebody's wish when it comes within so many seconds of it: it may have to wait for the hub."""


@dataclass
class Seen:
    """What happened, as far as sessions may end of it."""

    stops: list[tuple[str, float]] = field(default_factory=list)
    """Person and time of each order to stop."""
    cuts: list[float] = field(default_factory=list)
    """When nodes lost what ran on them."""
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: collections.Counter[str] = field(default_factory=collections.Counter)


def asked(site: Testbed, statement: str) -> list[dict[str, object]]:
    """What the hub's database answers, asked where it lies and as its owner."""
    program = (
        f"import json, sqlite3\nit = sqlite3.connect({DATABASE!r}, timeout=30)\nit.row_factory = sqlite3.Row\n"
        f"print(json.dumps([dict(row) for row in it.execute({statement!r})]))"
    )
    answer = site.run("hub", [services.PYTHON, "-c", program], user="jupyterhub", check=True)
    rows: list[dict[str, object]] = json.loads(answer.stdout)
    return rows


async def live(site: Testbed, name: str, chance: random.Random, seen: Seen, over: asyncio.Event) -> None:
    """One person's day: ask, work a little, stop or come back; whatever goes wrong, try again."""
    while not over.is_set():
        with contextlib.suppress(PersonError, aiohttp.ClientError, TimeoutError, KeyError):
            async with asyncio.timeout(180), Person(site.url, name) as person:
                await person.log_in(site.passwords[name])
                await person.ask_for_server({"language": "en"})
                await person.wait_until_ready()
                await asyncio.sleep(chance.uniform(1, 20))
                await person.open_lab()
                if chance.random() < 0.5:
                    seen.stops.append((name, time.time()))
                    await person.stop()
        await asyncio.sleep(0.5)


async def running(site: Testbed, many: int) -> None:
    """Wait until so many sessions run. Raises TestbedError when they don't within the time that a start may take."""
    for _ in range(round(CALM_S)):
        rows = await asyncio.to_thread(asked, site, "SELECT id FROM session WHERE state = 'running'")
        if len(rows) >= many:
            return
        await asyncio.sleep(1)
    raise TestbedError("no sessions to let things go wrong with")


def disagreement(site: Testbed, batch: Batch) -> tuple[set[str], set[str]]:
    """Jobs that are nobody's, and sessions whose job is not there."""
    rows = asked(site, "SELECT id, job, state FROM session WHERE state != 'ended'")
    alive = {(job.number, job.name) for job in batch.jobs(site.host("hub")) if job.alive}
    mine = {(str(row["job"]), batch.listed(str(row["id"]))) for row in rows}
    return {name for _, name in alive - mine}, {name for _, name in mine - alive}


async def settled(site: Testbed, batch: Batch, seen: Seen) -> None:
    """Wait until database and batch system agree, and count what does not."""
    end = time.monotonic() + CALM_S
    left = await asyncio.to_thread(disagreement, site, batch)
    for _ in range(round(CALM_S)):
        if not any(left) or time.monotonic() > end:
            break
        await asyncio.sleep(1)
        left = await asyncio.to_thread(disagreement, site, batch)
    seen.wrong["orphans"] += len(left[0])
    seen.wrong["lost"] += len(left[1])
    for name in left[0] | left[1]:
        say(f"WRONG: {name} is an orphan or lost")


def ended(site: Testbed, batch: Batch, seen: Seen, since: float) -> None:
    """Count sessions that ran and ended without anybody's wish, doubles, and charges that are too long."""
    rows = asked(site, f"SELECT * FROM session WHERE state = 'ended' AND ended > {since} AND running IS NOT NULL")  # noqa: S608
    for row in rows:
        over, began = float(str(row["ending"] or row["ended"])), float(str(row["running"]))
        wished = any(user == row["user"] and began < at + ASKED_S and at - 1 < over < at + ASKED_S for user, at in seen.stops)
        cut = any(began - ASKED_S < at < over + 1 for at in seen.cuts)
        if not (wished and row["reason"] in WISHED) and not cut:
            seen.wrong["lost"] += 1
            say(f"WRONG: session {row['id']} of {row['user']} ended: {row['reason']}")
    known = batch.jobs(site.host("hub"))
    names = collections.Counter(job.name for job in known)
    seen.wrong["doubles"] += sum(count - 1 for name, count in names.items() if name.startswith(batch.listed("")))
    lasted = {job.number: job.seconds for job in known if job.seconds is not None}
    for charge in asked(site, "SELECT session, job, ended - began AS seconds FROM quota_charge WHERE state = 'settled'"):
        seconds = lasted.get(str(charge["job"]))
        if seconds is not None and float(str(charge["seconds"] or 0)) > seconds + SLACK_S:
            seen.wrong["double-charged"] += 1
            say(f"WRONG: session {charge['session']} was charged {charge['seconds']} s and ran {seconds} s")


async def chaos(site: Testbed, batch: Batch, count: int | None, seed: int, minutes: float = math.inf) -> Seen:
    """`count` faults (None: one of each kind), one after the other, all kinds equally often, in random order; what came of them.

    After `minutes` the ten faults that are under way are the last.
    """
    chance, seen, over = random.Random(seed), Seen(), asyncio.Event()  # noqa: S311  (no secret: a seed repeats it)
    people = [asyncio.create_task(live(site, name, random.Random(f"{seed}{name}"), seen, over)) for name in PEOPLE]  # noqa: S311
    await running(site, len(PEOPLE))
    kinds = faults(batch)
    count = len(kinds) if count is None else count
    since, until = time.time(), time.monotonic() + minutes * 60
    order = [kinds[number % len(kinds)] for number in range(count)]
    chance.shuffle(order)
    for number, fault in enumerate(order, 1):
        await asyncio.sleep(chance.uniform(0, 3))
        begun = time.time()
        lost = await asyncio.to_thread(fault, site, batch, chance)
        seen.faults[fault.__name__] += 1
        if lost:
            seen.cuts += [begun, time.time()]
        say(f"{number}/{count}: {fault.__name__} {lost}")
        if number % BETWEEN == 0 or number == count:
            await settled(site, batch, seen)
            await asyncio.to_thread(ended, site, batch, seen, since)
            since = time.time()
            if time.monotonic() > until:
                break
    over.set()
    for task in people:
        task.cancel()
    await asyncio.gather(*people, return_exceptions=True)
    return seen


def report(seen: Seen, site: Testbed, scheduler: str, seed: int) -> Report:
    """The sum of what went wrong, and what happened."""
    became = asked(site, "SELECT coalesce(reason, state) AS what, count(*) AS many FROM session GROUP BY 1")
    detail: dict[str, object] = {
        "scheduler": scheduler,
        "seed": seed,
        "faults": dict(seen.faults),
        "wrong": dict(seen.wrong),
        "sessions": {str(row["what"]): row["many"] for row in became},
    }
    unit = "orphans + lost + double-charged"
    return Report(bench="chaos", value=float(sum(seen.wrong.values())), unit=unit, better="lower", detail=detail)


def main() -> int:
    """Bring a testbed up, let things go wrong, take it away."""
    parser = argparse.ArgumentParser(prog="bin/bench chaos")
    parser.add_argument("--faults", type=int, default=COUNT)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no more faults after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one fault of each kind")
    parser.add_argument("--scheduler", choices=sorted(BATCHES), default="slurm", help="the site's batch system")
    options = parser.parse_args()
    site = Testbed("bench-chaos", progress=say)
    try:
        site.up(texts=Texts.on(options.scheduler, site.source))
        batch = BATCHES[options.scheduler]()
        seen = asyncio.run(chaos(site, batch, None if options.quick else options.faults, options.seed, options.minutes))
        report(seen, site, options.scheduler, options.seed).print()
    except TestbedError as error:
        say(str(error))
        return 1
    finally:
        site.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
