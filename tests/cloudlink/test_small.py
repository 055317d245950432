"""Small files that were fetched before somebody asked: they are what is there, for whoever changes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudlink import responses
from cloudlink.wire import HARDLINK, POSIX_RENAME, Kind, Open, Status, string
from tests.cloudlink.peer import PATIENCE, Peer, text
from tests.cloudlink.test_cut import wait_for_cut
from tests.cloudlink.test_session import CREATE, names

COUNT = 40


@pytest.fixture
def folder(cloud: Path) -> Path:
    for index in range(COUNT):
        (cloud / f"case{index:02}").write_bytes(b"content %02d" % index)
    return cloud


def listed(link: Peer, folder: Path) -> list[Path]:
    _, frame = link.ask(Kind.OPENDIR, text(folder))
    handle = responses.parse_handle(frame)
    found = names(link, handle)
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    return [folder / os.fsdecode(name) for name in sorted(found - {b".", b".."})]


def content(link: Peer, path: Path) -> bytes | int:
    """As sshfs reads a file: it looks at the name, opens it and looks at it again, reads it and closes it."""
    kind, frame = link.ask(Kind.LSTAT, text(path))
    if kind == Kind.STATUS:
        return responses.parse_status(frame)
    opening = link.send(Kind.OPEN, text(path), bytes(3) + b"\1", bytes(4))
    looking = link.send(Kind.LSTAT, text(path))
    kind, frame = link.answer(opening)
    assert link.answer(looking)[0] == Kind.ATTRS
    if kind == Kind.STATUS:
        return responses.parse_status(frame)
    handle = responses.parse_handle(frame)
    data = link.read(handle, 0, 65_536)
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    return data


def until_fetched(link: Peer, folder: Path) -> None:
    """Goes through the folder until its last file was opened and read by the link: its access time says that."""
    last = folder / f"case{COUNT - 1:02}"
    os.utime(last, (1, 1))
    for index in range(COUNT - 1):
        assert content(link, folder / f"case{index:02}") == b"content %02d" % index
    end = os.times().elapsed + PATIENCE
    while last.stat().st_atime == 1:
        assert os.times().elapsed < end


def test_files_that_are_read_in_a_row_are_what_they_are(link, folder):
    paths = listed(link, folder)

    assert [content(link, path) for path in paths] == [path.read_bytes() for path in paths]


def test_so_they_are_backwards(link, folder):
    paths = listed(link, folder)[::-1]

    assert [content(link, path) for path in paths] == [path.read_bytes() for path in paths]


def overwrite(link: Peer, path: Path) -> bytes:
    handle = link.open(path, Open.WRITE)
    link.send(Kind.WRITE, string(handle), bytes(8), string(b"changed"))
    link.send(Kind.CLOSE, string(handle))
    return b"changed 39"


def replace(link: Peer, path: Path) -> bytes:
    handle = link.open(path.with_name("new"), CREATE)
    link.send(Kind.WRITE, string(handle), bytes(8), string(b"replaced"))
    link.send(Kind.EXTENDED, string(POSIX_RENAME), text(path.with_name("new")), text(path))
    return b"replaced"


def shorten(link: Peer, path: Path) -> bytes:
    link.send(Kind.SETSTAT, text(path), (1).to_bytes(4), (3).to_bytes(8))
    return b"con"


def remove(link: Peer, path: Path) -> int:
    link.send(Kind.REMOVE, text(path))
    return Status.NO_SUCH_FILE


def move(link: Peer, path: Path) -> int:
    link.send(Kind.RENAME, text(path), text(path.with_name("elsewhere")))
    return Status.NO_SUCH_FILE


def write_under_another_name(link: Peer, path: Path) -> bytes:
    link.send(Kind.EXTENDED, string(HARDLINK), text(path), text(path.with_name("other")))
    return overwrite(link, path.with_name("other"))


@pytest.mark.parametrize("change", [overwrite, replace, shorten, remove, move, write_under_another_name])
def test_a_change_through_the_same_mount_is_seen_at_once(link, folder, change):
    listed(link, folder)
    until_fetched(link, folder)
    last = folder / f"case{COUNT - 1:02}"
    expected = change(link, last)

    assert content(link, last) == expected


def test_a_change_by_somebody_else_is_seen_within_a_second(link, folder):
    listed(link, folder)
    until_fetched(link, folder)
    last = folder / f"case{COUNT - 1:02}"
    last.write_text("by somebody else")
    end = os.times().elapsed + PATIENCE
    while content(link, last) != b"by somebody else":
        assert os.times().elapsed < end


def test_what_is_asked_of_an_open_file_that_was_fetched_is_the_servers_answer(link, folder):
    listed(link, folder)
    until_fetched(link, folder)
    last = folder / f"case{COUNT - 1:02}"
    handle = link.open(last)
    assert link.read(handle, 0, 7) == b"content"
    assert link.read(handle, 10, 7) == Status.EOF

    kind, frame = link.ask(Kind.FSTAT, string(handle))
    assert kind == Kind.ATTRS
    assert responses.parse_attrs(frame).size == 10
    assert link.read(handle, 8, 7) == b"39"


def test_after_a_cut_nothing_is_given_that_was_fetched_before(link, orders, folder):
    listed(link, folder)
    until_fetched(link, folder)
    last = folder / f"case{COUNT - 1:02}"
    handle = link.open(last)
    orders.refuse()
    orders.lose(Kind.RMDIR, "before")
    link.send(Kind.RMDIR, text(folder / "none"))
    wait_for_cut(link)
    last.write_text("changed in between")
    orders.accept()

    assert content(link, last) == b"changed in between"
    assert link.read(handle, 0, 7) == Status.UNSAID
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK


def test_a_file_that_must_not_be_read_is_an_error_when_it_is_opened(link, folder):
    (folder / "case20").unlink()
    (folder / "case20").mkdir()
    listed(link, folder)
    (folder / "case20").rmdir()
    (folder / "case20").symlink_to("nowhere")

    for index in range(COUNT):
        got = content(link, folder / f"case{index:02}")
        assert got == (Status.NO_SUCH_FILE if index == 20 else b"content %02d" % index)
