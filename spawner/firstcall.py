"""The job's one call for everything it needs: proved, held against the batch system's own record, answered once a session.

Whoever calls is hostile until the proof is accepted.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable
from logging import Logger
from pathlib import Path
from typing import Protocol

from enclave.messages import Destination, Finding, ProofKind, Reason, Start, Welcome, binding
from phrases import N_, translator
from spawner import fitness, reasons
from spawner.allowance import allowance
from spawner.audit import Audit, AuditError
from spawner.authority.client import AuthorityClient
from spawner.calls import RefusedError, decoded, near, sign
from spawner.hub import person_host
from spawner.outflows import Outflows
from spawner.owner.owners import OwnerDownError, OwnerEndedError, OwnerRefusedError, Owners
from spawner.owner.protocol import Why
from spawner.proof import ProofError, unmunge
from spawner.schedulers.base import JobState, JobStatus, Lookup, SchedulerError
from spawner.sessions import Session, State, Step
from spawner.site import Site
from spawner.store.database import DatabaseDownError
from spawner.timing import clock, storage_words
from spawner.tls import BadRequestError, InternalAuthority, requested_key

JOB_KNOWN_S = 20.0
"""How long a call waits for the batch system to say that the job runs: the job may be faster than its own submission, and one
command that hangs is given up after 10 s."""

TAKEN_UP_S = 45.0
"""How long a call waits for the session to be somebody's. A hub that has just started hears jobs long before it hears people; both
waits together are shorter than the job waits for its answer, which it asks for once."""

GRACE_S = 7 * 86_400.0
"""Seconds that the doorway's certificate outlives the job's time, which an administrator may extend. Its key never leaves the job's
memory, so a longer life opens nothing."""

END_S = 60.0
"""Seconds before the batch system's own limit at which a session ends: taking down server and mount, overwriting the GPUs' memory
and the report take up to half a minute, and Slurm's patience after its limit (KillWait) is no longer."""

OWNERS_REASONS = {Why.REVOKED: Reason.REVOKED, Why.NO_GRANT: Reason.NOT_GRANTED}
"""Why a session may not go on, in the owner's words and in ours."""


class End(Protocol):
    """Ends a session and its job; see `spawner.desk.Desk.end`."""

    def __call__(self, session: Session, reason: Reason) -> Awaitable[bool]:
        """End `session` because of `reason`; whether the batch system agreed in time."""


