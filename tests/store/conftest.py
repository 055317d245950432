"""A database of each test's own, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from spawner.store.database import Database
from spawner.store.tables import SessionRow


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> Iterator[Database]:
    """One with tables and no session in it."""
    made = Database(request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/renkei.sqlite")
    made.upgrade()
    yield made
    with made.write() as session:
        session.execute(delete(SessionRow))
    made.close()
