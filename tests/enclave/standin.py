"""A hub's two listeners, as small as they can be: the call-back and the API that jupyterhub-singleuser asks.

Real TLS, real MUNGE, real certificates for SSH; it runs inside the network of the testbed's hub.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from enclave.messages import (
    Check,
    Destination,
    EnclaveReport,
    Event,
    Finding,
    FindingLevel,
    Notice,
    Order,
    Phase,
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
from testbed import owner
from testbed.host import Host
from testbed.layout import address
from testbed.site import Testbed
from tests.enclave.authorities import Authority

T = TypeVar("T")
TOKEN = "hub-token-0123456789abcdef"
BROWSER_TOKEN = "browser-token-0123456789abcdef"
BASE_URL = "/user/tanaka/"
SESSION = "a1b2c3d4e5f60718"
_NEWNET = 0x40000000


def enter(network: Path) -> None:
    """Moves the calling thread into `network`: sockets that it makes and programs that it starts from now on are in there."""
    with network.open() as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "can't enter the network")


class Thread:
    """An event loop in a thread of its own; `network` is the network namespace that its sockets are made in."""

    def __init__(self, network: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(network,), daemon=True)
        self._thread.start()

    def _run(self, network: Path) -> None:
        enter(network)
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """Runs `work` there to its end."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop).result(seconds + 5)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class StandinHub:
    """The hub of one session on `node` of `testbed`."""

    def __init__(self, testbed: Testbed, folder: Path, node: str = "cx01") -> None:
        self.hub: Host = testbed.host("hub")
        self.testbed = testbed
        self.node = node
        self.folder = folder
        self.callback_ca, self.notebooks, self.proxy, self.internal = map(Authority, ("callback", "notebooks", "proxy", "hub"))
        self.events: list[Event] = []
        self.times: dict[str, float] = {}
        self.changed = threading.Condition()
        self.port = 0
        self.calls: list[tuple[str, str, str]] = []
        """Calls to the API: method, path, authorization."""
        self.lifetime = 3600
        self.refusal: Reason | None = None
        """What `renew` and `start` say instead of a certificate."""
        self.destination_changes: dict[str, Any] = {}
        self.environment_changes: dict[str, str] = {}
        self.renewals = 0
        self.pulses: list[Pulse] = []
        self.notices: tuple[Notice, ...] = ()
        self.idle_s: float | None = None
        self.deadline = time.time() + 3600
        self.language = "ja"
        self.start: Start | None = None
        self.residue: EnclaveReport | None = None
        """What the enclave said is left on the node."""
        self.findings: tuple[Finding, ...] | None = None
        """What the last `start` said of the node."""
        self.notice = ""
        self.network = Path(f"/proc/{self.hub.first}/ns/net")
        self.thread = Thread(self.network)
        self.thread.do(self._listen())

    async def _listen(self) -> None:
        here = str(address("hub"))
        context = self.callback_ca.context(self.folder, ssl.PROTOCOL_TLS_SERVER, believes=None, address=here)
        self._runner = web.ServerRunner(web.Server(self._callback))
        await self._runner.setup()
        site = web.TCPSite(self._runner, here, 0, ssl_context=context)
        await site.start()
        self.callback_url = f"https://{here}:{_port(site)}"
        context = self.internal.context(self.folder, ssl.PROTOCOL_TLS_SERVER, believes=self.notebooks, address=here)
        self._api_runner = web.ServerRunner(web.Server(self._api))
        await self._api_runner.setup()
        site = web.TCPSite(self._api_runner, here, 0, ssl_context=context)
        await site.start()
        self.api_url = f"https://{here}:{_port(site)}/hub/api"

    def close(self) -> None:
        async def stop() -> None:
            await self._runner.cleanup()
            await self._api_runner.cleanup()

        self.thread.do(stop())
        self.thread.close()

    def order(self, **changes: Any) -> Order:
        settings: dict[str, Any] = {
            "session": SESSION,
            "callback_url": self.callback_url,
            "callback_ca": self.callback_ca.pem,
            "proof": ProofKind.MUNGE,
            "software": ("/opt/renkei",),
            "presets": "/opt/renkei/src/notebooks",
            "kernels": "/opt/renkei/src/kernels",
            "lowered": (Check.SWAP, Check.CORES, Check.CRASHES, Check.GPU),
        }
        return Order(**(settings | changes))

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What was found of the node that refuses the session; the machine under the testbed may have more to lower."""
        return tuple(each for each in self.findings or () if each.level is FindingLevel.REFUSE)

    def wait(self, *phases: Phase, seconds: float = 60) -> Event:
        """The first event of one of `phases`; fails when there is none in time."""
        found: list[Event] = []

        def there() -> bool:
            found[:] = [event for event in self.events if event.phase in phases]
            return bool(found)

        with self.changed:
            assert self.changed.wait_for(there, seconds), f"no {phases} among {self.events}; findings: {self.findings}"
        return found[0]

    # The call-back

    async def _callback(self, request: web.BaseRequest) -> web.Response:
        session, route = request.path.removeprefix("/v1/sessions/").split("/")
        assert session == SESSION
        body = await request.read()
        if route == "start":
            return await self._start(decode(body, Start))
        assert self.start is not None
        if request.headers.get("Authorization") != "Bearer the-key":
            return _refuse(Reason.PROOF_REFUSED)
        if route == "event":
            event = decode(body, Event)
            with self.changed:
                self.events.append(event)
                self.times.setdefault(event.phase, time.monotonic())
                self.changed.notify_all()
            return web.Response()
        if route in {"residue", "outflow", "pulse"}:
            return self._told(route, body)
        assert route == "renew"
        if self.refusal is not None:
            return _refuse(self.refusal)
        self.renewals += 1
        certificate = await asyncio.to_thread(self._sign, self.start.ssh_public_key)
        return web.Response(body=encode(Renewal(ssh_certificate=certificate, expires=time.time() + self.lifetime)))

    def _told(self, route: str, body: bytes) -> web.Response:
        if route == "pulse":
            self.pulses.append(decode(body, Pulse))
            answer = PulseAnswer(deadline=self.deadline, notices=self.notices, idle_s=self.idle_s)
            return web.Response(body=encode(answer))
        self.residue = decode(body, EnclaveReport) if route == "residue" else self.residue
        return web.Response()

    async def _start(self, start: Start) -> web.Response:
        if self.refusal is not None:
            return _refuse(self.refusal)
        answer = await asyncio.to_thread(self.hub.run, ["unmunge"], None, start.munge)
        if answer.returncode != 0 or not answer.stdout.endswith(binding(start)):
            return _refuse(Reason.PROOF_REFUSED)
        self.findings = start.findings
        if any(each.level is FindingLevel.REFUSE for each in start.findings):
            with self.changed:
                self.changed.notify_all()
            return _refuse(Reason.NODE_UNFIT)
        self.start, self.port = start, start.port
        self.times["start"] = time.monotonic()
        await asyncio.to_thread(owner.vouch, self.testbed.host("cloud"), SESSION, "jrs0017")
        certificate = await asyncio.to_thread(self._sign, start.ssh_public_key)
        welcome = Welcome(
            key="the-key",
            user="tanaka",
            language=self.language,
            deadline=self.deadline,
            environment={
                "JUPYTERHUB_API_TOKEN": TOKEN,
                "JUPYTERHUB_API_URL": self.api_url,
                "JUPYTERHUB_BASE_URL": "/",
                "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-tanaka",
                "JUPYTERHUB_USER": "tanaka",
                "JUPYTERHUB_SERVER_NAME": "",
                "JUPYTERHUB_SERVICE_PREFIX": BASE_URL,
                "JUPYTERHUB_SERVICE_URL": "https://10.77.1.11:1/user/tanaka/",
                "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:servers!server=tanaka/"]),
                "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{BASE_URL}oauth_callback",
                "JUPYTERHUB_ACTIVITY_INTERVAL": "2",
                **self.environment_changes,
            },
            base_url=BASE_URL,
            hub_api_url=self.api_url,
            tls_certificate=self.notebooks.sign_request(start.tls_request, str(address(self.node))),
            tls_client_ca=self.proxy.pem,
            tls_hub_ca=self.internal.pem,
            ssh_certificate=certificate,
            destination=self.destination(),
            notice=self.notice,
        )
        return web.Response(body=encode(welcome))

    def destination(self) -> Destination:
        keys = self.hub.path("/etc/renkei/host_keys/cloud").read_text().strip()
        settings: dict[str, Any] = {
            "name": "cloud",
            "gateway": "10.77.2.1",
            "port": 2201,
            "account": "jrs0017",
            "host_keys": f"cloud {keys}",
            "path": "/srv/cloud",
            "folder": "people/jrs0017",
            "pause_s": 1800,
        }
        return Destination(**(settings | self.destination_changes))

    def _sign(self, public_key: str) -> str:
        name = f"/dev/shm/standin-{os.urandom(4).hex()}"
        self.hub.write(f"{name}.pub", public_key + "\n", 0o600)
        options = ["-O", "clear", "-O", "force-command=internal-sftp", "-V", f"-60s:+{self.lifetime}s", "-n", "jrs0017", "-z", "1"]
        ca = "/etc/renkei-authority/ca/cloud"
        self.hub.run(["ssh-keygen", "-q", "-s", ca, "-I", f"session={SESSION}", *options, f"{name}.pub"], check=True)
        certificate = self.hub.path(f"{name}-cert.pub")
        text = certificate.read_text()
        certificate.unlink()
        self.hub.path(f"{name}.pub").unlink()
        return text.strip()

    # The hub's API

    async def _api(self, request: web.BaseRequest) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        self.calls.append((request.method, request.path, authorization))
        headers = {"X-JupyterHub-Version": "6.1.1", "Set-Cookie": "hub=secret"}
        if (request.method, request.path) == ("GET", "/hub/api"):
            return web.json_response({"version": "6.1.1"}, headers=headers)
        if request.path == "/hub/api/user" and authorization == f"token {BROWSER_TOKEN}":
            user = {"name": "tanaka", "kind": "user", "admin": False, "groups": [], "scopes": ["access:servers!server=tanaka/"]}
            return web.json_response(user, headers=headers)
        if request.path == "/hub/api/users/tanaka/activity" and authorization == f"token {TOKEN}":
            return web.Response(status=204, headers=headers)
        return web.json_response({"status": 403}, status=403, headers=headers)

    # The browser's side

    def browser(self, *, believed: bool = True) -> ssl.SSLContext:
        """The proxy's TLS, or a stranger's."""
        authority = self.proxy if believed else Authority("stranger")
        return authority.context(self.folder, ssl.PROTOCOL_TLS_CLIENT, believes=self.notebooks, address="10.77.1.10")

    def browse(self, work: Callable[[aiohttp.ClientSession, str], Awaitable[T]], seconds: float = 60) -> T:
        """Runs `work` with a client that holds the proxy's certificate and the browser's token, and the server's URL."""

        async def run() -> T:
            connector = aiohttp.TCPConnector(ssl=self.browser())
            async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"token {BROWSER_TOKEN}"}) as session:
                return await work(session, f"https://{address(self.node)}:{self.port}{BASE_URL}")

        return self.thread.do(run(), seconds)


def _port(site: web.TCPSite) -> int:
    server = site._server
    assert isinstance(server, asyncio.Server)
    port: int = server.sockets[0].getsockname()[1]
    return port


def _refuse(reason: Reason) -> web.Response:
    return web.Response(status=403, body=encode(Refusal(reason=reason)))
