"""The call-back's HTTP over TLS: POST /v1/sessions/ID/VERB (`ROUTE`) and /v1/jobs/ID/epilog, with small bodies and nothing else."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from logging import Logger

from tornado.web import Application, HTTPError, RequestHandler

from enclave.messages import BODY_LIMIT, Message, Reason, Refusal, encode
from spawner.audit import AuditError
from spawner.callback import CallBack
from spawner.calls import RefusedError
from spawner.connections import CappedServer
from spawner.sessions import Session

ROUTE = r"/v1/sessions/([a-z0-9]{16})/(start|event|outflow|pulse|renew|residue)"
EPILOG_ROUTE = r"/v1/jobs/([0-9]{1,18})/epilog"
BODY_S = 10.0
"""Seconds that a body may take."""
IDLE_S = 30.0
"""Seconds that an idle connection is kept."""
HEADER_LIMIT = 8192
AUDITED_REFUSALS = 20
"""Refused calls of one session that are audited; a flood of them must not fill the disk."""

LOGGED, LOGGED_S = 100, 60.0
"""Refused calls that are logged within so many seconds: anybody on a node can make thousands, and those must not fill the disk."""


class Refusals:
    """What is logged of refused calls."""

    def __init__(self, log: Logger, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._since = monotonic()
        self._count = 0

    def tell(self, verb: str, session: str, peer: str, why: str) -> None:
        """Log that `verb` of `session` was refused to `peer`, or count it where there were too many."""
        if (now := self._monotonic()) - self._since > LOGGED_S:
            if self._count > LOGGED:
                self._log.warning("%d further calls were refused and not logged", self._count - LOGGED)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= LOGGED:
            self._log.warning("Refused %s of session %s from %s: %s", verb, session, peer, ascii(why))
        if self._count == LOGGED:
            self._log.warning("Of calls that are refused from now on, %.0f s long, none is logged", LOGGED_S)


class SessionHandler(RequestHandler):
    """One call of one job."""

    def initialize(self, callback: CallBack, refusals: Refusals) -> None:
        """`callback` believes, or doesn't."""
        self.callback = callback
        self.refusals = refusals

    async def post(self, session_id: str, verb: str) -> None:
        """Answer with the message that belongs to the verb, or a `Refusal`."""
        peer = self.request.remote_ip or ""
        session = None
        try:
            session = self.callback.find(session_id)
            answer = await self._answer(session, verb, peer)
        except RefusedError as error:
            self._refused(session, verb, peer, error)
            self.set_status(error.status)
            answer = Refusal(reason=error.reason)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        if answer is None:
            self.set_status(204)
            self.clear_header("Content-Type")
        else:
            self.write(encode(answer))

    async def _answer(self, session: Session, verb: str, peer: str) -> Message | None:
        body = self.request.body
        if verb == "start":
            return await self.callback.start(session, peer, body)
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise RefusedError(403, Reason.PROOF_REFUSED, "no bearer key")
        if verb == "renew":
            return await self.callback.renew(session, peer, key, body)
        if verb == "pulse":
            return self.callback.pulse(session, peer, key, body)
        if verb == "outflow":
            await self.callback.outflow(session, peer, key, body)
        elif verb == "residue":
            self.callback.residue(session, peer, key, body)
        else:
            self.callback.event(session, peer, key, body)
        return None

    def _refused(self, session: Session | None, verb: str, peer: str, error: RefusedError) -> None:
        name = session.id if session else "unknown"
        self.refusals.tell(verb, name, peer, str(error))
        if session is None or session.refusals >= AUDITED_REFUSALS:
            return
        session.refusals += 1
        try:
            self.callback.audit.record("call-refused", session=name, verb=verb, peer=peer, reason=error.reason, why=str(error))
        except AuditError as failure:
            self.callback.log.error("The audit could not be written: %s", failure)  # noqa: TRY400

    def write_error(self, status_code: int, **_: object) -> None:
        """Whatever went wrong, the caller reads no more than a `Refusal`."""
        self.set_status(status_code)
        self.set_header("Content-Type", "application/json")
        self.finish(encode(Refusal(reason=Reason.INTERNAL if status_code >= 500 else Reason.PROOF_REFUSED)))


class EpilogHandler(SessionHandler):
    """The one call of a node's epilog; it knows jobs, not sessions, and its answer is nobody's business."""

    async def post(self, job: str, verb: str = "epilog") -> None:
        """Answer 204, or a `Refusal`."""
        peer = self.request.remote_ip or ""
        try:
            await self.callback.epilog(job, peer, self.request.body)
        except RefusedError as error:
            self._refused(None, verb, peer, error)
            self.write_error(error.status)
        else:
            self.set_status(204)


class _Nothing(SessionHandler):
    """Every other path."""

    async def prepare(self) -> None:
        raise HTTPError(404)


def make_server(callback: CallBack, context: ssl.SSLContext) -> CappedServer:
    """A server that is not listening yet; it logs no request lines of its own."""
    given = {"callback": callback, "refusals": Refusals(callback.log)}
    application = Application(
        [(ROUTE, SessionHandler, given), (EPILOG_ROUTE, EpilogHandler, given)],
        default_handler_class=_Nothing,
        default_handler_args=given,
        log_function=_no_log,
    )
    return CappedServer(
        application,
        ssl_options=context,
        max_body_size=BODY_LIMIT,
        max_buffer_size=BODY_LIMIT + HEADER_LIMIT,
        max_header_size=HEADER_LIMIT,
        idle_connection_timeout=IDLE_S,
        body_timeout=BODY_S,
        xheaders=False,
    )


def _no_log(_: RequestHandler) -> None:
    """The handler has logged what there is to say."""
