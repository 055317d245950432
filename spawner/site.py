"""A site is one TOML file, read into one typed value.

Anything wrong in it - a key, a type, a value - stops the start with a `SiteFileError` that names file, key and what is
expected. Secrets never stand in the file: it names files that hold them.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from enclave.messages import Check, FindingLevel, Mechanism, ProofKind
from spawner import tomlfile

Name = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z", description="a lower-case letter, then at most 30 letters, digits or hyphens")
]
AbsolutePath = Annotated[str, Meta(pattern=r"^/", description="a path that begins with /")]
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]
Address = Annotated[str, Meta(pattern=r"^[0-9a-f.:]+\Z", description="an IP address")]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s/]+(/\S*)?\Z", description="an address that begins with http:// or https://")]
DatabaseUrl = Annotated[str, Meta(pattern=r"^(sqlite:////|postgresql://)\S+\Z", description="sqlite:////PATH or postgresql://…")]
Language = Annotated[str, Meta(pattern=r"^(ja|en)\Z", description='"ja" or "en"')]
TimeZone = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+/-]{1,64}\Z", description="a time zone like Asia/Tokyo")]
Seconds = Annotated[float, Meta(gt=0)]
Resource = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]*=([A-Za-z0-9_.-]+|\{(gpus|cpus|memory_mb)\}(Mi)?)\Z",
        description="NAME=VALUE, VALUE a word or one of {gpus}, {cpus}, {memory_mb}",
    ),
]
UNSAID = "?"
"""What a value begins with that only the computing centre can tell; the rest says what is asked."""


class SiteFileError(Exception):
    """The site file can't be used; the text is one sentence that names file, key and what is expected."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every table of the site file has in common."""


class Label(_Section, frozen=True, kw_only=True):
    """A text that people see, in every language of the product."""

    ja: str
    """In Japanese."""
    en: str
    """In English."""

    def text(self, language: str) -> str:
        """The text in `language`; English for any other than Japanese."""
        return self.ja if language == "ja" else self.en


class Hub(_Section, frozen=True, kw_only=True):
    """Addresses and folders of the hub host."""

    title: Label
    """What the hub is called on its pages."""
    demonstration: bool = False
    """A site for showing, without patient data: it may lack what every other site needs."""
    bind_url: Url
    """Where browsers reach the proxy, `http://ADDRESS:PORT` or `https://…`."""
    subdomain_host: (
        Annotated[
            str,
            Meta(pattern=r"^https?://[a-z0-9.-]+(:[0-9]+)?\Z", description="http:// or https://, a host name and perhaps a port"),
        ]
        | None
    ) = None
    """What people type, `https://HOST` or `https://HOST:PORT`: each person's notebook then comes from `PERSON.HOST`, so that the
    browser keeps it from acting in the hub or in another person's notebook. Needs a wildcard in DNS and in the certificate. Only a
    demonstration does without."""
    address: Address
    """The hub's address as compute nodes reach it."""
    api_port: PortNumber = 8081
    """Nodes → hub, mutual TLS: the notebook server's calls."""
    callback_port: PortNumber = 8443
    """Nodes → hub, TLS: a job's calls, its certificate among them."""
    proxy_api_port: PortNumber = 8001
    """Where the hub tells its proxy what goes where; inside the hub's host only."""
    console_port: PortNumber = 8002
    """The console's, on the hub's own 127.0.0.1, behind the proxy."""
    state: AbsolutePath
    """Folder for database, cookie secret and internal TLS; belongs to the hub's account, mode 0700."""
    audit_log: AbsolutePath
    """The audit record; while no line can be written there, nobody logs in and no session begins."""
    default_language: Language = "ja"
    """For a browser that asks for neither language."""
    time_zone: TimeZone = "Asia/Tokyo"
    """Whose clock opening hours go by, and the times that people read about their quota."""
    tls_certificate: AbsolutePath | None = None
    """Certificate chain for `subdomain_host` and all names below it; with https:// alone."""
    tls_key: AbsolutePath | None = None
    """Its key, which the hub's account alone can read."""
    proxy_command: tuple[str, ...] = ("configurable-http-proxy",)
    """What starts the proxy: `["/opt/renkei/env/bin/python", "-m", "spawner.proxy"]` for the one that Renkei locks."""


class LoginMethod(enum.StrEnum):
    """Who checks that a person is who they say."""

    PAM = "pam"
    OIDC = "oidc"


