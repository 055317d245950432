"""What job and hub say to each other: with `wording` the only module of the enclave that the spawner imports.

Every message is an immutable, typed value. `decode` refuses unknown fields, wrong types and values out of range, so that
nothing past it has to doubt. All times are seconds since the epoch (UTC); all keys and certificates are text (PEM or
OpenSSH's one-line form).
"""

from __future__ import annotations

import enum
import hashlib
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from enclave.wording import Allowance, Clock, StorageWords, Text

SessionId = Annotated[str, Meta(pattern=r"^[a-z0-9]{16}\Z")]
"""Opaque and random: it appears in job names and logs, and says nothing about a person."""

Port = Annotated[int, Meta(ge=1024, le=65_535)]

BODY_LIMIT = 65_536
"""No call between job and hub has a longer body, in bytes."""


class Phase(enum.StrEnum):
    """Where a session's start or end has got to, as the enclave sees it."""

    PREFLIGHT = "preflight"
    CERTIFICATE = "certificate"
    MOUNT = "mount"
    SERVER = "server"
    READY = "ready"
    ENDING = "ending"
    ENDED = "ended"
    FAILED = "failed"


class Reason(enum.StrEnum):
    """Why a session did not come to be, or ended. `spawner.reasons` has the sentence that people read for each."""

    BAD_OPTIONS = "bad-options"
    NO_CLOUD_ACCOUNT = "no-cloud-account"
    NO_UNIX_ACCOUNT = "no-unix-account"
    NOT_PERMITTED = "not-permitted"
    QUOTA = "quota"
    OTHER_DESTINATION = "other-destination"
    SUBMIT_REFUSED = "submit-refused"
    TOO_LARGE = "too-large"
    GROUP_CLOSED = "group-closed"
    CENTRE_LIMIT = "centre-limit"
    CENTRE_RULE = "centre-rule"
    SCHEDULER_DOWN = "scheduler-down"
    DATABASE_DOWN = "database-down"
    QUEUE_TIMEOUT = "queue-timeout"
    START_TIMEOUT = "start-timeout"
    JOB_DIED = "job-died"
    NODE_LOST = "node-lost"
    CANCELLED = "cancelled"
    PROOF_REFUSED = "proof-refused"
    AUTHORITY_DOWN = "authority-down"
    NODE_UNFIT = "node-unfit"
    SANDBOX_IMPOSSIBLE = "sandbox-impossible"
    GATEWAY_REFUSED = "gateway-refused"
    DESTINATION_DOWN = "destination-down"
    HOST_KEY_CHANGED = "host-key-changed"
    CERTIFICATE_REFUSED = "certificate-refused"
    MOUNT_FAILED = "mount-failed"
    SERVER_FAILED = "server-failed"
    TIME_UP = "time-up"
    OWNER_DOWN = "owner-down"
    NOT_GRANTED = "not-granted"
    REVOKED = "revoked"
    IDLE = "idle"
    STOPPED = "stopped"
    LEFT = "left"
    BY_ADMINISTRATOR = "by-administrator"
    INTERNAL = "internal"


class Check(enum.StrEnum):
    """What is asked of a compute node before a session has anything to lose; docs/administrator.en.md tells what each means."""

    NAMESPACES = "namespaces"
    MECHANISM = "mechanism"
    FUSE = "fuse"
    SSHFS = "sshfs"
    SSH = "ssh"
    TIMEOUTS = "timeouts"
    SWAP = "swap"
    CORES = "cores"
    CRASHES = "crashes"
    SANDBOX = "sandbox"
    WALLS = "walls"
    GPU = "gpu"
    TORCH = "torch"


