"""The residue statement of one session, and the verdict on it: a pure function of what the witnesses said.

Every part names its witness by the field that it stands in, because they are worth different amounts: the enclave runs under the
job's own account and speaks while it still lives; the epilog is root's, after the job is gone; the hub repeats the batch system;
the cloud saw its own connections. Nobody's word makes a session clean but that of one who looked.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Literal

import msgspec

from enclave.messages import EnclaveReport, EpilogReport, Look, Reason, Scrub, SessionId, Trace

PLACES = frozenset({"/tmp", "/var/tmp", "/dev/shm"})  # noqa: S108  (names; nothing is put there)
"""Folders that every inspection has to hold."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of a statement has in common."""


class HubPart(Part, frozen=True, kw_only=True):
    """Witness: the hub, which repeats what the batch system told it and what it did itself."""

    job: str
    ended: bool
    """Whether the batch system says that the job is over, its node cleaned up."""
    ended_at: float | None
    """When, in the batch system's own words where it says."""
    reason: Reason | None
    """Why the session ended; None for what was wanted."""
    began: float
    """When the job had proved itself."""
    gpus: int
    certificates: int
    first_serial: int
    last_serial: int
    audit: str = ""
    """Where the chain of the hub's audit record stood (`spawner.audit.line.Head`): the statement is its anchor at the cloud."""


class CloudPart(Part, frozen=True, kw_only=True):
    """Witness: the cloud, by the program of its owner's. Times since the epoch; bytes are TCP's, None where it can't count."""

    connections: int
    open: int
    serials: tuple[str, ...]
    opened: float | None
    last_byte: float | None
    closed: float | None
    bytes_out: int | None
    bytes_in: int | None
    revoked: bool


class Verdict(enum.StrEnum):
    """What can be said of a session that is over."""

    CLEAN = "clean"
    """Somebody looked everywhere, and nothing was left."""
    NOT_INSPECTED = "ended-not-inspected"
    """It is over, or should be, and nobody can say that nothing was left."""
    RESIDUE = "residue"
    """Something was left."""


class Doubt(enum.StrEnum):
    """Why a session where nothing was found is not called clean."""

    NOBODY_LOOKED = "nobody-looked"
    """Neither enclave nor epilog looked at every place."""
    NOT_ENDED = "not-ended"
    """The batch system did not say that the job is over."""
    CONNECTED = "connected"
    """The cloud still had a connection of it."""
    GPU = "gpu-not-scrubbed"


class Statement(Part, frozen=True, kw_only=True):
    """One session's; the text that is signed is this as JSON."""

    document: Literal["renkei-residue-1"] = "renkei-residue-1"
    """What is signed here can't be taken for another document."""
    session: SessionId
    user: str
    destination: str
    account: str
    """Whose rights at the destination the session had."""
    made: float
    verdict: Verdict
    doubts: tuple[Doubt, ...]
    hub: HubPart
    enclave: EnclaveReport | None
    epilog: EpilogReport | None
    cloud: CloudPart | None


class BadStatementError(ValueError):
    """The text is no residue statement."""


def judge(
    hub: HubPart, enclave: EnclaveReport | None, epilog: EpilogReport | None, cloud: CloudPart | None
) -> tuple[Verdict, tuple[Doubt, ...]]:
    """The verdict on what the witnesses said, and what stands against `clean`. One who found something outweighs all others."""
    looks = [look for part in (enclave, epilog) if part is not None for look in part.looks]
    if any(look.left for look in looks):
        return Verdict.RESIDUE, ()
    against = {
        Doubt.NOBODY_LOOKED: not (_enclave_looked(enclave) or _epilog_looked(epilog)),
        Doubt.NOT_ENDED: not hub.ended,
        Doubt.CONNECTED: cloud is not None and cloud.open > 0,
        Doubt.GPU: not _scrubbed([part.gpu for part in (enclave, epilog) if part is not None]),
    }
    doubts = tuple(doubt for doubt, holds in against.items() if holds)
    return (Verdict.NOT_INSPECTED if doubts else Verdict.CLEAN), doubts


def _enclave_looked(enclave: EnclaveReport | None) -> bool:
    if enclave is None or (enclave.mounted is not None and enclave.unmounted is None):
        return False
    return everywhere(enclave.looks)


def _epilog_looked(epilog: EpilogReport | None) -> bool:
    return epilog is not None and epilog.alone and everywhere(epilog.looks)


def everywhere(looks: Iterable[Look]) -> bool:
    """Whether `looks` hold every kind of trace and every folder that has to be among them, and nothing that could not be seen."""
    looks = tuple(looks)
    folders = {look.place for look in looks if look.trace is Trace.FILES}
    return all(look.seen for look in looks) and {look.trace for look in looks} == set(Trace) and folders >= PLACES


def _scrubbed(said: list[Scrub]) -> bool:
    """Done by one of them; or there was nothing to do, as all say."""
    return Scrub.DONE in said or (bool(said) and set(said) == {Scrub.NOT_APPLICABLE})


def text(statement: Statement) -> str:
    """The document: JSON, for people's eyes too."""
    return msgspec.json.format(msgspec.json.encode(statement), indent=1).decode() + "\n"


def parse(document: str | bytes) -> Statement:
    """The statement in `document`. Raises BadStatementError for anything else, and where its own verdict is not what follows."""
    try:
        statement = msgspec.json.decode(document, type=Statement)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadStatementError(f"no residue statement: {error}") from error
    enclave, epilog, job = statement.enclave, statement.epilog, statement.hub.job
    if (enclave and (enclave.session, enclave.job) != (statement.session, job)) or (epilog and epilog.job != job):
        raise BadStatementError("a part of it speaks of another session")
    if (statement.verdict, statement.doubts) != judge(statement.hub, statement.enclave, statement.epilog, statement.cloud):
        raise BadStatementError("its verdict does not follow from its parts")
    return statement
