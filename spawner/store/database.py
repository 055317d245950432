"""One database, SQLite or PostgreSQL, reached the same way: `read` and `write` are each one transaction.

Every call here blocks: from the hub's loop it goes through `asyncio.to_thread`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from spawner.site import Site

WAIT_S = 10.0
"""How long, in seconds, a writer waits for the one before it, and a caller for a connection."""

MIGRATIONS = Path(__file__).with_name("migrations")

_WRITERS = 0x72656E6B6569
"""PostgreSQL's advisory lock of whoever writes: a number of our own ("renkei")."""


class DatabaseDownError(Exception):
    """The database can't be reached or can't be written now: nothing was changed. The text is for the log."""


def database_of(site: Site) -> Database:
    """The site's database. Raises OSError when its password's file can't be read."""
    url = site.database.url or f"sqlite:///{site.hub.state}/renkei.sqlite"
    file = site.database.password_file
    return Database(url, Path(file).read_text().strip() if file is not None else None)


class Database:
    """The database at `url`; `password` where it needs one, from a file and never part of `url`. Connects when first used."""

    def __init__(self, url: str, password: str | None = None) -> None:
        address = make_url(url)
        self._url = address if password is None else address.set(password=password)
        self._engine = _engine(self._url)
        self._writing = self._engine.execution_options(writes=True)
        # SQLite lets writers try again and again, and starves some of them; PostgreSQL's lock is a queue.
        self._turn = threading.Lock() if self._url.get_backend_name() == "sqlite" else None

    @property
    def name(self) -> str:
        """Its address without a password."""
        return self._url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent look. Raises DatabaseDownError."""
        with self._reachable(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, committed at the end of the block and undone when it raises.

        Writers queue from their first statement on, so that what one of them reads stays true until its commit. Raises
        DatabaseDownError.
        """
        with (
            self._in_turn(),
            self._reachable(),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def upgrade(self) -> None:
        """Bring its tables to the newest migration; several processes may do so at once. Raises DatabaseDownError."""
        config = Config()
        config.set_main_option("script_location", MIGRATIONS.as_posix().replace("%", "%%"))
        with self._reachable(), self._writing.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close every connection; it may be used again."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """This process's writers queue here; those of other processes at the file."""
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=WAIT_S):
            raise DatabaseDownError(f"{self.name}: the writers before this one did not come to an end within {WAIT_S:g} s")
        try:
            yield
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, ProgrammingError, DataError):
            raise  # a mistake of the program's
        except (DBAPIError, PoolTimeoutError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise DatabaseDownError(f"{self.name}: {cause}") from error


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": WAIT_S, "check_same_thread": False}, pool_timeout=WAIT_S)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        arguments = {"connect_timeout": round(WAIT_S), "options": f"-c lock_timeout={round(WAIT_S * 1000)}"}
        engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_timeout=WAIT_S)
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  (the driver's own connection)
    """Readers beside a writer (WAL), foreign keys, each commit on the disk before it is believed."""
    # sqlite3 would begin transactions by its own rules; `_begin_sqlite` does it.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.execute(text("SELECT pg_advisory_xact_lock(:writers)"), {"writers": _WRITERS})