class FindingLevel(enum.StrEnum):
    """What a finding does to a session. Nothing is weaker than a banner that everybody sees for as long as the session lasts."""

    REFUSE = "refuse"
    BANNER = "banner"


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every message has in common: immutable, and no field that is not named."""


class ProofKind(enum.StrEnum):
    """How a job proves that it is the job which the hub submitted."""

    MUNGE = "munge"
    TICKET = "ticket"


class Mechanism(enum.StrEnum):
    """How a session gets its mount and its walls; see "Mechanisms" in docs/architecture.md."""

    NAMESPACES = "namespaces"
    """All in the job's own user, mount and pid namespace: nothing is seen outside, and the kernel takes everything away."""
    FUSERMOUNT = "fusermount"
    """Mounted on the node by the setuid fusermount3, for nodes that let users have no such namespaces: weaker."""


class Order(Message, frozen=True, kw_only=True):
    """What the job script carries: everything in it may be read by anyone, except a ticket (single use, short life)."""

    session: SessionId
    callback_url: Text
    """`https://ADDRESS:PORT`; routes below `/v1/sessions/SESSION/`: `start`, `event`, `outflow`, `pulse`, `renew`, `residue`."""
    callback_ca: Text
    """PEM: the only authority that the job believes for the call-back."""
    proof: ProofKind
    ticket: Text = ""
    mechanism: Mechanism = Mechanism.NAMESPACES
    """The one that the session uses; where the node refuses it, there is no session."""
    software: tuple[Text, ...]
    """Absolute paths that the sandbox may read, besides the system's own directories."""
    presets: Text = ""
    """A folder with one folder a language, whose files each person finds as an own copy in `tutorials/`."""
    kernels: Text = ""
    """A folder of Jupyter kernel specifications."""
    gpus: Annotated[int, Meta(ge=0, le=64)] = 0
    """How many GPUs the person asked for; fewer are never put up with in silence."""
    pause_s: Annotated[int, Meta(ge=0, le=86_400)] = 0  # the destination's: the node's own limits have to leave time for it
    lowered: tuple[Check, ...] = ()
    """Checks whose findings this site lets pass with a banner; every other finding refuses the session."""
    listen: Text = "0.0.0.0"  # noqa: S104  (the doorway answers only to a client certificate of proxy or hub)


class Finding(Message, frozen=True, kw_only=True):
    """A check that the node does not pass."""

    check: Check
    level: FindingLevel
    detail: Annotated[str, Meta(max_length=2000)]
    """For the administrator; English, and nothing of a person's."""


class Start(Message, frozen=True, kw_only=True):
    """The job's one call for everything it needs."""

    session: SessionId
    job: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._\[\]-]{1,64}\Z")]
    ssh_public_key: Text
    tls_request: Text
    """PEM: a certificate signing request; only its public key is used, the names come from the scheduler."""
    port: Port
    """Where the doorway already listens."""
    findings: tuple[Finding, ...] = ()
    """What was found wrong with the node. Where one of them refuses, all is taken down already, and no credential is asked for."""
    munge: Text = ""
    """A MUNGE credential whose payload is `binding(self)`."""
    ticket: Text = ""


def binding(start: Start) -> str:
    """Digest (hex) over everything in `start` that the proof vouches for; a credential can't be moved to another key."""
    findings = msgspec.json.encode(start.findings).decode()
    parts = (start.session, start.job, start.ssh_public_key, start.tls_request, str(start.port), findings)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Destination(Message, frozen=True, kw_only=True):
    """One SFTP endpoint behind a gateway port, and who this person is there."""

    name: Text
    gateway: Text
    port: Annotated[int, Meta(ge=1, le=65_535)]
    account: Text
    host_keys: Text
    """known_hosts lines for the alias `name`, one a line; the port picks the host, so the alias pins it."""
    path: Text  # absolute, at the destination: what is mounted
    folder: Text
    """The person's own folder, relative to `path`."""
    read_only: bool = False
    """The data owner lets this account read and no more."""
    pause_s: Annotated[int, Meta(ge=0, le=86_400)] = 0  # seconds that a cut of the line is only a pause; 0: sshfs alone