class FirstCall:
    """Answers the `start` of jobs."""

    def __init__(
        self,
        *,
        site: Site,
        scheduler: Lookup,
        authority: AuthorityClient,
        owners: Owners,
        audit: Audit,
        notebooks: InternalAuthority,
        client_ca: str,
        hub_ca: str,
        outflows: Outflows,
        end: End,
        log: Logger,
    ) -> None:
        self.site = site
        self.scheduler = scheduler
        self.authority = authority
        self.owners = owners
        self.audit = audit
        self.notebooks = notebooks
        self.client_ca = client_ca
        self.hub_ca = hub_ca
        self.outflows = outflows
        self.end = end
        self.log = log
        self._ending: set[asyncio.Future[bool]] = set()

    async def answer(self, session: Session, peer: str, body: bytes) -> Welcome:
        """The job's one call for everything it needs; answered once a session, to the job that the hub submitted.

        A ticket is good for one call, whatever is answered. One that is shown again, or by whom it was not given to, was stolen: it
        ends the session. Raises RefusedError for a call that is not believed.
        """
        start = decoded(body, Start)
        shown = session.is_ticket(start.ticket)
        first = not shown or session.take_ticket()
        try:
            near(self.site, session, peer)
            self._fits(session, start, first=first)
            return await self._noted(session, peer, start)
        except RefusedError as error:
            if shown and error.reason is Reason.PROOF_REFUSED:
                self._stolen(session, error)
            raise

    def _fits(self, session: Session, start: Start, *, first: bool) -> None:
        if start.session != session.id:
            raise RefusedError(403, Reason.PROOF_REFUSED, "the body speaks of another session")
        self._not_again(session)
        if not first:
            raise RefusedError(409, Reason.PROOF_REFUSED, "its ticket was shown before")

    async def _noted(self, session: Session, peer: str, start: Start) -> Welcome:
        try:
            welcome = await self._start(session, peer, start)
        except RefusedError as error:
            session.refused = (error.reason, str(error))
            raise
        # Who was refused before was not its job.
        session.refused = None
        return welcome

    async def _start(self, session: Session, peer: str, start: Start) -> Welcome:
        await _awaited(session)
        if not hmac.compare_digest(start.job.encode(), session.saved.job.encode()):
            raise RefusedError(403, Reason.PROOF_REFUSED, "the call names another job")
        # The cheap checks first: who can't prove anything must not make the hub ask the batch system.
        try:
            host = await self._proved(session, start, peer)
            key = requested_key(start.tls_request)
        except (ProofError, BadRequestError) as error:
            raise RefusedError(403, Reason.PROOF_REFUSED, str(error)) from error
        status, addresses = await self._place(session, peer)
        if not {peer, host} <= set(addresses):
            said = f"called from {peer}, proved by {host}, but the job runs on {status.node}: {', '.join(addresses)}"
            raise RefusedError(403, Reason.PROOF_REFUSED, said)
        # From here on without a pause until the state says so: of two calls with a good proof, one wins.
        self._not_again(session)
        if session.environment is None or session.failure is not None:
            raise RefusedError(409, Reason.PROOF_REFUSED, "nobody waits for the session any more")
        # A job that calls does run, whether or not the batch system was heard to say so.
        session.note(Step.RUNNING)
        session.note(Step.PREFLIGHT)
        self._fit(session, start.findings, status.node or peer)
        saved = session.saved
        session.enter(State.STARTING)
        saved.address, saved.port = peer, start.port
        saved.ssh_public_key = start.ssh_public_key
        saved.began = time.time()
        limit = status.ends or time.time() + saved.request.hours * 3600
        saved.deadline = limit - min(END_S, saved.request.hours * 3600 / 4)
        read_only = await self._announce(session)
        signed = await sign(session, "session-start", self.authority, self.audit, node=status.node or peer, address=peer)
        if session.saved.state is not State.STARTING:
            raise RefusedError(409, Reason.PROOF_REFUSED, "the session was ended meanwhile")
        certificate = self.notebooks.sign(
            key,
            name=f"renkei-{session.id}",
            addresses=addresses,
            # The proxy asks for the name that stands in the browser's address.
            hosts=tuple(filter(None, (status.node, person_host(self.site, saved.user)))),
            until=saved.deadline + GRACE_S,
        )
        session.note(Step.CERTIFICATE)
        environment = session.environment(peer, start.port)
        key_of_later_calls = session.give_key()
        try:
            # A job that has its key and certificate must find them known after a restart of the hub.
            await session.write()
        except DatabaseDownError as error:
            session.fail(Reason.DATABASE_DOWN, str(error))
            raise RefusedError(503, Reason.DATABASE_DOWN, str(error)) from error
        tell = translator(saved.request.language)
        return Welcome(
            key=key_of_later_calls,
            user=saved.user,
            language=saved.request.language,
            deadline=saved.deadline,
            environment=environment,
            base_url=environment["JUPYTERHUB_SERVICE_PREFIX"],
            hub_api_url=environment["JUPYTERHUB_API_URL"],
            tls_certificate=certificate,
            tls_client_ca=self.client_ca,
            tls_hub_ca=self.hub_ca,
            ssh_certificate=signed.certificate,
            destination=self._destination(session, read_only=read_only),
            allowance=allowance(self.site.session, self.outflows.of(saved.user), saved.request.language),
            clock=clock(saved.request.language),
            storage=storage_words(saved.request.language),
            notice=tell(reasons.DEMONSTRATION) if self.site.hub.demonstration else "",
            tutorials=tell(N_("Tutorials")),
            still_pictures=self.site.session.still_pictures,
        )

    def _fit(self, session: Session, findings: tuple[Finding, ...], node: str) -> None:
        """Refuse the start on a node that is not fit, before anything is signed."""
        lowered = self.site.preflight.lowered()
        try:
            refused = fitness.unfit(findings, lowered, session=session, node=node, audit=self.audit, log=self.log)
        except AuditError as error:
            raise RefusedError(503, Reason.INTERNAL, str(error)) from error
        if refused:
            raise RefusedError(403, Reason.NODE_UNFIT, "the node is not fit")

    def _not_again(self, session: Session) -> None:
        """Refuse a `start` when the session does not wait for one."""
        if not session.waiting:
            raise RefusedError(409, Reason.PROOF_REFUSED, "the session does not wait for a start")

    def _stolen(self, session: Session, why: RefusedError) -> None:
        """End `session`, whose ticket somebody showed who should not have it."""
        if session.closed or session.saved.state is State.ENDING:
            return
        session.fail(Reason.PROOF_REFUSED, f"its ticket was shown in vain: {why}")
        ending = asyncio.ensure_future(self.end(session, Reason.PROOF_REFUSED))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _place(self, session: Session, peer: str) -> tuple[JobStatus, tuple[str, ...]]:
        """Where the session's job runs by the batch system's own record, asked now.

        Where the batch system does not tell, it is where the ticket was shown, which was held against the group's networks.
        """
        until = time.monotonic() + JOB_KNOWN_S
        while True:
            status, silence = None, None
            try:
                status = (await self.scheduler.query((session.saved.job,))).get(session.saved.job)
                running = status is not None and status.state is JobState.RUNNING
                if status is not None and running and not self.site.scheduler.names_nodes:
                    return status, (peer,)
                if status is not None and running and status.node:
                    return status, await self.scheduler.node_addresses(status.node)
            except SchedulerError as error:
                silence = error
            late = time.monotonic() > until
            if late and silence is not None:
                raise RefusedError(503, Reason.SCHEDULER_DOWN, str(silence)) from silence
            if late or (status is not None and status.state in {JobState.ENDING, JobState.ENDED}):
                raise RefusedError(403, Reason.PROOF_REFUSED, "the batch system does not say that the job runs")
            await asyncio.sleep(0.25)

    async def _proved(self, session: Session, start: Start, peer: str) -> str:
        """Address of the host that vouches for `start`: MUNGE's, or the caller's where a ticket is the proof."""
        if self.site.scheduler.proved_by is ProofKind.TICKET:
            if not session.is_ticket(start.ticket):
                raise ProofError("not the session's ticket")
            return peer
        credential = await unmunge(self.site.scheduler.unmunge, start.munge)
        if credential.uid != session.saved.uid:
            raise ProofError(f"MUNGE says uid {credential.uid}, the session's is {session.saved.uid}")
        if not hmac.compare_digest(credential.payload.encode(), binding(start).encode()):
            raise ProofError("the MUNGE credential vouches for something else")
        return credential.host

    async def _announce(self, session: Session) -> bool:
        """Tell the destination's owner that the session is alive: before that, the mount would be refused.

        Whether it may read only.
        """
        name = session.saved.request.destination
        site, owner = self.site.find_destination(name), self.owners.find(name)
        if site is not None and site.without_owner:
            return False
        reason, text = Reason.INTERNAL, f"no line to the owner of {name!r}"
        if owner is not None:
            try:
                return await owner.announce(session.id)
            except OwnerEndedError as error:
                reason, text = OWNERS_REASONS[error.why], str(error)
            except OwnerDownError as error:
                reason, text = error.reason, str(error)
            except OwnerRefusedError as error:
                reason, text = Reason.OWNER_DOWN, str(error)
        session.fail(reason, text)
        raise RefusedError(503, reason, text)

    def _destination(self, session: Session, *, read_only: bool) -> Destination:
        saved = session.saved
        site = self.site.find_destination(saved.request.destination)
        if site is None:
            raise RefusedError(503, Reason.INTERNAL, f"the site has no destination {saved.request.destination!r} any more")
        try:
            keys = Path(site.host_keys).read_text()
        except (OSError, UnicodeDecodeError) as error:
            session.fail(Reason.INTERNAL, f"{site.host_keys}: {error}")
            raise RefusedError(503, Reason.INTERNAL, f"{site.host_keys}: {error}") from error
        return Destination(
            name=site.name,
            gateway=site.gateway,
            port=site.port,
            account=saved.cloud.account,
            host_keys=known_hosts(site.name, keys),
            path=site.path,
            folder=saved.cloud.folder,
            read_only=read_only,
            pause_s=site.pause_s,
        )


def known_hosts(alias: str, keys: str) -> str:
    """known_hosts lines for `alias` out of a file of public keys, one `TYPE BASE64 [comment]` a line."""
    words = (line.split() for line in keys.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return "".join(f"{alias} {parts[0]} {parts[1]}\n" for parts in words if len(parts) >= 2)


async def _awaited(session: Session) -> None:
    """Wait until the session knows its job's id, and somebody waits for it.

    The job may call before sbatch has printed its number, or before a hub that has just started has taken the session up.
    """
    until = time.monotonic() + TAKEN_UP_S
    while not session.saved.job or (session.environment is None and session.waiting):
        if time.monotonic() > until:
            raise RefusedError(409, Reason.PROOF_REFUSED, "nobody waits for the session, or it has no job")
        await session.changed(0.5)
