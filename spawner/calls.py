"""What every call of a job has in common: whom it is believed, how its body is read, and the certificate that it may bring."""

from __future__ import annotations

import ipaddress
from typing import TypeVar

from enclave.messages import BadMessageError, Message, Reason, decode
from spawner.audit import Audit, AuditError
from spawner.authority.client import AuthorityClient, AuthorityDownError, AuthorityRefusedError
from spawner.authority.protocol import Signed
from spawner.sessions import Session, State
from spawner.site import Site

M = TypeVar("M", bound=Message)


class RefusedError(Exception):
    """This call is not answered. The text is for the log."""

    def __init__(self, status: int, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason


def near(site: Site, session: Session, peer: str) -> None:
    """Refuse a call of `session` that comes from outside the networks of its resource group. Raises RefusedError."""
    group = site.group(session.saved.request.resource_group)
    networks = [ipaddress.ip_network(subnet) for subnet in group.subnets] if group else []
    if not any(_address(peer) in network for network in networks):
        raise RefusedError(403, Reason.PROOF_REFUSED, "called from outside the resource group's networks")


def keyed(site: Site, session: Session, peer: str, key: str) -> None:
    """Refuse a call without the session's bearer `key`, or from elsewhere than its node. Raises RefusedError."""
    near(site, session, peer)
    if not session.is_key(key):
        raise RefusedError(403, Reason.PROOF_REFUSED, "not the session's key")
    if peer != session.saved.address:
        raise RefusedError(403, Reason.PROOF_REFUSED, "called from another address than the session's node")


def decoded(body: bytes, kind: type[M]) -> M:
    """The `kind` that `body` holds. Raises RefusedError."""
    try:
        return decode(body, kind)
    except BadMessageError as error:
        raise RefusedError(400, Reason.PROOF_REFUSED, f"no {kind.__name__}") from error


async def sign(session: Session, event: str, authority: AuthorityClient, audit: Audit, **fields: str) -> Signed:
    """A certificate for the session's SSH key; the audit has it before the job does. Raises RefusedError."""
    saved = session.saved
    reason, text = Reason.AUTHORITY_DOWN, ""
    try:
        signed = await authority.sign(
            user=saved.user,
            destination=saved.request.destination,
            session=saved.id,
            public_key=saved.ssh_public_key,
        )
        audit.record(
            event,
            session=saved.id,
            user=saved.user,
            job=saved.job,
            destination=saved.request.destination,
            account=saved.cloud.account,
            serial=signed.serial,
            **fields,
        )
    except AuthorityDownError as error:
        text = str(error)
    except AuthorityRefusedError as error:
        reason, text = Reason.CERTIFICATE_REFUSED, str(error)
    except AuditError as error:
        reason, text = Reason.INTERNAL, str(error)
    else:
        saved.certificates, saved.last_serial = saved.certificates + 1, signed.serial
        saved.first_serial = saved.first_serial or signed.serial
        session.keep()
        return signed
    if saved.state is State.STARTING:
        session.fail(reason, text)
    raise RefusedError(503, reason, text)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found
