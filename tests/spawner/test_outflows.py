"""What sessions have sent to browsers counts for a day, over restarts of the hub and without a database too."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import select

from spawner.outflows import DAY_S, OutflowRow, Outflows
from spawner.store.database import Database

LOG = logging.getLogger("outflows")


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/renkei.sqlite")
    made.upgrade()
    yield made
    made.close()


def stored(database):
    with database.read() as session:
        return {row.session: row.sent for row in session.scalars(select(OutflowRow))}


async def test_sessions_of_a_day_count_together(database):
    now = [0.0]
    outflows = Outflows(database, LOG, lambda: now[0])
    await outflows.told("a", "tanaka", 10)
    await outflows.told("a", "tanaka", 30)
    await outflows.told("b", "suzuki", 7)
    now[0] = DAY_S / 2
    await outflows.told("c", "tanaka", 5)
    assert (outflows.of("tanaka"), outflows.of("suzuki"), outflows.of("sato")) == (35, 7, 0)
    now[0] = DAY_S + 1
    assert (outflows.of("tanaka"), outflows.of("suzuki")) == (5, 0)
    assert outflows.total == 42
    await outflows.told("d", "sato", 1)
    assert stored(database) == {"c": 5, "d": 1}


async def test_a_hub_that_starts_knows_what_the_one_before_was_told(database):
    now = [1000.0]
    before = Outflows(database, LOG, lambda: now[0])
    await before.told("a", "tanaka", 10)
    now[0] += DAY_S / 2
    await before.told("b", "tanaka", 5)
    after = Outflows(database, LOG, lambda: now[0])
    after.load()
    assert after.of("tanaka") == 15
    await after.told("b", "tanaka", 8)  # the session goes on, and tells of all that it has sent
    assert (after.of("tanaka"), after.total) == (18, 3)
    now[0] += DAY_S / 2
    assert after.of("tanaka") == 8


async def test_a_database_that_is_away_loses_no_count_and_gets_it_later(database, tmp_path, caplog):
    outflows = Outflows(database, LOG, lambda: 1000.0)
    database.close()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    for path in files:
        path.rename(folder / path.name)
    (tmp_path / "renkei.sqlite").mkdir()
    await outflows.told("a", "tanaka", 10)
    assert outflows.of("tanaka") == 10
    assert "not in the database" in caplog.text

    (tmp_path / "renkei.sqlite").rmdir()
    for path in files:
        (folder / path.name).rename(path)
    await outflows.told("b", "suzuki", 1)
    assert stored(database) == {"a": 10, "b": 1}
