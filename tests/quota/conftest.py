"""A ledger of each test's own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from spawner.quota.ledger import Ledger
from spawner.quota.tables import ChargeRow, DifferenceRow, ExemptionRow, RuleRow
from spawner.store.database import Database
from tests.quota.samples import TOKYO


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    database = Database(f"sqlite:///{tmp_path}/renkei.sqlite")
    database.upgrade()
    yield Ledger(database, TOKYO)
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """The address of a database with tables and nothing in them."""
    address = request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/both.sqlite"
    database = Database(address)
    database.upgrade()
    yield address
    with database.write() as session:
        for table in (ChargeRow, DifferenceRow, ExemptionRow, RuleRow):
            session.execute(delete(table))
    database.close()


@pytest.fixture
def either(url) -> Ledger:
    """A ledger on each of the two databases."""
    database = Database(url)
    yield Ledger(database, TOKYO)
    database.close()
