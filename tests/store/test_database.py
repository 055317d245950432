"""One database, migrated from inside the package; writers queue, and a database that is away says so."""

from __future__ import annotations

import importlib
import pkgutil
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import spawner
from spawner.store.database import MIGRATIONS, Database, DatabaseDownError
from spawner.store.tables import Base, SessionRow


def row(name: str, **others: object) -> SessionRow:
    values = {
        "id": name, "user": "tanaka", "server": "", "account": "rs-tanaka", "uid": 3001, "resource_group": "ct",
        "destination": "cloud", "gpus": 1, "hours": 1.0, "language": "ja", "cloud_account": "tanaka",
        "cloud_folder": "/srv/cloud/tanaka", "state": "wish", "job": "", "wished": 1.0, "address": "", "port": 0,
        "key_hash": "", "ticket_hash": "", "ticket_shown": False, "ssh_public_key": "", "deadline": 0.0, "began": 0.0,
        "certificates": 0, "first_serial": 0, "last_serial": 0,
    }  # fmt: skip
    return SessionRow(**(values | others))


def test_the_migrations_are_one_chain_with_one_head():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_migrations_make_exactly_what_the_tables_say(database):
    # Every module of the room, because each may bring tables.
    for module in pkgutil.walk_packages(spawner.__path__, "spawner."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)

    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgrade_of_what_is_newest_changes_nothing(database):
    with database.write() as session:
        session.add(row("a" * 16))
    database.upgrade()

    with database.read() as session:
        assert session.get_one(SessionRow, "a" * 16).user == "tanaka"


def test_a_block_that_raises_leaves_nothing(database):
    def fail_half_way() -> None:
        with database.write() as session:
            session.add(row("a" * 16))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()

    with database.read() as session:
        assert session.get(SessionRow, "a" * 16) is None


def test_writers_queue_so_that_what_one_reads_stays_true(database):
    with database.write() as session:
        session.add(row("a" * 16, gpus=0))

    def add_one() -> None:
        with database.write() as session:
            session.get_one(SessionRow, "a" * 16).gpus += 1

    threads = [threading.Thread(target=add_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as session:
        assert session.get_one(SessionRow, "a" * 16).gpus == 20


def test_a_mistake_of_the_program_is_not_called_a_database_that_is_down(database):
    with pytest.raises(IntegrityError), database.write() as session:
        session.add_all([row("a" * 16), row("a" * 16)])


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.sqlite", "postgresql://renkei@127.0.0.1:1/renkei"])
def test_a_database_that_is_away_says_so_without_its_password(url):
    away = Database(url, password="very-secret" if url.startswith("postgresql") else None)

    with pytest.raises(DatabaseDownError) as caught, away.write() as session:
        session.execute(text("SELECT 1"))
    assert "very-secret" not in str(caught.value)
