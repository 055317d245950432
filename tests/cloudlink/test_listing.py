"""A look at a name that was just listed is answered by the listing, and is what the server would say, or at most a second old."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudlink import responses
from cloudlink.fetch import FRESH
from cloudlink.wire import POSIX_RENAME, Kind, Open, Status, string
from tests.cloudlink.peer import PATIENCE, Peer, text
from tests.cloudlink.test_cut import wait_for_cut
from tests.cloudlink.test_session import CREATE
from tests.cloudlink.test_small import listed

COUNT = 250
LARGE = 200_000
"""Bytes: more than what is fetched whole ahead."""


@pytest.fixture
def folder(cloud: Path) -> Path:
    """More files than one part of a listing names."""
    for index in range(COUNT):
        with (cloud / f"slice{index:03}").open("wb") as file:
            file.truncate(LARGE + index)
    return cloud


def look(link: Peer, path: Path) -> bytes | int:
    """The attributes as they come, or the error."""
    kind, frame = link.ask(Kind.LSTAT, text(path))
    return responses.parse_status(frame) if kind == Kind.STATUS else bytes(frame[9:])


def size(link: Peer, path: Path) -> int | None:
    kind, frame = link.ask(Kind.LSTAT, text(path))
    assert kind == Kind.ATTRS
    return responses.parse_attrs(frame).size


def truth(link: Peer, path: Path) -> bytes | int:
    """What the server says: of an open file it is always asked."""
    handle = link.open(path)
    kind, frame = link.ask(Kind.FSTAT, string(handle))
    assert kind == Kind.ATTRS
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    return bytes(frame[9:])


def test_names_that_were_listed_are_known_without_asking_and_known_rightly(link, orders, folder):
    paths = listed(link, folder)
    assert len(paths) == COUNT
    asked = orders.asked(Kind.LSTAT)
    told = {path: look(link, path) for path in paths[:40]}
    assert orders.asked(Kind.LSTAT) == asked
    assert told == {path: truth(link, path) for path in told}


def test_whoever_goes_on_looking_is_told_what_is_no_older_than_a_second(link, orders, folder):
    path, *_ = listed(link, folder)
    end, looks = time.monotonic() + 3 * FRESH, 0
    while time.monotonic() < end:
        assert size(link, path) == LARGE
        looks += 1
    # On a machine without time the listing may come too late.
    assert orders.asked(Kind.LSTAT) < looks / 4
    assert 2 <= orders.asked(Kind.OPENDIR) <= 9
    path.write_bytes(b"by somebody else")
    changed = time.monotonic()
    while size(link, path) == LARGE:
        assert time.monotonic() - changed < PATIENCE
    assert time.monotonic() - changed < FRESH + 0.5


def test_after_a_second_without_a_look_the_server_is_asked(link, orders, folder):
    path, *_ = listed(link, folder)
    time.sleep(FRESH)
    path.write_bytes(b"by somebody else")
    assert size(link, path) == 16
    assert orders.asked(Kind.LSTAT) == 1


def write(link: Peer, path: Path) -> int:
    handle = link.open(path, Open.WRITE)
    link.send(Kind.WRITE, string(handle), LARGE.to_bytes(8), string(b"changed" * 100))
    link.send(Kind.CLOSE, string(handle))
    return LARGE + 700


def list_while_writing(link: Peer, path: Path) -> int:
    """What is listed between the writing and its end may be from before."""
    handle = link.open(path, Open.WRITE)
    link.send(Kind.WRITE, string(handle), LARGE.to_bytes(8), string(b"changed" * 100))
    listed(link, path.parent)
    link.send(Kind.CLOSE, string(handle))
    return LARGE + 700


def shorten(link: Peer, path: Path) -> int:
    link.send(Kind.SETSTAT, text(path), (1).to_bytes(4), (3).to_bytes(8))
    return 3


def shorten_open(link: Peer, path: Path) -> int:
    handle = link.open(path, Open.WRITE)
    link.send(Kind.FSETSTAT, string(handle), (1).to_bytes(4), (3).to_bytes(8))
    return 3


def replace(link: Peer, path: Path) -> int:
    handle = link.open(path.with_name("new"), CREATE)
    link.send(Kind.WRITE, string(handle), bytes(8), string(b"replaced"))
    link.send(Kind.EXTENDED, string(POSIX_RENAME), text(path.with_name("new")), text(path))
    return 8


def begin_anew(link: Peer, path: Path) -> int:
    link.send(Kind.OPEN, text(path), (Open.WRITE | Open.TRUNC).to_bytes(4), bytes(4))
    return 0


@pytest.mark.parametrize("change", [write, list_while_writing, shorten, shorten_open, replace, begin_anew])
def test_a_change_through_the_same_mount_is_seen_at_once(link, folder, change: Callable[[Peer, Path], int]):
    path, *_ = listed(link, folder)
    expected = change(link, path)
    assert size(link, path) == expected


@pytest.mark.parametrize("gone", [Kind.REMOVE, Kind.RENAME])
def test_a_name_that_went_through_the_same_mount_is_gone_at_once(link, folder, gone):
    path, *_ = listed(link, folder)
    link.send(gone, text(path), *([text(path.with_name("elsewhere"))] if gone is Kind.RENAME else []))
    assert look(link, path) == Status.NO_SUCH_FILE


def test_a_folder_that_is_called_otherwise_takes_its_listing_along(link, cloud):
    for name in ("one", "two"):
        (cloud / name).mkdir()
        (cloud / name / "f").write_bytes(name.encode() * 5)
        listed(link, cloud / name)
    link.send(Kind.RENAME, text(cloud / "one"), text(cloud / "three"))
    link.send(Kind.RENAME, text(cloud / "two"), text(cloud / "one"))
    assert look(link, cloud / "two" / "f") == Status.NO_SUCH_FILE
    (cloud / "one" / "f").write_bytes(b"x")
    assert size(link, cloud / "one" / "f") == 1


def test_the_look_beside_an_opening_and_at_an_open_file_are_the_servers(link, orders, folder):
    path, *_ = listed(link, folder)
    path.write_bytes(b"by somebody else")
    opening = link.send(Kind.OPEN, text(path), (1).to_bytes(4), bytes(4))
    assert size(link, path) == 16
    assert link.answer(opening)[0] == Kind.HANDLE
    assert size(link, path) == 16
    assert orders.asked(Kind.LSTAT) == 2


def test_a_file_with_two_names_is_asked_for(link, orders, folder):
    os.link(folder / "slice000", folder / "other")
    for path in listed(link, folder):
        if path.name in ("slice000", "other"):
            assert size(link, path) == LARGE
    assert orders.asked(Kind.LSTAT) == 2


def test_after_a_cut_nothing_is_told_that_was_listed_before(link, orders, folder):
    path, *_ = listed(link, folder)
    assert size(link, path) == LARGE
    orders.lose(Kind.LSTAT, "before")
    assert look(link, path.with_name("none")) == Status.NO_SUCH_FILE
    wait_for_cut(link)
    path.write_bytes(b"by somebody else")
    assert size(link, path) == 16
