"""`bin/bench ledger`: sessions reserved and settled a second, on SQLite and on PostgreSQL."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import insert

from bench.report import Report, say
from spawner.quota.ledger import Ledger, Source, State
from spawner.quota.policy import Kind, Rule, Scope, Window, Wish
from spawner.quota.tables import ChargeRow
from spawner.schedulers.base import Times
from spawner.store.database import Database
from testbed import postgres
from testbed.host import TestbedError

PEOPLE = 81
PAST = 5_000
"""Sessions of the last 30 days that lie in the ledger already: two a person and day."""
THREADS = 8
ZONE = ZoneInfo("Asia/Tokyo")
RULES = (
    Rule(scope=Scope.EVERYONE, kind=Kind.SESSIONS, limit=50),
    Rule(scope=Scope.EVERYONE, kind=Kind.HOURS, limit=24),
    Rule(scope=Scope.EVERYONE, kind=Kind.GPU_HOURS, limit=1e6, window=Window.MONTH),
    Rule(scope=Scope.GROUP, subject="residents", kind=Kind.GPUS, limit=4000, shared=True),
    Rule(scope=Scope.GROUP, subject="residents", kind=Kind.GPU_HOURS, limit=1e6, window=Window.DAY, shared=True),
)


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one database did."""

    each_second: float
    one_by_one: float
    """With a single caller, who waits for each."""
    cpu_ms: float
    """Processor time of the hub's side for one session, in milliseconds."""
    sessions: int


def fill(ledger: Ledger, database: Database, now: float) -> None:
    """Rules and a month of sessions."""
    for rule in RULES:
        ledger.set_rule(rule)
    draw = random.Random(1)  # noqa: S311  (times, no secret)
    rows: list[dict[str, object]] = []
    for number in range(PAST):
        began, person = now - draw.uniform(3600, Window.MONTH.seconds), number % PEOPLE
        row: dict[str, object] = {
            "session": f"past{number:012}",
            "user": f"p{person}",
            "groups": _groups(person),
            "resource_group": "ct",
        }
        row |= {"destination": "cloud", "gpus": 1, "hours": 4.0, "at": began, "began": began, "ended": began + 3000}
        rows.append(row | {"state": State.SETTLED.value, "job": str(number), "source": Source.SCHEDULER.value})
    with database.write() as session:
        session.execute(insert(ChargeRow), rows)


def _groups(person: int) -> str:
    return '["residents"]' if person % 3 == 0 else "[]"


def one(ledger: Ledger, number: int, name: str) -> None:
    """A session from its wish to its end."""
    now, person = time.time(), number % PEOPLE
    groups = tuple(msgspec.json.decode(_groups(person), type=list[str]))
    session, user = f"{name}{number:012}", f"p{person}"
    wish = Wish(session=session, user=user, groups=groups, resource_group="ct", destination="cloud", gpus=1, hours=1.0, at=now)
    if ledger.reserve(wish) is not None or not ledger.settle(session, "1", Times(began=now, ended=now + 1), Source.SCHEDULER):
        raise RuntimeError(f"session {session} was not reserved and settled once")


def measure(url: str, sessions: int) -> Rate:
    """Sessions a second at the database `url`, with THREADS callers and with one."""
    database = Database(url)
    database.upgrade()
    ledger = Ledger(database, ZONE)
    fill(ledger, database, time.time())
    alone, used = max(1, sessions // 4), time.process_time()
    begun = time.perf_counter()
    for number in range(alone):
        one(ledger, number, "solo")
    single = alone / (time.perf_counter() - begun)
    cpu = (time.process_time() - used) / alone
    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: one(ledger, number, "many"), range(sessions)))
    rate = sessions / (time.perf_counter() - begun)
    database.close()
    return Rate(each_second=round(rate, 1), one_by_one=round(single, 1), cpu_ms=round(cpu * 1000, 2), sessions=sessions)


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """An empty database of each kind, both on this machine's disk."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="renkei-ledger-"))
        yield {"sqlite": f"sqlite:///{folder}/renkei.sqlite", "postgresql": stack.enter_context(postgres.cluster())}


def main() -> int:
    """Measure both."""
    parser = argparse.ArgumentParser(prog="bin/bench ledger")
    parser.add_argument("--sessions", type=int, default=1000)
    options = parser.parse_args()
    try:
        with databases() as urls:
            rates = {}
            for name, url in urls.items():
                rates[name] = measure(url, options.sessions)
                say(f"{name}: {rates[name].each_second:g} sessions reserved and settled a second")
    except TestbedError as error:
        say(str(error))
        return 1
    detail: dict[str, object] = {
        **{name: msgspec.to_builtins(rate) for name, rate in rates.items()},
        "callers": THREADS, "sessions_before": PAST, "people": PEOPLE, "rules": len(RULES),
    }  # fmt: skip
    Report(bench="ledger", value=rates["sqlite"].each_second, unit="sessions/s", better="higher", detail=detail).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
