"""What the person is told below a cell: from the doorway's budget, through the socket in the sandbox, by the CT kernel."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
from pathlib import Path

import aiohttp

from enclave.budget import Budget
from enclave.hubdoor import HubDoor
from enclave.storage import Told
from enclave.timeleft import TimeLeft
from tests.enclave.samples import welcome

STARTUP = Path(__file__).parents[2] / "kernels" / "ct" / "startup.py"
SPEC = importlib.util.spec_from_file_location("ct_startup", STARTUP)
assert SPEC is not None
assert SPEC.loader is not None
startup = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(startup)


async def test_each_sentence_is_said_once(tmp_path, capsys):
    made = welcome()
    budget = Budget(1000)
    door = HubDoor(made, ssl.create_default_context(), budget, TimeLeft(1_800_000_000.0))
    listening = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "hub.sock")
    listening.bind(path)
    await door.listen(listening)
    notices = startup.Notices(lambda: startup.ask_for_notice(path))
    for _ in range(4):
        await asyncio.to_thread(notices.look)
        await asyncio.to_thread(notices.look)
        budget.spend(450)
    await door.close()
    assert capsys.readouterr().err.splitlines() == [made.allowance.warning, made.allowance.used_up]


async def test_the_kernel_and_the_enclave_itself_are_answered_without_the_hub(tmp_path):
    made = welcome(environment=welcome().environment | {"JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=tanaka/"]'})
    door = HubDoor(made, ssl.create_default_context(), Budget(1000), TimeLeft(1_800_000_123.0))
    listening = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "hub.sock")
    listening.bind(path)
    await door.listen(listening)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http:
            async with http.get("http://hub/renkei/time") as answer:
                assert await answer.json() == {"deadline": 1_800_000_123.0}
            async with http.post("http://hub/renkei/time", json={"deadline": 9e9}) as answer:
                assert answer.status == 403
            async with http.get("http://hub/hub/api/user", headers={"Authorization": f"token {door.key}"}) as answer:
                assert (await answer.json())["scopes"] == ["access:servers!server=tanaka/"]
            # Whose any other token is, only the hub can say; it is not there.
            async with http.get("http://hub/hub/api/user", headers={"Authorization": f"token {door.key}x"}) as answer:
                assert answer.status == 502
    finally:
        await door.close()


async def test_the_kernel_asks_when_the_session_ends_and_not_at_every_step(tmp_path):
    path, time_left = str(tmp_path / "hub.sock"), TimeLeft(1_800_000_000.0)
    now = 0.0
    deadline = startup.Deadline(5.0, path, lambda: now)
    assert deadline() == 5.0
    door = HubDoor(welcome(), ssl.create_default_context(), Budget(1000), time_left)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    await door.listen(listening)
    try:
        assert await asyncio.to_thread(deadline) == 5.0
        now += startup.ASK_S
        assert await asyncio.to_thread(deadline) == 1_800_000_000.0
        time_left.deadline += 3600
        assert await asyncio.to_thread(deadline) == 1_800_000_000.0
        now += startup.ASK_S
        assert await asyncio.to_thread(deadline) == 1_800_003_600.0
    finally:
        await door.close()
    now += startup.ASK_S
    assert await asyncio.to_thread(deadline) == 1_800_003_600.0


async def test_the_kernel_asks_how_the_storage_does_and_hears_what_the_page_shows(tmp_path):
    path, time_left = str(tmp_path / "hub.sock"), TimeLeft(1_800_000_000.0)
    now = 0.0
    storage = startup.Storage(path, lambda: now)
    assert storage() == ""
    door = HubDoor(welcome(), ssl.create_default_context(), Budget(1000), time_left)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    await door.listen(listening)
    said = []
    try:
        for told in (Told(line="up", text="Storage: 1.2 GB read"), Told(line="paused", warning="Storage paused 2:10"), Told()):
            now += startup.STORAGE_S
            time_left.storage = lambda told=told: told
            said.append(await asyncio.to_thread(storage))
    finally:
        await door.close()

    assert said == ["Storage: 1.2 GB read", "Storage paused 2:10", ""]


def test_where_nobody_answers_nothing_is_said(tmp_path, capsys):
    startup.Notices(lambda: startup.ask_for_notice(str(tmp_path / "nobody"))).look()
    assert capsys.readouterr().err == ""
