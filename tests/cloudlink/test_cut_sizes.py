"""A file may be smaller after a cut than was known, when it was truncated by whatever way just then."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from cloudlink import responses
from cloudlink.wire import Kind, Open, Status, string
from tests.cloudlink import lossy
from tests.cloudlink.conftest import SERVER
from tests.cloudlink.peer import Peer, text
from tests.cloudlink.test_session import CREATE

SIZE = (1).to_bytes(4) + (97).to_bytes(8)
"""Attributes that say no more than a size (SSH_FILEXFER_ATTR_SIZE)."""


def by_another_handle(link, path):
    return Kind.FSETSTAT, string(link.open(path, Open.READ | Open.WRITE)), SIZE


def by_its_name(link, path):
    return Kind.SETSTAT, text(path), SIZE


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("truncate", [by_another_handle, by_its_name], ids=lambda way: way.__name__)
def test_who_writes_to_it_at_the_same_time_goes_on(link, orders, cloud, truncate, when):
    handle = link.open(cloud / "f", CREATE | Open.READ)
    assert link.write(handle, 0, b"x" * 30_000) == Status.OK
    kind, *words = truncate(link, cloud / "f")
    orders.lose(kind, when)

    numbers = [link.send(kind, *words), link.send(Kind.WRITE, string(handle), bytes(8), string(b"new"))]

    assert [responses.parse_status(link.answer(number)[1]) for number in numbers] == [Status.OK] * 2
    assert orders.connections == 2
    assert link.read(handle, 0, 30_000) == (cloud / "f").read_bytes() == b"new" + b"x" * 94


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_appends_to_what_somebody_else_empties_goes_on(link, orders, cloud, when):
    (cloud / "log").write_text("much that was there before ")
    log, other = link.open(cloud / "log", Open.WRITE | Open.APPEND), link.open(cloud / "log", Open.WRITE)
    assert link.write(log, 27, b"and more ") == Status.OK
    orders.lose(Kind.FSETSTAT, when)

    empty = link.send(Kind.FSETSTAT, string(other), (1).to_bytes(4), bytes(8))
    more = [link.send(Kind.WRITE, string(log), bytes(8), string(word)) for word in (b"one ", b"two ")]

    assert [responses.parse_status(link.answer(number)[1]) for number in [empty, *more]] == [Status.OK] * 3
    assert (cloud / "log").read_text() == "one two "


ROOM = 102_400


@pytest.fixture
def full(tmp_path, orders) -> Iterator[Peer]:
    """A link to a destination where no file may have more than ROOM bytes: of a write beyond that a part is done, and it fails."""
    server = ["bash", "-c", f'trap "" XFSZ; ulimit -f {ROOM // 1024}; exec "$@"', "bash", *SERVER]
    link = Peer(["--", sys.executable, lossy.__file__, str(orders.folder), *server], tmp_path / "said")
    link.greet()
    yield link
    link.close()


def test_what_a_failed_write_left_is_nobody_elses_doing(full, orders, cloud):
    handle = full.open(cloud / "f", CREATE)
    assert full.write(handle, 0, b"x" * 200_000) == Status.FAILURE
    assert (cloud / "f").stat().st_size == ROOM
    orders.lose(Kind.WRITE, "before")

    assert full.write(handle, 0, b"new") == Status.OK
    assert orders.connections == 2
    assert (cloud / "f").read_bytes() == b"new" + b"x" * (ROOM - 3)


def test_what_a_failed_appending_left_is_not_taken_for_the_next_one(full, orders, cloud):
    """The file has grown by four bytes, and four are appended when the line breaks: nobody can say that it is these."""
    (cloud / "log").write_bytes(b"x" * (ROOM - 4))
    handle = full.open(cloud / "log", Open.WRITE | Open.APPEND)
    assert full.write(handle, 0, b"ten bytes.") == Status.FAILURE
    assert (cloud / "log").stat().st_size == ROOM
    orders.lose(Kind.WRITE, "before")

    assert full.write(handle, 0, b"more") == Status.UNSAID
    assert (cloud / "log").stat().st_size == ROOM
