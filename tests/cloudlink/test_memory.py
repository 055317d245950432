"""However much a destination says, the link holds little of it: the node's memory is the person's."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudlink.wire import Kind, string
from tests.cloudlink import greedy
from tests.cloudlink.peer import Peer, text

MOST_KB = 120_000
FOLDER = Path("/folder")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Peer]]:
    started: list[Peer] = []

    def link(what: str) -> Peer:
        started.append(Peer(["--", sys.executable, greedy.__file__, what], tmp_path / "said"))
        started[-1].greet()
        return started[-1]

    yield link
    for peer in started:
        peer.close()


def largest_kb(link: Peer) -> int:
    """The most that the link has ever held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{link.process.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def listed(link: Peer) -> None:
    link.ask(Kind.OPENDIR, text(FOLDER))
    handle = string((1).to_bytes(4))
    while link.ask(Kind.READDIR, handle)[0] == Kind.NAME:
        pass


def test_names_without_an_end_are_not_kept(start):
    link = start("names")
    listed(link)

    assert largest_kb(link) < MOST_KB


def test_attributes_without_an_end_are_not_kept(start):
    link = start("attributes")
    listed(link)
    for number in (0, 100, 50, 600, 3, 400, 20, 8, 500):
        link.open(FOLDER / f"{number:04}")
    for _ in range(greedy.COUNT):
        link.ask(Kind.LSTAT, text(Path("/elsewhere")))

    assert largest_kb(link) < MOST_KB
