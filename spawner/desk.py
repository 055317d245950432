"""What all sessions of one hub process share.

The batch system and its watcher, the registry, the authority, the audit, and the call-back listener that jobs reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from logging import Logger
from pathlib import Path
from zoneinfo import ZoneInfo

from tornado.httpserver import HTTPServer

from enclave.messages import Reason
from spawner import metrics
from spawner.adoption import Adoption
from spawner.audit import Audit, AuditError
from spawner.authority.client import AuthorityClient
from spawner.callback import CallBack
from spawner.endings import KEPT, Endings
from spawner.firstcall import OWNERS_REASONS, FirstCall, known_hosts
from spawner.listener import make_server
from spawner.mailbox import Mailbox
from spawner.outflows import Outflows
from spawner.owner.owners import Owner, Owners, line_to
from spawner.owner.protocol import Live, Why
from spawner.quota.gate import Gate, Over
from spawner.quota.ledger import Ledger
from spawner.quota.policy import Refused
from spawner.residue.collector import Residue
from spawner.schedulers.accounting import Accounting
from spawner.schedulers.base import JobState, JobStatus, Scheduler, SchedulerError
from spawner.schedulers.choice import adapter
from spawner.schedulers.watcher import Watcher
from spawner.sessions import Session, Sessions, State, Step
from spawner.site import Site
from spawner.store.database import database_of
from spawner.store.records import Records
from spawner.tls import InternalAuthority

CERTIFICATE_S = 10 * 365 * 86_400.0
"""Seconds that the listener's certificate is valid: its key lives as long as the hub process."""

GOODBYE_S = 20.0
"""How long the end of a job is waited for, in seconds."""

INSIST_S = 60.0
"""Seconds between two attempts to end a job that did not end."""

LAST_PAUSE_S = 5.0
"""The pauses between two looks whether a job has ended grow to this, in seconds."""

ONE_COMMAND_S = 5.0
"""Even who does not wait gives the batch system this long to take one command."""