class Welcome(Message, frozen=True, kw_only=True):
    """The hub's answer to `Start`. It lives in the enclave's memory and is never written down."""

    key: Text
    """Bearer secret of this session's later calls."""
    user: Text
    language: Annotated[str, Meta(pattern=r"^(ja|en)\Z")]
    deadline: float
    environment: dict[str, str]
    """The server's JUPYTERHUB_* variables, JUPYTERHUB_API_TOKEN among them; the token stays in the doorway."""
    base_url: Text
    """The server's URL prefix, with slashes at both ends."""
    hub_api_url: Text
    """`https://ADDRESS:PORT/hub/api` as the node reaches it; asks for the doorway's certificate."""
    tls_certificate: Text
    tls_client_ca: Text
    """PEM bundle: who may connect to the doorway (proxy and hub)."""
    tls_hub_ca: Text
    """PEM bundle: whom to believe at `hub_api_url`."""
    ssh_certificate: Text
    destination: Destination
    allowance: Allowance = Allowance()
    clock: Clock = Clock()
    storage: StorageWords = StorageWords()
    notice: Text = ""
    """What has to stand in sight for the session's whole life, in the person's language; empty: nothing."""
    tutorials: Text = "Tutorials"
    """What the tutorials are called in the Lab's launcher, in the person's language."""
    still_pictures: bool = True
    """Whether what was looked at stays as a picture in saved notebooks."""


class Level(enum.StrEnum):
    """How much of its allowance a session has used."""

    FINE = "fine"
    WARNING = "warning"
    USED_UP = "used-up"


class Outflow(Message, frozen=True, kw_only=True):
    """What the session has sent to the browser so far: told when a level is reached, and at the end."""

    level: Level
    sent: Annotated[int, Meta(ge=0)]
    """Bytes."""


class Pulse(Message, frozen=True, kw_only=True):
    """What goes on in a session, told every half minute. `kernels_busy` is the server's word, and a cell can become the server."""

    kernels_busy: Annotated[int, Meta(ge=0, le=10_000)] | None
    """Kernels that run something now; None where the server does not say."""
    browser_s: Annotated[float, Meta(ge=0, le=1e8)]
    """Seconds since a browser last spoke, the time's own bar left out."""
    gpu_busy: Annotated[float, Meta(ge=0, le=1)] | None
    """Mean share of the last moment in which the session's GPUs computed; None where there is none, or nobody can tell."""
    sent: Annotated[int, Meta(ge=0)]
    """Bytes that went to the browser so far."""
    idle_s: Annotated[float, Meta(ge=0, le=1e8)] = 0.0
    """Seconds since a kernel was last busy or a browser last spoke."""


class Notice(Message, frozen=True, kw_only=True):
    """What an administrator has to say to the person in front of a session."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
    text: Annotated[str, Meta(min_length=1, max_length=500)]
    """Plain text, shown as it is."""


class PulseAnswer(Message, frozen=True, kw_only=True):
    """What the hub knows that the session has to know by now."""

    deadline: float
    """When it ends; may have moved."""
    notices: Annotated[tuple[Notice, ...], Meta(max_length=20)] = ()
    """All that are to be in sight now."""
    idle_s: Annotated[float, Meta(ge=1)] | None = None
    """After so many seconds without a busy kernel and without a browser it ends; None: never."""


class Event(Message, frozen=True, kw_only=True):
    """What the enclave tells the hub on its way; `detail` is for the log only."""

    phase: Phase
    reason: Reason | None = None
    detail: Text = ""


class Trace(enum.StrEnum):
    """What a session could leave on its node."""

    FILES = "files"
    """Files, folders, links, sockets and pipes below one folder; POSIX queues where that folder is /dev/mqueue."""
    IPC = "ipc"
    """SysV shared memory, semaphores and message queues."""
    PROCESSES = "processes"
    MOUNTS = "mounts"


Count = Annotated[int, Meta(ge=0)]


class Look(Message, frozen=True, kw_only=True):
    """What a witness saw of the session's account at one place of the node: numbers, never a name (names are data)."""

    trace: Trace
    place: Annotated[str, Meta(max_length=256)] = ""
    """The folder, for `files`."""
    seen: bool
    """Whether the witness could look, and came to the end of it; else the numbers say nothing."""
    before: Count = 0
    """How many there were before the session began; 0 from a witness that came only afterwards."""
    left: Count = 0
    """How many are there that were not there before, or not like that."""
    size: Count = 0
    """Bytes in what is left."""