class Oidc(_Section, frozen=True, kw_only=True):
    """An OpenID Connect provider."""

    authorize_url: Url
    """The provider's address for people."""
    token_url: Url
    """The provider's address for tokens."""
    userinfo_url: Url
    """The provider's address for who somebody is."""
    callback_url: Url
    """`https://HOST/hub/oauth_callback`, as it is registered with the provider."""
    client_id: str
    """What the provider calls this hub."""
    client_secret_file: AbsolutePath
    """Holds the client's secret and nothing else; the hub's account alone can read it."""
    username_claim: str = "preferred_username"
    """Which claim is the person's name here: a lower-case letter, then at most 30 letters, digits or hyphens."""
    scope: tuple[str, ...] = ("openid", "profile")
    """What the provider is asked for."""
    label: str = "OpenID Connect"
    """What stands on the button."""


class Login(_Section, frozen=True, kw_only=True):
    """How people log in, and who is an administrator."""

    method: LoginMethod = LoginMethod.PAM
    """Who checks that a person is who they say."""
    admins: tuple[Name, ...] = ()
    """They may see who runs what, end it, and set quotas; not enter a session."""
    people: tuple[Name, ...] | None = None
    """Who may log in; none named: everybody whom the login method accepts."""
    checker_socket: AbsolutePath = "/run/saslauthd/mux"
    """saslauthd, the small root-owned process that asks PAM."""
    pam_service: Name = "renkei"
    """`/etc/pam.d/NAME` checks passwords."""
    otp: bool = False
    """Ask for a one-time password too; it is checked by `otp_pam_service`."""
    otp_pam_service: Name = "renkei-otp"
    """`/etc/pam.d/NAME` checks one-time passwords."""
    oidc: Oidc | None = None
    """The provider, with `method = "oidc"` alone."""


class RunAs(enum.StrEnum):
    """Whose Unix account a session's job runs under; see "Where trust ends" in docs/architecture.md."""

    SERVICE = "service"
    """One account a person, for sessions only, reached only by the hub's sudo rule."""
    PERSON = "person"
    """The person's own account, alone on a whole node."""


class Kind(enum.StrEnum):
    """Which batch system; each has an adapter in spawner/schedulers."""

    SLURM = "slurm"
    PJM = "pjm"


class PjmSite(_Section, frozen=True, kw_only=True):
    """What only Fujitsu PJM has to be told; docs/pjm.md."""

    folder: AbsolutePath = "/"
    """Where jobs are handed in: hub and nodes have it under this path, and every session's account may enter it."""
    output: AbsolutePath = "/dev/null"
    """Takes what the job script itself says, which is nothing while all goes well."""
    sees_all: bool = False
    """Whether pjstat shows the hub's own account everybody's jobs; else it is asked as each session's account."""


class Scheduler(_Section, frozen=True, kw_only=True):
    """The batch system."""

    kind: Kind = Kind.SLURM
    """Which batch system."""
    commands: AbsolutePath = "/usr/bin"
    """The folder of its commands."""
    sudo: AbsolutePath = "/usr/bin/sudo"
    """sudo itself."""
    run_as: RunAs = RunAs.SERVICE
    """Whose Unix account a session's job runs under: one for sessions only, or the person's own."""
    account: str = "rs-{user}"
    """Unix account of a session, `{user}` being the hub's user name."""
    proof: ProofKind | None = None
    """Left out: MUNGE on Slurm, the ticket on PJM, which knows no MUNGE."""
    unmunge: AbsolutePath = "/usr/bin/unmunge"
    """Opens what a job proves itself with."""
    accounting: bool = False
    """sacct answers here (slurmdbd), and shows the hub's account everybody's jobs."""
    poll_seconds: Seconds = 1.0
    """From one question to the batch system, for everybody, to the next, while somebody's session starts or ends."""
    queue_timeout: Seconds = 86_400.0
    """Seconds in the queue, after which a request is taken back."""
    start_timeout: Seconds = 60.0
    """From the job's start to a page that answers."""
    pjm: PjmSite = PjmSite()
    """For Fujitsu PJM alone."""

    @property
    def proved_by(self) -> ProofKind:
        """How a job proves itself here."""
        return self.proof or (ProofKind.TICKET if self.kind is Kind.PJM else ProofKind.MUNGE)

    @property
    def names_nodes(self) -> bool:
        """Whether the batch system tells on which node a job runs."""
        return self.kind is Kind.SLURM


