from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudlink.wire import Kind
from testbed import programs
from tests.cloudlink import lossy
from tests.cloudlink.peer import Peer, text

SERVER = programs.outside("/usr/lib/openssh/sftp-server")


class Orders:
    """What the line will do to the link (tests/cloudlink/lossy.py)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def lose(self, kind: int, when: str) -> None:
        (self.folder / f"{int(kind)}-{when}").touch()

    def refuse(self) -> None:
        (self.folder / "refuse").touch()

    def delay(self, seconds: float) -> None:
        (self.folder / "delay").write_text(str(seconds))

    def accept(self) -> None:
        (self.folder / "refuse").unlink()

    def asked(self, kind: int) -> int:
        """How many requests of that kind the server got."""
        return (self.folder / "asked").read_bytes().count(kind)

    @property
    def connections(self) -> int:
        return (self.folder / "connections").stat().st_size


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path / "orders")


@pytest.fixture
def start(tmp_path: Path, orders: Orders) -> Iterator[Callable[..., Peer]]:
    """Starts a link over a line that heeds `orders`, with these options."""
    started: list[Peer] = []

    def link(*options: str, program: tuple[str, ...] = ("-m", "cloudlink")) -> Peer:
        command = [sys.executable, lossy.__file__, str(orders.folder), *SERVER]
        started.append(Peer([*options, "--", *command], tmp_path / "said", program))
        return started[-1]

    yield link
    for peer in started:
        peer.close()


@pytest.fixture
def link(start: Callable[..., Peer]) -> Peer:
    """A link that has greeted, and has asked what it asks by itself then: no order is meant for that."""
    peer = start()
    peer.greet()
    assert peer.ask(Kind.REALPATH, text(Path("/")))[0] == Kind.NAME
    return peer


@pytest.fixture
def cloud(tmp_path: Path) -> Path:
    """A folder at the destination."""
    folder = tmp_path / "cloud"
    folder.mkdir()
    return folder
