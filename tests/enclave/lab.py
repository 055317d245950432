"""A real notebook server behind a real doorway as processes of a test: no job, no mount, no sandbox, and a hub of a few lines.

What the doorway lets through, and what a browser does with it, needs no site.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode

import aiohttp
import msgspec
from aiohttp import web

from enclave.budget import Budget
from enclave.doorway import Doorway, _Server
from enclave.messages import Level
from enclave.presets import Card
from enclave.sandbox import KERNELS
from enclave.server_config import Settings, early_environment, settings
from enclave.timeleft import TimeLeft
from enclave.wire import place_of
from tests.enclave.samples import welcome

ROOT = Path(__file__).parents[2]
BASE = "/user/tanaka/"
OWN = "people/jrs0017"
T = TypeVar("T")

WELCOME = welcome(
    environment=welcome().environment
    | {
        "JUPYTERHUB_USER": "tanaka",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_PREFIX": BASE,
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{BASE}oauth_callback",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:servers!server=tanaka/"]),
    }
)


def server_settings(
    folder: Path, language: str = "en", tutorials: Sequence[Card] = (), notice: str = ""
) -> tuple[dict[str, str], Settings]:
    """Early environment and settings of a server whose home, hub and cloud are in `folder`."""
    early = early_environment(str(folder), sys.executable, dict(os.environ))
    early |= {"JUPYTER_PATH": str(ROOT), "PYTHONPATH": f"{ROOT}:{ROOT}/kernels"}
    made = settings(
        msgspec.structs.replace(WELCOME, language=language, notice=notice), str(folder), "not-a-token-0123456789", tutorials
    )
    environment = made.environment | {"JUPYTERHUB_API_URL": f"http+unix://{quote(f'{folder}/hub.sock', safe='')}/hub/api"}
    environment["JUPYTERHUB_ACTIVITY_URL"] = environment["JUPYTERHUB_API_URL"] + "/users/tanaka/activity"
    configuration = f"{folder}/.jupyter/jupyter_server_config.json"
    traits = json.loads(made.files[configuration])
    traits["ServerApp"]["allow_root"] = True
    parts = traits["LabApp"]["extra_labextensions_path"]
    traits["LabApp"]["extra_labextensions_path"] = [each.replace(KERNELS, f"{ROOT}/kernels") for each in parts]
    # As fast as a cell that has become the server could make it.
    traits["ZMQChannelsWebsocketConnection"] = {"iopub_data_rate_limit": 0, "iopub_msg_rate_limit": 0}
    return early, Settings(environment=environment, files=made.files | {configuration: json.dumps(traits)})


class Lab:
    """A session's server, its doorway, and a front that is hub and proxy, at `url`."""

    def __init__(
        self, folder: Path, *, byte_budget: int = 2**31, language: str = "en", tutorials: Sequence[Card] = (), notice: str = ""
    ) -> None:
        self.folder = folder
        self.budget = Budget(byte_budget, self._told)
        self.time_left = TimeLeft(time.time() + 7200, WELCOME.clock)
        self.levels: list[tuple[Level, int]] = []
        self.requests: list[tuple[str, str, int]] = []
        """Method, address and status of everything that came to the doorway."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        (folder / "cloud" / OWN / "tutorials").mkdir(parents=True)
        self.do(self._open_hub())
        self.server = self._start_server(language, tutorials, notice)
        self.do(self._open_front())

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """Runs `work` in the front's loop to its end."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop).result(seconds + 5)

    def _told(self, level: Level, spent: int) -> None:
        self.levels.append((level, spent))

    async def _open_hub(self) -> None:
        hub = web.ServerRunner(web.Server(self._hub))
        await hub.setup()
        await web.UnixSite(hub, str(self.folder / "hub.sock")).start()

    def _start_server(self, language: str, tutorials: Sequence[Card], notice: str) -> subprocess.Popen[bytes]:
        early, made = server_settings(self.folder, language, tutorials, notice)
        with socket.socket(socket.AF_UNIX) as listening, (self.folder / "server.log").open("wb") as log:
            listening.bind(str(self.folder / "server.sock"))
            listening.listen(128)
            server = subprocess.Popen(
                [sys.executable, "-P", "-m", "enclave.inside", str(listening.fileno()), "-1", "0"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=early, pass_fds=[listening.fileno()], cwd="/",
            )  # fmt: skip
        assert server.stdin is not None
        server.stdin.write(msgspec.json.encode(made) + b"\n")
        server.stdin.flush()
        return server

    async def _open_front(self) -> None:
        place = place_of(BASE, WELCOME.environment)
        self.doorway = Doorway(self.folder / "server.sock", place, WELCOME.allowance, self.budget, self.time_left)
        front = web.ServerRunner(_Server(self._front))
        await front.setup()
        await web.TCPSite(front, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{front.addresses[0][1]}"
        self.url = f"http://{self.host}"
        await asyncio.wait_for(self.doorway.server_answers(), 50)
        self.doorway.open()

    async def _front(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.path.startswith(BASE.rstrip("/")):
            if request.path == "/hub/api/oauth2/authorize":
                asked = parse_qs(request.query_string)
                back = urlencode({"code": secrets.token_hex(8), "state": asked["state"][0]})
                return web.Response(status=302, headers={"Location": f"{BASE}oauth_callback?{back}"})
            return web.Response(text="<p>the hub</p>", content_type="text/html", headers={"Cache-Control": "no-store"})
        answer = await self.doorway._handle(request)
        self.requests.append((request.method, request.raw_path, answer.status))
        return answer

    async def _hub(self, request: web.BaseRequest) -> web.Response:
        from jupyterhub import __version__

        answers = {
            "/hub/api": {"version": __version__},
            "/hub/api/oauth2/token": {"access_token": "browser-token-0123456789", "token_type": "Bearer"},
            "/hub/api/user": {"name": "tanaka", "kind": "user", "groups": [], "scopes": ["access:servers!server=tanaka/"]},
        }
        if request.path in answers:
            return web.json_response(answers[request.path], headers={"X-JupyterHub-Version": __version__})
        return web.Response(status=204)

    def browse(self, work: Callable[[aiohttp.ClientSession, str], Coroutine[Any, Any, T]], seconds: float = 60) -> T:
        """Runs `work` with a client that the hub knows, and the server's address."""

        async def run() -> T:
            async with aiohttp.ClientSession(headers={"Authorization": "token browser-token-0123456789"}) as http:
                return await work(http, f"{self.url}{BASE}")

        return self.do(run(), seconds)

    def close(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.do(self.doorway.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