class Desk:
    """One a hub process. `open` before the first session; everything else answers only after it."""

    def __init__(self, site: Site, log: Logger, scheduler: Scheduler | None = None) -> None:
        self.site = site
        self.log = log
        self.scheduler: Scheduler = scheduler or adapter(site)
        self.watcher = Watcher(self.scheduler, site.scheduler.poll_seconds, log)
        self.sessions = Sessions()
        self.authority = AuthorityClient(site.authority.socket)
        self.audit = Audit(site.hub.audit_log)
        self.owners = Owners(())
        self.endings = Endings()
        self.residue = Residue(
            folder=Path(site.hub.state, "statements"),
            scheduler=self.watcher,
            sessions=self.sessions,
            owner=self._owner,
            unmunge=site.scheduler.unmunge,
            audit=self.audit,
            log=log,
        )
        self.database = database_of(site)
        self.gate = Gate(
            Ledger(self.database, ZoneInfo(site.hub.time_zone)),
            self.watcher,
            Accounting(site.scheduler.commands) if site.scheduler.accounting else None,
            self._holding,
            log,
        )
        self.outflows = Outflows(self.database, log)
        self.callback_ca = ""
        self.records = Records(self.database, log)
        self.adoption = Adoption(
            sessions=self.sessions,
            records=self.records,
            scheduler=self.scheduler,
            attend=self.attend,
            insist=self.insist,
            end=self.end,
            log=log,
        )
        self.mailbox = Mailbox(self.database, self.sessions, self.watcher, log)
        self._server: HTTPServer | None = None
        self._insisting: set[asyncio.Future[None]] = set()
        self._revoking: set[asyncio.Future[bool]] = set()

    @property
    def callback_url(self) -> str:
        """Where a node reaches the listener."""
        host = f"[{self.site.hub.address}]" if ":" in self.site.hub.address else self.site.hub.address
        return f"https://{host}:{self.site.hub.callback_port}"

    def open(self, certificates: str, client_trust: str) -> None:
        """Listen for jobs; a second call does nothing.

        `certificates` is JupyterHub's internal_certs_location, `client_trust` the bundle of who may connect to a notebook.
        Raises OSError when the port is taken, and DatabaseDownError: a hub that can't know its sessions does not start.
        """
        if self._server is not None:
            return
        self.database.upgrade()
        self.outflows.load()
        hub = InternalAuthority(certificates, "hub-ca")
        self.callback_ca = hub.pem
        self.owners = self._owners()
        first = FirstCall(
            site=self.site,
            scheduler=self.watcher,
            authority=self.authority,
            owners=self.owners,
            audit=self.audit,
            notebooks=InternalAuthority(certificates, "notebooks-ca"),
            client_ca=Path(client_trust).read_text(),
            hub_ca=hub.pem,
            outflows=self.outflows,
            end=self.end,
            log=self.log,
        )
        callback = CallBack(
            site=self.site,
            sessions=self.sessions,
            first=first,
            authority=self.authority,
            statements=self.residue,
            audit=self.audit,
            outflows=self.outflows,
            log=self.log,
        )
        server = make_server(callback, hub.server_context(certificates, self.site.hub.address, CERTIFICATE_S))
        server.listen(self.site.hub.callback_port, address=self.site.hub.address)
        self._server = server
        # Before the owners hear who is alive: to them, a session that is not named is over.
        ended = self.records.last_ended(KEPT)
        self.endings.recall(ended)
        for saved in ended:
            self.scheduler.know(saved.account, saved.job)
        self.adoption.load()
        self.owners.start()
        self.residue.resume()
        self.gate.open()
        self.mailbox.open()
        self.adoption.begin()
        self.log.info("Jobs report at %s", self.callback_url)

    def close(self) -> None:
        """Stop listening and asking."""
        self.watcher.close()
        self.adoption.close()
        self.residue.stop()
        self.gate.close()
        self.mailbox.close()
        self.owners.close()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _owner(self, destination: str) -> Owner | None:
        return self.owners.find(destination)

    def _owners(self) -> Owners:
        """A line to the owner of each destination that has one. Raises OSError when a file of it can't be read or written."""
        return Owners(
            Owner(
                each.name,
                each.owner,
                line_to(each, each.owner, self.site.hub.state, known_hosts),
                live=functools.partial(self.living, each.name),
                ended=self._owner_ended,
                log=self.log,
            )
            for each in self.site.destination
            if each.owner is not None
        )

    def living(self, destination: str) -> tuple[Live, ...]:
        """The sessions whose mount of `destination` is to work now: from the answer to their job until that has ended."""
        return tuple(
            Live(session=each.id, account=each.saved.cloud.account, user=each.saved.user)
            for each in self.sessions
            if each.saved.request.destination == destination and each.saved.state in {State.STARTING, State.RUNNING, State.ENDING}
        )

    def _owner_ended(self, session_id: str, why: Why) -> None:
        """The owner does not have this session: it ends, and its job with all that it holds of the data."""
        session = self.sessions.find(session_id)
        if session is None or session.saved.state is State.ENDING:
            return
        self.log.warning("Session %s of %s: the data owner says %s", session.id, session.saved.user, why)
        session.fail(OWNERS_REASONS[why], f"the data owner says: {why}")
        ending = asyncio.ensure_future(self.end(session, OWNERS_REASONS[why]))
        self._revoking.add(ending)
        ending.add_done_callback(self._revoking.discard)

    def attend(self, session: Session) -> None:
        """Register `session`, and follow its job where it has one already."""
        session.keeper = self.records
        self.sessions.add(session)
        self.scheduler.know(session.saved.account, session.saved.job)
        if session.saved.job:
            self.follow(session)

    def follow(self, session: Session) -> None:
        """Tell `session` what the batch system says about its job."""

        def told(status: JobStatus) -> None:
            if status.state is JobState.PENDING:
                session.note(Step.QUEUED, status.reason, status.starts, status.before)
            elif status.state is JobState.UNKNOWN and session.waiting:
                session.note(Step.SCHEDULER_SILENT)
            elif status.state is JobState.RUNNING and session.waiting:
                session.note(Step.RUNNING)
            else:
                session.wake()

        self.scheduler.know(session.saved.account, session.saved.job)
        self.watcher.watch(session.saved.job, told, fast=session.saved.state is not State.RUNNING)

    async def end(self, session: Session, reason: Reason, *, wait_s: float = GOODBYE_S) -> bool:
        """Cancel the session's job, wait until the batch system agrees, `wait_s` at most, and close the session.

        Whether it agreed; if not, the job is seen after without anybody waiting. Errors are logged, none is raised.
        """
        session.enter(State.ENDING)
        # The first word counts: who presses the button while the owner's word is being done did not end it.
        session.told_to_end = session.told_to_end or reason
        session.wake()
        job, account = session.saved.job, session.saved.account
        ended = False
        try:
            ended = not job or await self._cancel(job, account, wait_s)
        finally:
            self.close_session(session, session.told_to_end, ended=ended)
            if not ended:
                self.insist(job, account, session)
        return ended

    def close_session(self, session: Session, reason: Reason | None, *, ended: bool = True) -> None:
        """The session is over, and its job too where it has `ended`; closing it again does nothing."""
        if session.closed:
            return
        self.sessions.close(session)
        session.saved.reason = reason
        session.enter(State.ENDED if ended else State.ENDING)
        if not session.saved.job:
            self.adoption.doubt(session.saved)
        self.settle(session)
        self.watcher.forget(session.saved.job)
        owner = self.owners.find(session.saved.request.destination)
        if owner is not None:
            owner.over(session.id)
        self.residue.closed(session, reason)
        self.endings.remember(session, reason)
        try:
            self.audit.record("session-end", session=session.id, user=session.saved.user, job=session.saved.job, reason=reason)
        except AuditError as error:
            # The end can't be undone, so a full disk is an error in the log.
            self.log.error("The audit could not be written: session %s ended: %s", session.id, error)  # noqa: TRY400

    def settle(self, session: Session) -> None:
        """What was reserved for `session` is settled, by the times that the batch system tells."""
        saved = session.saved
        status = self.watcher.status(saved.job)
        self.gate.closed(Over(session=saved.id, user=saved.user, job=saved.job, began=saved.began or None, status=status))

    def _holding(self) -> dict[str, tuple[str, float | None]]:
        """Each session that is not over, with its job and when that began."""
        return {each.id: (each.saved.job, each.saved.began or None) for each in self.sessions}

    def refused(self, user: str, reason: Reason) -> None:
        """A wish of `user` became no session."""
        metrics.refused(reason)
        try:
            self.audit.record("session-refused", user=user, reason=reason)
        except AuditError as error:
            self.log.error("The audit could not be written: %s was refused a session: %s", user, error)  # noqa: TRY400

    def forbidden(self, user: str, refused: Refused) -> None:
        """A rule forbids a wish of `user`."""
        metrics.forbidden(refused)
        rule = refused.rule
        whom = {"scope": rule.scope.value, "subject": rule.subject}
        try:
            self.audit.record(
                "quota-refused", user=user, rule=rule.id, kind=rule.kind.value, left=refused.left, wanted=refused.wanted, **whom
            )
        except AuditError as error:
            self.log.error("The audit could not be written: rule %d forbids a wish of %s: %s", rule.id, user, error)  # noqa: TRY400

    def insist(self, job: str, account: str, session: Session | None = None) -> None:
        """See to it that `job`, which nobody needs any more, ends, however long the batch system takes; returns at once.

        It may be a closed `session`'s, which has then ended.
        """

        async def until_ended() -> None:
            while not await self._cancel(job, account, INSIST_S):
                self.log.error("Job %s of %s was told to end and has not", job, account)
            self.watcher.forget(job)
            if session is not None:
                session.enter(State.ENDED)

        task = asyncio.ensure_future(until_ended())
        self._insisting.add(task)
        task.add_done_callback(self._insisting.discard)

    async def _cancel(self, job: str, account: str, wait_s: float) -> bool:
        """Cancel `job`; whether it ended within `wait_s`. A cancel that the batch system does not take is said again."""
        self.scheduler.know(account, job)
        self.watcher.watch(job, lambda _: None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(wait_s, ONE_COMMAND_S)):
                await self._tell_to_end(job, account)
                until, pause = time.monotonic() + wait_s, 0.2
                while time.monotonic() < until and self.watcher.status(job).state is not JobState.ENDED:
                    await self.watcher.look(job)
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, LAST_PAUSE_S)
        return self.watcher.status(job).state is JobState.ENDED

    async def _tell_to_end(self, job: str, account: str) -> None:
        while True:
            try:
                await self.scheduler.cancel(job, account)
            except SchedulerError as error:
                self.log.warning("Job %s could not be cancelled: %s", job, error)
                await asyncio.sleep(1)
            else:
                return
