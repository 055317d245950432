"""A call-back listener as a test's own: real TLS, real HTTP, a real munged; batch system and authority say what the test wants."""

import contextlib
import logging
import os
import shlex
import signal
import ssl
import subprocess
import time
from pathlib import Path

import aiohttp
import msgspec
from certipy import Certipy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from enclave.messages import ProofKind, Reason, Refusal, Start, binding, decode, encode
from spawner import site
from spawner.audit import Audit
from spawner.authority.client import AuthorityDownError
from spawner.authority.protocol import Account, Signed
from spawner.callback import CallBack
from spawner.firstcall import FirstCall
from spawner.listener import make_server
from spawner.options import Request
from spawner.outflows import OutflowRow, Outflows
from spawner.owner.owners import Owners
from spawner.proof import parse_unmunge
from spawner.residue.collector import Residue
from spawner.schedulers.base import JobState, JobStatus
from spawner.sessions import Saved, Session, Sessions, State
from spawner.store.database import Database
from spawner.tls import InternalAuthority
from testbed import programs

DEMO = site.load(Path(__file__).parents[2] / "sites" / "demo.toml")
NOBODY = Owners(())
"""No destination has an owner's side, and the site says so."""
JOB = "4711"
REQUEST = Request(resource_group="ct-link", destination="cloud", gpus=1, hours=1.0, language="ja")
CLOUD = Account(destination="cloud", account="jrs0017", folder="people/jrs0017")


def record(**more) -> Saved:
    """The record of tanaka's session, whose job runs under the account of this very process."""
    values = {"id": "abcdefgh12345678", "job": JOB, "state": State.QUEUED, **more}
    return Saved(user="tanaka", server="", account="rs-tanaka", uid=os.getuid(), request=REQUEST, cloud=CLOUD, **values)


def make_authorities(folder: Path) -> Path:
    """JupyterHub's internal authorities, as far as the spawner needs them."""
    store = Certipy(store_dir=str(folder))
    for name in ("hub-ca", "notebooks-ca", "proxy-client-ca"):
        store.create_ca(name)
    return folder


class Munge:
    """A munged with a key and a socket of its own."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        subprocess.run(
            [*programs.outside("/usr/sbin/munged"), "--force", *(f"--{option}={folder / name}" for option, name in files.items())],
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip
        self.unmunge = folder / "unmunge"
        command = shlex.join([*programs.outside("/usr/bin/unmunge"), f"--socket={folder}/socket"])
        self.unmunge.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        self.unmunge.chmod(0o755)
        ask = [self.unmunge, "--numeric", "--keys=STATUS,ENCODE_HOST,UID"]
        answer = subprocess.run(ask, input=self.credential("x"), capture_output=True, text=True, check=True)
        self.host = parse_unmunge(answer.stdout).host
        """What munged thinks this machine's address is."""

    def credential(self, payload: str) -> str:
        encode = [*programs.outside("/usr/bin/munge"), f"--socket={self.folder}/socket"]
        answer = subprocess.run(encode, input=payload, capture_output=True, text=True, check=True, timeout=30)
        return answer.stdout.strip()

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGTERM)


