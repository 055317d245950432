"""A real hub with its real proxy as processes of a test, on free ports of this machine; only the sessions are small stand-ins."""

import asyncio
import contextlib
import html
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import requests
from jupyterhub.spawner import SimpleLocalProcessSpawner, SpawnException

ROOT = Path(__file__).parents[2]

SITE = """
[hub]
title = {{ ja = "連携 試験", en = "Renkei test" }}
demonstration = true
bind_url = "{url}"
address = "127.0.0.1"
api_port = {api}
callback_port = {callback}
proxy_api_port = {proxy}
console_port = {console}
state = "{folder}"
audit_log = "{folder}/audit.jsonl"
default_language = "ja"
proxy_command = ["{python}", "-m", "spawner.proxy"]
{tls}

{login}

[scheduler]

[[resource_group]]
name = "ct-link"
label = {{ ja = "CT", en = "CT" }}
partition = "ct-link"
subnets = ["127.0.0.0/8"]
gpus = [1]
hours = [1]
destinations = ["cloud"]

[[destination]]
name = "cloud"
label = {{ ja = "クラウド", en = "Cloud" }}
gateway = "127.0.0.1"
port = 2201
host_keys = "/etc/hostname"
path = "/srv/cloud"
without_owner = true

[authority]

[node]
python = "{python}"
software = ["/usr"]
presets = "/usr"
kernels = "/usr"
"""

CONFIG = """
from pathlib import Path
from spawner import hub, login, pages, site
from tests.spawner.hubs import PlainSession
c = get_config()
here = site.load(Path("{site}"))
hub.configure(c, here)
pages.configure(c, here)
login.configure(c, here)
c.JupyterHub.spawner_class = PlainSession
c.JupyterHub.load_roles += [
    {{"name": "test-service", "services": ["test"],
     "scopes": ["admin:users", "admin:servers", "admin:groups", "tokens", "list:users"]}}
]
c.JupyterHub.services = [{{"name": "test", "api_token": "{token}", "display": False}}]
{more}
"""

TOKEN = "a-token-of-the-test-alone"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class NodeLostError(SpawnException):
    """A refusal with a sentence, as our own spawner raises it."""

    jupyterhub_message = "計算ノードが止まりました。何も残っていません。"


class PlainSession(SimpleLocalProcessSpawner):
    """A session whose start does what the test's wish in `user_options` says: wait, or fail with a sentence."""

    options_form = '<label for="wish">Wish</label><input id="wish" name="wish">'

    def options_from_form(self, form_data):
        return {"wish": form_data.get("wish", [""])[0]}

    async def start(self):
        wish = self.user_options.get("wish", "")
        if wish == "fail-late":
            await asyncio.sleep(2)
        if wish.startswith("fail"):
            raise NodeLostError(NodeLostError.jupyterhub_message, reason="test", log_message="technical", status_code=503)
        if wish == "break":
            raise RuntimeError("secret detail of the machine")
        await asyncio.sleep(120)

    async def progress(self):
        yield {"progress": 20, "message": "順番を待っています。", "step": "queued", "at": time.time()}
        await asyncio.sleep(0.5)
        yield {"progress": 60, "message": "ノードを確認しています。", "step": "preflight", "at": time.time()}
        await asyncio.sleep(120)


class CheckerServer:
    """saslauthd's side of its socket: says OK where (login, password, service) is among `right`; remembers what was asked."""

    def __init__(self, path: Path, right: set[tuple[str, str, str]]) -> None:
        self.path = path
        self.right = right
        self.asked: list[tuple[str, str, str, str]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
                    fields = [stream.read(int.from_bytes(stream.read(2), "big")).decode() for _ in range(4)]
                    self.asked.append((fields[0], fields[1], fields[2], fields[3]))
                    answer = b"OK" if tuple(fields[:3]) in self.right else b"NO authentication failed"
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()


class Hub:
    """One running hub."""

    def __init__(self, folder: Path, login: str, more: str = "", public: int | None = None, tls: str = "") -> None:
        ports = free_ports(5)
        self.folder = folder
        self.api_port, self.proxy_port = ports[1], ports[3]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{public or ports[0]}"
        self.log = folder / "hub.log"
        site = folder / "site.toml"
        names = {"url": self.url, "api": ports[1], "callback": ports[2], "proxy": ports[3], "console": ports[4]}
        site.write_text(SITE.format(**names, folder=folder, python=sys.executable, login=login, tls=tls))
        config = folder / "config.py"
        config.write_text(CONFIG.format(site=site, token=TOKEN, more=more))
        self.start()

    def start(self) -> None:
        """Begin it, for the first time or again: its state is in its folder, and its log goes on."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self.folder / "config.py")],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait(self, seconds: float = 60) -> "Hub":
        """Until its login page answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(requests.RequestException):
                if requests.get(self.url + "/hub/health", timeout=5, verify=False).ok:  # noqa: S501  (a certificate of the test's own)
                    return self
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # A hub that was killed, or never came up, leaves its proxy, which is in no group of ours.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / "proxy.pid").read_text()), signal.SIGTERM)

    def browser(self, language: str = "") -> "Browser":
        return Browser(self.url, language)


def plain(page: requests.Response) -> str:
    """The text that a person sees, roughly."""
    text = page.content.decode()  # utf-8, as the page itself says
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text[text.find("<header") :])))


class Browser:
    """Cookies and redirects, and forms with their hidden fields; no scripts."""

    def __init__(self, url: str, language: str = "") -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Sec-Fetch-Mode"] = "navigate"
        if language:
            self.session.headers["Accept-Language"] = language

    def open(self, path: str, **more) -> requests.Response:
        return self.session.get(urljoin(self.url, path), timeout=60, **more)

    def submit(self, page: requests.Response, **fields: str) -> requests.Response:
        """Send the first form of `page` with its hidden fields and `fields`."""
        form = re.search(r"<form[^>]*action=[\"']([^\"']*)[\"'][^>]*>(.*?)</form>", page.text, re.DOTALL)
        assert form, page.text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form[2]))
        return self.session.post(urljoin(page.url, html.unescape(form[1])), data={**hidden, **fields}, timeout=60)

    def log_in(self, name: str, password: str, **more: str) -> requests.Response:
        return self.submit(self.open("/hub/login"), username=name, password=password, **more)


@contextlib.contextmanager
def password_hub(
    folder: Path, *, right: set[tuple[str, str, str]], more_login: str = "", more: str = ""
) -> Iterator[tuple[Hub, CheckerServer]]:
    """A hub that asks a checker of the test's own, which knows what is `right`."""
    checker = CheckerServer(folder / "mux", right)
    hub = Hub(folder, f'[login]\nmethod = "pam"\nadmins = ["admin"]\nchecker_socket = "{folder}/mux"\n{more_login}\n', more)
    try:
        yield hub.wait(), checker
    finally:
        hub.stop()
        checker.close()
