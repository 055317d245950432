"""A script pulls what it can through the doorway, from a real notebook server: cut at the budget, told, and work is saved."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

import aiohttp
import pytest

from enclave.budget import TRICKLE_BURST, TRICKLE_LIMIT, TRICKLE_RATE
from enclave.messages import Level
from tests.enclave.lab import OWN, WELCOME, Lab

BUDGET = 64 * 2**20
WANTED = 2**30
SLACK = 2**19
"""What is on its way in one piece when the budget ends."""
FILE = 16 * 2**20

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(tmp_path) -> Iterator[Lab]:
    found = Lab(tmp_path, byte_budget=BUDGET)
    yield found
    found.close()


def most(seconds: float) -> float:
    """Bytes that may have come within `seconds`."""
    return BUDGET + SLACK + TRICKLE_BURST + TRICKLE_LIMIT + TRICKLE_RATE * seconds


async def save(http: aiohttp.ClientSession, url: str) -> int:
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    async with http.put(f"{url}api/contents/{OWN}/work.ipynb", json={"type": "notebook", "content": notebook}) as answer:
        return answer.status


def test_a_gigabyte_through_the_contents_is_cut_at_the_budget(lab: Lab):
    (lab.folder / "cloud" / OWN / "large.txt").write_text("x" * FILE)

    async def pull(http: aiohttp.ClientSession, url: str) -> tuple[int, list[int], str]:
        received, statuses, said = 0, [], ""
        for _ in range(WANTED // FILE):
            try:
                async with http.get(f"{url}api/contents/{OWN}/large.txt?type=file&format=text&content=1") as answer:
                    statuses.append(answer.status)
                    async for piece in answer.content.iter_any():
                        received += len(piece)
                        said = piece.decode() if answer.status != 200 else said
            except aiohttp.ClientError:
                statuses.append(0)
        return received, statuses, said

    begun = time.monotonic()
    received, statuses, said = lab.browse(pull)
    assert BUDGET * 0.9 < received < most(time.monotonic() - begun)
    assert (statuses[0], statuses[-1]) == (200, 429)
    assert json.loads(said)["message"] == WELCOME.allowance.used_up
    assert [level for level, _ in lab.levels] == [Level.WARNING, Level.USED_UP]
    assert lab.browse(save) == 201


def test_a_gigabyte_through_a_cell_s_output_is_cut_at_the_budget(lab: Lab):
    code = f"""
import sys
for _ in range({WANTED // 2**20}):
    sys.stdout.write("x" * 2**20)
    sys.stdout.flush()
"""

    async def pull(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
        async with http.post(f"{url}api/kernels", json={"name": "ct"}) as answer:
            kernel = (await answer.json())["id"]
        header = dict.fromkeys(("username", "session", "date"), "") | {"msg_id": uuid.uuid4().hex, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        request = {"header": header | {"msg_type": "execute_request"}, "parent_header": {}, "metadata": {}, "content": content}
        received = 0
        async with http.ws_connect(f"{url}api/kernels/{kernel}/channels", max_msg_size=0) as ws:
            await ws.send_json(request | {"channel": "shell", "buffers": []})
            async for message in ws:
                received += len(message.data)
                reply = json.loads(message.data)
                if reply["msg_type"] == "execute_reply" and reply["parent_header"].get("msg_id") == header["msg_id"]:
                    return received, reply["content"]["status"]
        return received, "hung up"

    begun = time.monotonic()
    received, status = lab.browse(pull, 120)
    assert BUDGET * 0.9 < received < most(time.monotonic() - begun)
    # Its output was left out; the cell itself came to its end, and says so.
    assert status == "ok"
    assert [level for level, _ in lab.levels] == [Level.WARNING, Level.USED_UP]
    assert lab.browse(save) == 201