class OneNode:
    """A batch system with one job on one node."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.jobs = {JOB: JobStatus(state=JobState.RUNNING, uid=os.getuid(), node="cx01", ends=time.time() + 3600)}
        self.asked: list[str] = []

    async def query(self, jobs):
        self.asked += jobs
        return {job: self.jobs[job] for job in jobs if job in self.jobs}

    async def node_addresses(self, node):
        assert node == "cx01"
        return self.addresses


class Signer:
    """An authority that signs whatever it is asked, or is down."""

    def __init__(self) -> None:
        self.down = False
        self.signed: list[dict[str, str]] = []

    async def sign(self, **wish: str) -> Signed:
        if self.down:
            raise AuthorityDownError("no answer within 5 s")
        self.signed.append(wish)
        return Signed(certificate=f"certificate {len(self.signed)}", serial=len(self.signed), expires=time.time() + 900)


class Stage:
    """A listener with one session that waits for its start."""

    def __init__(
        self,
        folder: Path,
        authorities: Path,
        munge: Munge,
        port: int,
        proof: ProofKind = ProofKind.MUNGE,
        *,
        owners: Owners = NOBODY,
    ) -> None:
        replace = msgspec.structs.replace
        keys = folder / "host_keys"
        keys.write_text("ssh-ed25519 AAAAC3Nz comment\n")
        group = replace(DEMO.resource_group[0], subnets=("127.0.0.0/8",))
        self.site = replace(
            DEMO,
            hub=replace(DEMO.hub, address="127.0.0.1", callback_port=port, audit_log=str(folder / "audit.jsonl")),
            scheduler=replace(DEMO.scheduler, unmunge=str(munge.unmunge), proof=proof),
            resource_group=(group,),
            destination=tuple(
                replace(each, host_keys=str(keys), owner=None if owners is NOBODY else each.owner, without_owner=owners is NOBODY)
                for each in DEMO.destination
            ),
        )
        self.munge = munge
        self.scheduler = OneNode(("127.0.0.1", munge.host))
        self.authority = Signer()
        self.sessions = Sessions()
        self.ended: list[str] = []
        self.log = logging.getLogger("stage")
        self.audit = Path(self.site.hub.audit_log)
        hub = InternalAuthority(str(authorities), "hub-ca")
        self.residue = Residue(
            folder=folder / "statements",
            scheduler=self.scheduler,
            sessions=self.sessions,
            owner=lambda _: None,
            unmunge=str(munge.unmunge),
            audit=Audit(self.audit),
            log=self.log,
        )
        self.database = Database(f"sqlite:///{folder}/renkei.sqlite")
        with self.database.write() as session:
            OutflowRow.__table__.create(session.connection(), checkfirst=True)
        outflows = Outflows(self.database, self.log)
        first = FirstCall(
            site=self.site,
            scheduler=self.scheduler,
            authority=self.authority,
            owners=owners,
            audit=Audit(self.audit),
            notebooks=InternalAuthority(str(authorities), "notebooks-ca"),
            client_ca="CLIENTS",
            hub_ca=hub.pem,
            outflows=outflows,
            end=self.end,
            log=self.log,
        )
        self.callback = CallBack(
            site=self.site,
            sessions=self.sessions,
            first=first,
            authority=self.authority,
            statements=self.residue,
            audit=Audit(self.audit),
            outflows=outflows,
            log=self.log,
        )
        self.server = make_server(self.callback, hub.server_context(str(folder), "127.0.0.1", 3600))
        self.server.listen(port, address="127.0.0.1")
        self.trust = ssl.create_default_context(cadata=hub.pem)
        self.url = f"https://127.0.0.1:{port}"
        self.session = self.add()

    async def end(self, session, reason):
        self.ended.append(session.id)
        self.sessions.close(session)
        return True

    def add(self, name: str = "abcdefgh12345678") -> Session:
        session = Session(record(id=name), lambda address, port: {
            "JUPYTERHUB_SERVICE_URL": f"https://{address}:{port}/user/tanaka/",
            "JUPYTERHUB_SERVICE_PREFIX": "/user/tanaka/",
            "JUPYTERHUB_API_URL": "https://127.0.0.1:8081/hub/api",
        })  # fmt: skip
        self.sessions.add(session)
        return session

    def start(self, **more) -> Start:
        """A start of the session's job; `more` says what is different. The proof is made last, over all of it."""
        values = {
            "session": self.session.id,
            "job": JOB,
            "ssh_public_key": "ssh-ed25519 AAAAkey",
            "tls_request": tls_request(),
            "port": 12345,
            **more,
        }
        start = Start(**values)
        if "munge" in more or "ticket" in more:
            return start
        return msgspec.structs.replace(start, munge=self.munge.credential(binding(start)))

    async def post(self, verb: str, body: bytes, *, session: str = "", key: str = "", client=None) -> tuple[int, bytes]:
        """Status and body of one call."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{self.url}/v1/sessions/{session or self.session.id}/{verb}"
        async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers, ssl=client or self.trust) as answer:
            return answer.status, await answer.read()

    async def started(self) -> str:
        """Let the session start; its bearer key."""
        status, body = await self.post("start", encode(self.start()))
        assert status == 200, body
        assert self.session.saved.state is State.STARTING
        return msgspec.json.decode(body)["key"]

    def close(self) -> None:
        self.residue.stop()
        self.database.close()
        self.server.stop()


async def refused(stage: Stage, body: bytes, verb: str = "start", **more) -> tuple[int, Reason]:
    """Status and reason of a call that is refused."""
    status, answer = await stage.post(verb, body, **more)
    return status, decode(answer, Refusal).reason


def tls_request(key=None, name: str = "evil.example.org") -> str:
    """A signing request that asks for a name which it must not get."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(alternative, critical=False)
    request = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
