"""A month of sessions of three groups, the same every time: something to preview rules against and to draw."""

from __future__ import annotations

import random

import msgspec

from spawner.console.tables import ActivityRow
from spawner.quota.ledger import Source, State
from spawner.quota.tables import ChargeRow
from spawner.store.database import Database
from tests.store.test_database import row

DAY_S = 86_400.0
WHO = {
    "tanaka": ("radiology",), "suzuki": ("radiology",), "kato": ("residents",), "ito": ("residents",), "abe": ("students",),
}  # fmt: skip


def fill(database: Database, now: float) -> None:
    """Write it down: about two sessions a working day, and what runs and waits just now."""
    chance = random.Random(4)  # noqa: S311  (a picture, no secret)
    with database.write() as session:
        for number in range(60):
            user = chance.choice(tuple(WHO))
            at = now - chance.uniform(1, 29.5) * DAY_S
            gpus, hours = chance.choice((1, 1, 2, 4)), chance.choice((1.0, 2.0, 4.0, 8.0))
            session.add(
                ChargeRow(
                    session=f"{number:016d}",
                    user=user,
                    groups=msgspec.json.encode(WHO[user]).decode(),
                    resource_group="ct-link",
                    destination="cloud",
                    gpus=gpus,
                    hours=hours,
                    at=at,
                    state=State.SETTLED.value,
                    began=at + 60,
                    ended=at + 60 + hours * 3600 * chance.uniform(0.3, 1),
                    job=str(1000 + number),
                    source=Source.SCHEDULER.value,
                )
            )
        for number, (user, state, gpus, busy) in enumerate(
            (("kato", "running", 2, 0.83), ("ito", "running", 4, 0.01), ("abe", "queued", 1, None))
        ):
            name = f"m{number:015d}"
            times = {"running": now - 3000, "deadline": now + 4000} if state == "running" else {}
            session.add(row(name, user=user, state=state, gpus=gpus, job=str(2000 + number), wished=now - 4000, **times))
            session.flush()
            if busy is not None:
                session.add(ActivityRow(session=name, at=now + 3600, kernels_busy=1, gpu_busy=busy, node="cx01", waits_for=""))
