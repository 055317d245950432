"""What all parts of the console share: the site, the database, the way to the hub, the record of who did what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import Logger
from typing import TypeVar

from sqlalchemy.orm import Session

from spawner.audit import Audit, AuditError, Field
from spawner.console.errors import NO_DATABASE, NOT_RECORDED, ConsoleError
from spawner.console.hubapi import HubApi
from spawner.quota.ledger import Ledger
from spawner.schedulers.base import Scheduler
from spawner.site import Site
from spawner.store.database import Database, DatabaseDownError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Office:
    """One a process."""

    site: Site
    database: Database
    ledger: Ledger
    hub: HubApi
    scheduler: Scheduler
    audit: Audit
    log: Logger
    now: Callable[[], float] = field(default=time.time)

    async def record(self, event: str, by: str, **fields: Field) -> None:
        """Write down what `by` is about to do. Raises ConsoleError when that can't be: then it must not be done."""
        try:
            await asyncio.to_thread(self.audit.record, event, by=by, **fields)
        except AuditError as error:
            self.log.critical("The audit can't be written: %s", error)
            raise ConsoleError(503, NOT_RECORDED, str(error)) from error

    async def look(self, question: Callable[[Session], _T]) -> _T:
        """What `question` finds in the database. Raises ConsoleError when it does not answer."""

        def ask() -> _T:
            with self.database.read() as session:
                return question(session)

        return await self.blocking(ask)

    async def change(self, act: Callable[[Session], _T]) -> _T:
        """Do `act` in one transaction. Raises ConsoleError when the database does not answer."""

        def write() -> _T:
            with self.database.write() as session:
                return act(session)

        return await self.blocking(write)

    async def blocking(self, call: Callable[[], _T]) -> _T:
        """What `call` returns, made in a thread of its own. Raises ConsoleError when the database does not answer."""
        try:
            return await asyncio.to_thread(call)
        except DatabaseDownError as error:
            self.log.error("The database does not answer: %s", error)  # noqa: TRY400
            raise ConsoleError(503, NO_DATABASE, str(error)) from error