class ResourceGroup(_Section, frozen=True, kw_only=True):
    """A Slurm partition or PJM resource group that sessions may use."""

    name: Name
    """What options, rules and records call it."""
    label: Label
    """What people read in the form."""
    partition: str
    """What the batch system calls it: a Slurm partition, or PJM's rscgrp."""
    subnets: tuple[str, ...]
    """Where its nodes' calls come from."""
    gpus: tuple[Annotated[int, Meta(ge=0, le=64)], ...]
    """The choices offered."""
    gres: str = "gpu"
    """Slurm's name for the GPUs."""
    resources: tuple[Resource, ...] = ("gpu={gpus}",)
    """What a job of PJM asks for besides group and time; one whose number comes to 0 is left out."""
    hours: tuple[Annotated[float, Meta(gt=0, le=720)], ...]
    """The choices offered."""
    cpus_per_gpu: Annotated[int, Meta(ge=1)] = 1
    """Cores that a session has for each GPU; a session without GPU has as many as for one."""
    memory_per_gpu_mb: Annotated[int, Meta(ge=0)] = 0
    """0: do not ask for memory."""
    destinations: tuple[Name, ...]
    """Which destinations its nodes reach."""
    exclusive: bool = False
    """The whole node for one session."""
    mechanism: Mechanism = Mechanism.NAMESPACES
    """How sessions get mount and walls on its nodes; see "Mechanisms" in docs/architecture.md. A node never uses another."""


class OwnerSite(_Section, frozen=True, kw_only=True):
    """The hub's way to the data owner's side of a destination; both keys are files that the hub's account alone can read."""

    control_account: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_.-]{0,31}\Z", description="the name of a Unix account")] = (
        "renkei-control"
    )
    """The account that the owner's installation makes for the hub."""
    control_key: AbsolutePath
    """Opens the control account, which can do nothing but answer."""
    statement_key: AbsolutePath
    """Signs what the owner believes: which sessions are alive."""


class DestinationSite(_Section, frozen=True, kw_only=True):
    """One SFTP endpoint behind a gateway port."""

    name: Name
    """What options, rules and records call it; the data owner's table has the same."""
    label: Label
    """What people read in the form."""
    gateway: Address
    """The gateway's address as the nodes reach it."""
    port: PortNumber
    """The gateway's port, which selects the destination."""
    host_keys: AbsolutePath
    """File of public host keys, one `TYPE BASE64` a line; pinned for this destination whatever address answers."""
    path: AbsolutePath
    """The folder there that is mounted; people's own lie below it."""
    pause_minutes: Annotated[int, Meta(ge=0, le=1440)] = 30
    """Minutes for which a cut of the line is only a pause: programs wait, and open files live on. 0: no link, sshfs alone."""
    owner: OwnerSite | None = None
    """The data owner's side there."""
    without_owner: bool = False
    """Nobody there checks that a session is alive, suspends it or ends it: a certificate alone opens the way, until it expires.
    A weaker site, which has to say so."""

    @property
    def pause_s(self) -> int:
        """`pause_minutes` in seconds."""
        return self.pause_minutes * 60


class DatabaseSite(_Section, frozen=True, kw_only=True):
    """The hub's own database: the record of sessions, and what is counted against people."""

    url: DatabaseUrl | None = None
    """None: SQLite in the folder `state` of [hub]."""
    password_file: AbsolutePath | None = None
    """Holds the password for `url` and nothing else; the hub's account alone can read it."""


class Authority(_Section, frozen=True, kw_only=True):
    """The process that signs certificates and knows who is who at each destination."""

    socket: AbsolutePath = "/run/renkei-authority/authority.sock"
    """Where it listens; the same as in its own file."""


class SessionLimits(_Section, frozen=True, kw_only=True):
    """What sessions may."""

    byte_budget_mb: Annotated[int, Meta(ge=64, le=1_000_000)] = 2048
    """Mebibytes that may go out to one person's browser within a day, JupyterLab's own pages included."""
    idle_minutes: Annotated[float, Meta(ge=0, le=10_080)] = 60.0
    """A session in which no kernel ran and no browser spoke for so long ends; 0: never. An hour outlasts a ward round or a meal,
    and costs the next person in the queue no more than that."""
    further_sessions: Annotated[int, Meta(ge=0, le=20)] = 2
    """How many sessions a person may have besides their first one; each is a job of its own."""
    still_pictures: bool = True
    """Whether what was looked at stays as a picture in saved notebooks: the viewer's slices, a training's examples. Notebooks lie
    at the destination. It is a default, no wall: a person's own cell can draw a picture all the same."""


