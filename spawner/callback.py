"""The hub's side of what jobs say: a listener of its own with TLS, a few routes, and a state machine a session.

Whoever calls is hostile until the proof is accepted: of a refused call nothing but the reason reaches the log, and nothing but
a `Refusal` reaches the caller. The first call of a session is in `spawner.firstcall`; the later ones, with its key, are here.
"""

from __future__ import annotations

import time
from logging import Logger

from enclave.messages import EnclaveReport, Epilog, Event, Outflow, Phase, Pulse, PulseAnswer, Reason, Renewal, Welcome
from spawner import metrics
from spawner.audit import Audit, AuditError
from spawner.authority.client import AuthorityClient
from spawner.calls import RefusedError, decoded, keyed, sign
from spawner.firstcall import FirstCall
from spawner.outflows import Outflows
from spawner.residue.collector import Residue
from spawner.residue.epilog import NotBelievedError
from spawner.sessions import Session, Sessions, State
from spawner.site import Site

OUTFLOWS = 10
"""Reports of one session about what it sent to the browser; there are three, and a flood of them must not fill the disk."""

PULSE_S = 5.0
"""Seconds that lie between two pulses of one session at least; it sends one every half minute."""


class CallBack:
    """Answers jobs. Every method raises RefusedError for a call that it does not believe."""

    def __init__(
        self,
        *,
        site: Site,
        sessions: Sessions,
        first: FirstCall,
        authority: AuthorityClient,
        statements: Residue,
        audit: Audit,
        outflows: Outflows,
        log: Logger,
    ) -> None:
        self.site = site
        self.sessions = sessions
        self.authority = authority
        self.statements = statements
        self.audit = audit
        self.log = log
        self.outflows = outflows
        self.first = first

    def find(self, session_id: str) -> Session:
        """The session that a call is about: known, and not over."""
        session = self.sessions.find(session_id)
        if session is None:
            raise RefusedError(404, Reason.PROOF_REFUSED, "no such session")
        return session

    async def start(self, session: Session, peer: str, body: bytes) -> Welcome:
        """The job's one call for everything it needs; see `spawner.firstcall`."""
        return await self.first.answer(session, peer, body)

    def event(self, session: Session, peer: str, key: str, body: bytes) -> None:
        """The job tells how far it has got, or why it ends."""
        keyed(self.site, session, peer, key)
        event = decoded(body, Event)
        self.log.info("Session %s: %s %s %s", session.id, event.phase, event.reason or "", ascii(event.detail[:2000]))
        if event.phase is Phase.FAILED or (event.phase in {Phase.ENDING, Phase.ENDED} and session.saved.state is State.STARTING):
            session.fail(event.reason or Reason.JOB_DIED, f"the job says: {event.detail[:500]!a}")
        if event.phase in {Phase.FAILED, Phase.ENDING, Phase.ENDED}:
            session.own_reason = session.own_reason or event.reason
            session.hear(event.detail)
        if event.phase is Phase.READY and session.saved.state is State.STARTING:
            self._ready(session)
        session.reached(event.phase)

    def _ready(self, session: Session) -> None:
        """The cloud is mounted, and the notebook answers. Without a line that says so it is no session."""
        saved = session.saved
        try:
            self.audit.record(
                "session-mounted", session=saved.id, user=saved.user, job=saved.job, destination=saved.request.destination
            )
        except AuditError as error:
            session.fail(Reason.INTERNAL, str(error))
            raise RefusedError(503, Reason.INTERNAL, str(error)) from error
        metrics.started(session)

    async def outflow(self, session: Session, peer: str, key: str, body: bytes) -> None:
        """The job tells how much it has sent to the browser; the audit has it."""
        keyed(self.site, session, peer, key)
        outflow = decoded(body, Outflow)
        if session.outflows >= OUTFLOWS:
            raise RefusedError(429, Reason.INTERNAL, "too many reports")
        session.outflows += 1
        await self.outflows.told(session.id, session.saved.user, outflow.sent)
        self.log.info("Session %s has sent %d bytes to the browser (%s)", session.id, outflow.sent, outflow.level)
        try:
            self.audit.record(
                "browser-outflow",
                session=session.id,
                user=session.saved.user,
                job=session.saved.job,
                level=outflow.level,
                sent=outflow.sent,
                day=self.outflows.of(session.saved.user),
            )
        except AuditError as error:
            # It has gone out already, so a full disk is an error in the log.
            self.log.error("The audit could not be written: session %s: %s", session.id, error)  # noqa: TRY400

    def pulse(self, session: Session, peer: str, key: str, body: bytes) -> PulseAnswer:
        """The job tells what goes on in it, and hears what it has to know by now; nothing of it is written down."""
        keyed(self.site, session, peer, key)
        pulse, now = decoded(body, Pulse), time.time()
        if 0 <= now - session.pulse_time < PULSE_S:
            raise RefusedError(429, Reason.INTERNAL, "too many pulses")
        session.pulse, session.pulse_time = pulse, now
        idle = self.site.session.idle_minutes * 60
        return PulseAnswer(deadline=session.saved.deadline, notices=session.notices, idle_s=idle or None)

    def residue(self, session: Session, peer: str, key: str, body: bytes) -> None:
        """The job tells what is left of the session on its node."""
        keyed(self.site, session, peer, key)
        try:
            self.statements.enclave(session, decoded(body, EnclaveReport))
        except NotBelievedError as error:
            raise RefusedError(409, Reason.PROOF_REFUSED, str(error)) from error

    async def epilog(self, job: str, peer: str, body: bytes) -> None:
        """A node's root tells what is left of the session that `job` was."""
        try:
            await self.statements.epilog(job, peer, decoded(body, Epilog))
        except NotBelievedError as error:
            raise RefusedError(403, Reason.PROOF_REFUSED, str(error)) from error

    async def renew(self, session: Session, peer: str, key: str, body: bytes) -> Renewal:
        """A fresh certificate for the key of the session's `start`, while the session lives."""
        keyed(self.site, session, peer, key)
        if session.saved.state is State.ENDING:
            raise RefusedError(403, Reason.CANCELLED, "the session is being ended")
        if body.strip() not in {b"", b"{}"}:
            raise RefusedError(400, Reason.INTERNAL, "a renewal has no body")
        if time.time() > session.saved.deadline:
            raise RefusedError(403, Reason.TIME_UP, "the session's time is up")
        idle = self.site.session.idle_minutes * 60
        if session.pulse is not None and 0 < idle <= session.pulse.idle_s:
            raise RefusedError(403, Reason.IDLE, "nothing runs in it, and nobody is there")
        signed = await sign(session, "certificate-renewed", self.authority, self.audit)
        return Renewal(ssh_certificate=signed.certificate, expires=signed.expires)
