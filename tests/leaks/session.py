"""What a test of leaks does in a session: looks for ways out, and carries names through paths."""

from __future__ import annotations

import json
from collections.abc import Sequence

import aiohttp

from testbed.layout import address
from tests.enclave.sessions import OnNode
from tests.leaks import carry, look
from tests.leaks.around import SECRETS
from tests.leaks.scan import text_canary

PORTS = (
    *(("hub", "centre", port) for port in (8000, 8081, 6817)),
    *((node, "centre", 6818) for node in ("cx01", "cx02", "cx03")),
    *(("gw", "link", port) for port in (2201, 2202)),
    *((destination, "sinet", 22) for destination in ("cloud", "kashiwa")),
)
"""Of the site: the page, the hub's API, the batch system, the gateway, the destinations."""
ELSEWHERE = ("1.1.1.1:443", "9.9.9.9:53", "2606:4700:4700::1111:443", "ff02::1:5353")
KNOWN = {
    "secrets": [each[::-1] for each in SECRETS],
    "addresses": [*(f"{address(host, net)}:{port}" for host, net, port in PORTS), *ELSEWHERE],
}


def looked(session: OnNode, names: Sequence[str]) -> dict[str, list[str]]:
    """What the looks called `names` found in the session."""
    found: dict[str, list[str]] = json.loads(session.cell(look.cell(list(names), KNOWN), 120).splitlines()[-1])
    return found


def new_names() -> tuple[str, str]:
    """A file's name and its folder's, as nobody has seen them."""
    return text_canary("file name").secret.decode(), text_canary("folder name").secret.decode()


def carry_names(session: OnNode, names: Sequence[str], paths: Sequence[str]) -> None:
    """Have a cell take `names` through `paths`, and a browser ask for them."""
    if paths:
        told = json.loads(session.cell(carry.short_cell(" ".join(names), paths)).splitlines()[-1])
        assert told.keys() == set(paths)

    async def ask(http: aiohttp.ClientSession, url: str) -> int:
        async with http.get(f"{url}api/contents/{'/'.join(names)}") as answer:
            return answer.status

    assert session.hub.browse(ask) == 404