LOWERABLE = (Check.SWAP, Check.CORES, Check.CRASHES, Check.GPU)
"""What a demonstration may let pass with its banner. Nothing lowers the rest: without it there are no walls, or no mount."""


class Preflight(_Section, frozen=True, kw_only=True):
    """What a finding about a node does to a session, a key for each `enclave.messages.Check`, and which mechanisms are enough."""

    mechanisms: tuple[Mechanism, ...] = (Mechanism.NAMESPACES,)
    """Whose sessions may run here; see "Mechanisms" in docs/architecture.md."""
    namespaces: FindingLevel = FindingLevel.REFUSE
    """Ordinary users can't make user namespaces."""
    mechanism: FindingLevel = FindingLevel.REFUSE
    """The resource group's mechanism can't be used."""
    fuse: FindingLevel = FindingLevel.REFUSE
    """/dev/fuse is not there for everybody."""
    sshfs: FindingLevel = FindingLevel.REFUSE
    """sshfs lacks what a session needs."""
    ssh: FindingLevel = FindingLevel.REFUSE
    """ssh lacks what a session needs."""
    timeouts: FindingLevel = FindingLevel.REFUSE
    """The kernel would end the mount during a cut that a session outlives."""
    swap: FindingLevel = FindingLevel.REFUSE
    """Memory can be written to a disk."""
    cores: FindingLevel = FindingLevel.REFUSE
    """Core dumps go to a program or a socket."""
    crashes: FindingLevel = FindingLevel.REFUSE
    """The kernel's log keeps the names of crashed programs."""
    sandbox: FindingLevel = FindingLevel.REFUSE
    """bubblewrap makes no sandbox."""
    walls: FindingLevel = FindingLevel.REFUSE
    """The sandbox shows something of the node's."""
    gpu: FindingLevel = FindingLevel.REFUSE
    """A session sees another number of GPUs than it asked for."""
    torch: FindingLevel = FindingLevel.REFUSE
    """The installed torch holds no code for these GPUs."""

    def lowered(self) -> tuple[Check, ...]:
        """The checks whose findings do not refuse a session."""
        return tuple(check for check in Check if getattr(self, check) is not FindingLevel.REFUSE)


class Node(_Section, frozen=True, kw_only=True):
    """What compute nodes have installed, and where."""

    python: AbsolutePath
    """The interpreter of sessions, at the same path on every node."""
    source: AbsolutePath | None = None
    """Put before the installed packages, for a site that runs from a checkout."""
    software: tuple[AbsolutePath, ...]
    """What the sandbox may read besides the system's own directories."""
    presets: AbsolutePath
    """The folder of tutorials, `en` and `ja` in it."""
    kernels: AbsolutePath
    """The folder whose subfolders are kernels."""


class Site(_Section, frozen=True, kw_only=True):
    """The whole site file."""

    hub: Hub
    login: Login
    scheduler: Scheduler
    resource_group: Annotated[tuple[ResourceGroup, ...], Meta(min_length=1)]
    destination: Annotated[tuple[DestinationSite, ...], Meta(min_length=1)]
    database: DatabaseSite = DatabaseSite()
    authority: Authority = Authority()
    session: SessionLimits = SessionLimits()
    preflight: Preflight = Preflight()
    node: Node

    def group(self, name: str) -> ResourceGroup | None:
        """The resource group called `name`, or None."""
        return next((group for group in self.resource_group if group.name == name), None)

    def find_destination(self, name: str) -> DestinationSite | None:
        """The destination called `name`, or None."""
        return next((each for each in self.destination if each.name == name), None)


def load(path: Path) -> Site:
    """The site that the file at `path` describes.

    Raises SiteFileError when it can't be read, is no TOML, or holds a key, type or value that no site has.
    """
    try:
        raw = path.read_bytes()
        unsaid = tomlfile.beginning_with(raw, UNSAID)
        if unsaid:
            places = ", ".join(f"at `{each}`" for each in unsaid)
            raise SiteFileError(f"{path}: expected what the computing centre says - {places}.")
        site = tomlfile.decode(raw, Site)
    except OSError as error:
        raise SiteFileError(f"{path}: can't be read: {error.strerror}.") from error
    except tomlfile.BadFileError as error:
        raise SiteFileError(f"{path}: {error}.") from error
    from spawner.sitecheck import contradictions  # it is about the types above

    for complaint in contradictions(site):
        raise SiteFileError(f"{path}: {complaint}.")
    return site