class Scrub(enum.StrEnum):
    """What became of the memory of the session's GPUs."""

    DONE = "done"
    NOT_APPLICABLE = "not-applicable"
    """The session had no GPU."""
    FAILED = "failed"
    """It had, and the memory was not overwritten, or not all of it."""


class DeviceScrub(Message, frozen=True, kw_only=True):
    """One GPU's memory at the end of a session."""

    device: Count
    """The driver's number for it, among those of the session."""
    outcome: Scrub
    free: Count = 0
    """Bytes that were free, which is all that a session leaves behind."""
    overwritten: Count = 0
    detail: Annotated[str, Meta(max_length=200)] = ""


class Traffic(Message, frozen=True, kw_only=True):
    """What went over the mount's connections, by the kernel's own count of their TCP payload (ciphertext, headers included)."""

    received: Count
    """Bytes from the destination."""
    sent: Count
    connections: Count


class EnclaveReport(Message, frozen=True, kw_only=True):
    """What the enclave saw at the end of its session, after server and mount were gone. Witness: the job's own account."""

    session: SessionId
    job: Annotated[str, Meta(max_length=64)]
    began: float
    mounted: float | None
    """When the cloud was mounted, or None if it never was."""
    unmounted: float | None
    """When it was seen to be gone."""
    reported: float
    destination: Annotated[str, Meta(max_length=64)]
    account: Annotated[str, Meta(max_length=64)]
    """Whose rights there the session had."""
    path_digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """SHA-256 of the mounted path."""
    certificates: Count
    """How many it was given for its key."""
    last_serial: Count
    traffic: Traffic | None
    """None where the kernel did not let it count."""
    looks: Annotated[tuple[Look, ...], Meta(max_length=100)]
    gpu: Scrub
    devices: Annotated[tuple[DeviceScrub, ...], Meta(max_length=64)] = ()


class EpilogReport(Message, frozen=True, kw_only=True):
    """What the node's own epilog saw after the job was gone. Witness: root of the node."""

    job: Annotated[str, Meta(max_length=64)]
    uid: Count
    node: Annotated[str, Meta(max_length=256)]
    reported: float
    alone: bool
    """Whether no other job of the same account was on the node: else nobody can tell whose a thing is."""
    looks: Annotated[tuple[Look, ...], Meta(max_length=100)]
    gpu: Scrub


class Epilog(Message, frozen=True, kw_only=True):
    """The epilog's call: a MUNGE credential of root's, whose payload is an `EpilogReport`: it needs no other proof."""

    munge: Annotated[str, Meta(max_length=16_384)]


class Renewal(Message, frozen=True, kw_only=True):
    """A fresh certificate for the key of `Start`."""

    ssh_certificate: Text
    expires: float


class Refusal(Message, frozen=True, kw_only=True):
    """The body of every answer that is not 2xx."""

    reason: Reason


_M = TypeVar("_M", bound=Message)


class BadMessageError(ValueError):
    """What arrived is not the message that was expected."""


def encode(message: Message) -> bytes:
    """`message` as JSON, on one line."""
    return msgspec.json.encode(message)


def decode(raw: bytes | str, kind: type[_M]) -> _M:
    """The `kind` that `raw` (JSON) holds.

    Raises BadMessageError when it is too long, no JSON, or anything else than exactly that message.
    """
    if len(raw) > BODY_LIMIT:
        raise BadMessageError(f"longer than {BODY_LIMIT} bytes")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessageError(str(error)) from error
