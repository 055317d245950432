"""The job's side of the call-back: six calls to the hub over TLS that only the order's authority vouches for."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import msgspec

from enclave.children import converse
from enclave.failure import SessionFailure
from enclave.keys import client_context
from enclave.messages import (
    BODY_LIMIT,
    BadMessageError,
    EnclaveReport,
    Event,
    Message,
    Order,
    Outflow,
    ProofKind,
    Pulse,
    PulseAnswer,
    Reason,
    Refusal,
    Renewal,
    Start,
    Welcome,
    binding,
    decode,
    encode,
)

_CALL_SECONDS = 20.0
_START_SECONDS = 100.0
"""The answer to `start` may take longer: a proof is good for one answer, and the hub waits for its authority, for the batch system,
and where it has just been restarted for whoever waits for the session."""
_PATIENCE = 120.0
"""Seconds for which `start` tries to reach a hub that does not answer at all: it may be restarting."""
FINAL = frozenset(
    {
        Reason.NO_CLOUD_ACCOUNT,
        Reason.NOT_PERMITTED,
        Reason.PROOF_REFUSED,
        Reason.CERTIFICATE_REFUSED,
        Reason.CANCELLED,
        Reason.NOT_GRANTED,
        Reason.REVOKED,
        Reason.IDLE,
    }
)
"""Refusals of a renewal that end the session; after any other it is asked for again."""

_M = TypeVar("_M", bound=Message)


class RefusedError(Exception):
    """The hub answered, and said no."""

    def __init__(self, reason: Reason, status: int) -> None:
        super().__init__(f"{reason} (HTTP {status})")
        self.reason = reason


async def prove(start: Start, order: Order) -> Start:
    """`start` with its proof: a MUNGE credential of this job's uid over all that it says, or the order's ticket.

    Raises SessionFailure when munge does not give one.
    """
    if order.proof is ProofKind.TICKET:
        return msgspec.structs.replace(start, ticket=order.ticket)
    try:
        code, credential, complaint = await converse(["/usr/bin/munge"], binding(start).encode(), _CALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SessionFailure(Reason.PROOF_REFUSED, f"munge: {error!r}") from error
    if code != 0:
        raise SessionFailure(Reason.PROOF_REFUSED, complaint.decode("utf-8", "replace"))
    return msgspec.structs.replace(start, munge=credential.decode().strip())


@dataclass
class Callback:
    """The hub, as this session's job can reach it."""

    order: Order
    http: aiohttp.ClientSession
    key: str = ""
    """Bearer secret of the later calls; comes with the `Welcome`."""

    async def start(self, start: Start) -> Welcome:
        """The one call for everything. Only a hub that can't be reached is asked again: a proof is good for one answer.

        Raises SessionFailure with the hub's own reason, or job-died when it never answered.
        """
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                welcome = await self._post("start", start, Welcome)
            except aiohttp.ClientConnectorError as error:
                if isinstance(error, aiohttp.ClientSSLError) or time.monotonic() > give_up:
                    raise SessionFailure(Reason.INTERNAL, f"the hub's call-back can't be reached: {error}") from error
                await asyncio.sleep(0.5)
            except RefusedError as refused:
                raise SessionFailure(refused.reason, "the hub refused the start") from refused
            except (aiohttp.ClientError, TimeoutError, BadMessageError) as error:
                raise SessionFailure(Reason.INTERNAL, f"the hub's answer to the start: {error!r}") from error
            else:
                self.key = welcome.key
                return welcome

    async def event(self, event: Event) -> None:
        """Tells the hub where the session has got to. Raises RefusedError, BadMessageError, aiohttp.ClientError or TimeoutError."""
        await self._post("event", event, None)

    async def outflow(self, outflow: Outflow) -> None:
        """Tells the hub what the browser was sent. Raises like `event`."""
        await self._post("outflow", outflow, None)

    async def residue(self, report: EnclaveReport) -> None:
        """Tells the hub what is left of the session on its node. Raises like `event`."""
        await self._post("residue", report, None)

    async def pulse(self, pulse: Pulse) -> PulseAnswer:
        """Tells the hub what goes on; what it has to say. Raises like `event`."""
        return await self._post("pulse", pulse, PulseAnswer)

    async def renew(self) -> Renewal:
        """A fresh certificate for the same key. Raises like `event`."""
        return await self._post("renew", None, Renewal)

    async def _post(self, route: str, body: Message | None, answer: type[_M] | None) -> _M:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        url = f"{self.order.callback_url}/v1/sessions/{self.order.session}/{route}"
        data = b"{}" if body is None else encode(body)
        timeout = aiohttp.ClientTimeout(total=_START_SECONDS if route == "start" else _CALL_SECONDS)
        async with self.http.post(url, data=data, headers=headers, allow_redirects=False, timeout=timeout) as response:
            raw = await response.content.read(BODY_LIMIT + 1)
            while len(raw) <= BODY_LIMIT and (more := await response.content.read(BODY_LIMIT + 1)):
                raw += more
            if not 200 <= response.status < 300:
                raise RefusedError(_reason(raw), response.status)
        if answer is None:
            return None  # type: ignore[return-value]  # (asked for nothing)
        return decode(raw, answer)


def _reason(raw: bytes) -> Reason:
    try:
        return decode(raw, Refusal).reason
    except BadMessageError:
        return Reason.INTERNAL


def connect(order: Order) -> aiohttp.ClientSession:
    """A client that believes the order's authority and nobody else.

    Raises SessionFailure when that authority is none.
    """
    try:
        context = client_context(order.callback_ca)
    except (ssl.SSLError, ValueError) as error:
        raise SessionFailure(Reason.INTERNAL, f"the order's authority: {error}") from error
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
