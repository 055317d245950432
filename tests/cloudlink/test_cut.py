"""A cut is a pause: what is open stays open, what was asked is answered, and nothing is done twice or made up."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from cloudlink import responses
from cloudlink.wire import HARDLINK, POSIX_RENAME, Kind, Open, Status, string
from tests.cloudlink.peer import PATIENCE, text
from tests.cloudlink.test_session import CREATE, names

EIO = Status.UNSAID
BOTH = pytest.mark.parametrize("when", ["before", "after"])


@BOTH
def test_an_open_file_is_read_on(link, orders, cloud, when):
    data = os.urandom(1_000_000)
    (cloud / "f").write_bytes(data)
    handle = link.open(cloud / "f")
    assert link.read(handle, 0, 1000) == data[:1000]
    orders.lose(Kind.READ, when)

    assert link.read(handle, 700_000, 50_000) == data[700_000:750_000]
    assert orders.connections == 2
    assert "the line is cut" in link.said.read_text()


def test_a_node_that_has_nothing_left_for_another_ssh_is_waited_for(link, orders, cloud):
    """A cell that forks without end takes the account's processes as one that opens files takes descriptors."""
    (cloud / "f").write_bytes(b"content")
    handle = link.open(cloud / "f")
    before = resource.prlimit(link.process.pid, resource.RLIMIT_NOFILE)
    descriptors = Path(f"/proc/{link.process.pid}/fd")
    held = len(list(descriptors.iterdir()))
    resource.prlimit(link.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    orders.lose(Kind.READ, "before")
    number = link.send(Kind.READ, string(handle), bytes(8), (7).to_bytes(4))
    end = time.monotonic() + PATIENCE
    while "can't be started" not in link.said.read_text():
        assert link.process.poll() is None, link.said.read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    resource.prlimit(link.process.pid, resource.RLIMIT_NOFILE, before)

    assert bytes(responses.parse_data(link.answer(number)[1])) == b"content"
    assert len(list(descriptors.iterdir())) == held


@BOTH
def test_what_is_written_arrives_once_and_in_order(link, orders, cloud, when):
    handle = link.open(cloud / "f", CREATE | Open.TRUNC)
    assert link.write(handle, 0, b"first....") == Status.OK
    orders.lose(Kind.WRITE, when)
    numbers = [link.send(Kind.WRITE, string(handle), (5).to_bytes(8), string(b"%d...." % turn)) for turn in range(3)]

    assert [responses.parse_status(link.answer(number)[1]) for number in numbers] == [Status.OK] * 3
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    assert (cloud / "f").read_bytes() == b"first2...."


@BOTH
def test_what_is_appended_arrives_once(link, orders, cloud, when):
    (cloud / "log").write_text("begin ")
    handle = link.open(cloud / "log", Open.WRITE | Open.APPEND)
    assert link.write(handle, 6, b"one ") == Status.OK
    orders.lose(Kind.WRITE, when)
    numbers = [link.send(Kind.WRITE, string(handle), (10).to_bytes(8), string(word)) for word in (b"two ", b"three ")]

    assert [responses.parse_status(link.answer(number)[1]) for number in numbers] == [Status.OK] * 2
    assert (cloud / "log").read_text() == "begin one two three "


def test_an_appending_that_nobody_can_sort_out_is_an_error(link, orders, cloud):
    (cloud / "log").touch()
    handle = link.open(cloud / "log", Open.WRITE | Open.APPEND)
    orders.refuse()
    orders.lose(Kind.WRITE, "after")
    number = link.send(Kind.WRITE, string(handle), bytes(8), string(b"mine"))
    wait_for_cut(link)
    with (cloud / "log").open("a") as stream:
        stream.write("x")
    orders.accept()

    assert responses.parse_status(link.answer(number)[1]) == EIO
    assert "appended" in link.said.read_text()


def wait_for_cut(link) -> None:
    """Until the link has noticed, which its own words say."""
    with link.said.open() as stream:
        while "the line is cut" not in stream.readline():
            assert link.process.poll() is None


@BOTH
@pytest.mark.parametrize("kind", [Kind.REMOVE, Kind.RMDIR])
def test_a_removal_succeeds_once(link, orders, cloud, kind, when):
    (cloud / "f").touch() if kind is Kind.REMOVE else (cloud / "f").mkdir()
    orders.lose(kind, when)

    assert link.status(kind, text(cloud / "f")) == Status.OK
    assert list(cloud.iterdir()) == []
    assert link.status(kind, text(cloud / "f")) == Status.NO_SUCH_FILE


@BOTH
@pytest.mark.parametrize("extension", [b"", POSIX_RENAME])
def test_a_renaming_succeeds_once(link, orders, cloud, when, extension):
    (cloud / "f").write_text("new")
    kind = Kind.EXTENDED if extension else Kind.RENAME
    body = [string(extension)] if extension else []
    if extension:
        (cloud / "g").write_text("old")
    orders.lose(kind, when)

    assert link.status(kind, *body, text(cloud / "f"), text(cloud / "g")) == Status.OK
    assert {path.name: path.read_text() for path in cloud.iterdir()} == {"g": "new"}


@BOTH
def test_a_link_is_made_once(link, orders, cloud, when):
    orders.lose(Kind.SYMLINK, when)

    assert link.status(Kind.SYMLINK, string(b"there"), text(cloud / "l")) == Status.OK
    assert (cloud / "l").readlink().name == "there"


def make_folder(link, cloud) -> int:
    return link.status(Kind.MKDIR, text(cloud / "d"), bytes(4))


def make_lock(link, cloud) -> int:
    kind, frame = link.ask(Kind.OPEN, text(cloud / "d"), int(CREATE | Open.EXCL).to_bytes(4), bytes(4))
    return Status.OK if kind == Kind.HANDLE else responses.parse_status(frame)


def make_hardlink(link, cloud) -> int:
    (cloud / "f").touch()
    return link.status(Kind.EXTENDED, string(HARDLINK), text(cloud / "f"), text(cloud / "d"))


MADE = pytest.mark.parametrize(
    ("make", "kind"),
    [(make_folder, Kind.MKDIR), (make_lock, Kind.OPEN), (make_hardlink, Kind.EXTENDED)],
    ids=["folder", "lock", "hardlink"],
)


@MADE
def test_what_was_not_made_before_the_cut_is_made_after_it(link, orders, cloud, make, kind):
    orders.lose(kind, "before")

    assert make(link, cloud) == Status.OK
    assert (cloud / "d").exists()


@MADE
def test_whether_it_was_made_by_us_or_others_is_not_made_up(link, orders, cloud, make, kind):
    orders.lose(kind, "after")

    assert make(link, cloud) == EIO
    assert "can't be known" in link.said.read_text()


@MADE
def test_what_is_there_already_is_the_servers_own_error(link, orders, cloud, make, kind):
    (cloud / "d").touch()

    assert make(link, cloud) == Status.FAILURE


def cut(link, orders, cloud) -> None:
    """A cut during which the test can do something at the destination; `resume` ends it."""
    orders.refuse()
    orders.lose(Kind.RMDIR, "before")
    link.send(Kind.RMDIR, text(cloud / "no such folder"))
    wait_for_cut(link)


@pytest.mark.parametrize("change", ["content", "size", "time"])
def test_a_file_that_changed_meanwhile_is_an_error_and_no_mixture(link, orders, cloud, change):
    path = cloud / "f"
    path.write_text("before")
    handle, other = link.open(path), cloud / "g"
    other.write_text("same")
    untouched = link.open(other)
    assert link.read(handle, 0, 3) == b"bef"
    cut(link, orders, cloud)
    if change == "time":
        os.utime(path, (1, 1))
    else:
        path.write_text("after!" if change == "content" else "longer than before")
        os.utime(path, (path.stat().st_mtime + 5,) * 2)
    orders.accept()

    assert link.read(handle, 3, 3) == EIO
    assert link.read(untouched, 0, 4) == b"same"
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    assert "changed by somebody else" in link.said.read_text()
    assert link.read(link.open(path), 0, 3) == path.read_bytes()[:3]


def test_what_was_written_and_is_gone_is_an_error(link, orders, cloud):
    handle = link.open(cloud / "f", CREATE)
    assert link.write(handle, 0, bytes(1000)) == Status.OK
    cut(link, orders, cloud)
    os.truncate(cloud / "f", 10)
    orders.accept()

    assert link.write(handle, 1000, b"more") == EIO
    assert "not all there" in link.said.read_text()


def test_a_file_that_was_renamed_while_it_is_open_lives_on(link, orders, cloud):
    (cloud / "f").write_text("content")
    handle = link.open(cloud / "f")
    (cloud / "d").mkdir()
    assert link.status(Kind.RENAME, text(cloud / "f"), text(cloud / "d" / "f")) == Status.OK
    assert link.status(Kind.RENAME, text(cloud / "d"), text(cloud / "e")) == Status.OK
    cut(link, orders, cloud)
    orders.accept()

    assert link.read(handle, 0, 7) == b"content"


def test_a_file_whose_name_another_has_is_an_error(link, orders, cloud):
    for name in ("f", "g"):
        (cloud / name).write_text(name)
    handle = link.open(cloud / "g")
    rename = string(POSIX_RENAME)
    assert link.status(Kind.EXTENDED, rename, text(cloud / "f"), text(cloud / "g")) == Status.OK
    assert link.read(handle, 0, 1) == b"g"
    cut(link, orders, cloud)
    orders.accept()

    assert link.read(handle, 0, 1) == EIO


def test_an_open_file_is_not_emptied_again(link, orders, cloud):
    handle = link.open(cloud / "f", CREATE | Open.TRUNC | Open.READ)
    assert link.write(handle, 0, b"kept") == Status.OK
    cut(link, orders, cloud)
    orders.accept()

    assert link.read(handle, 0, 4) == b"kept"


@BOTH
def test_a_listing_has_every_name_once(link, orders, cloud, when):
    wanted = {b".", b".."} | {b"%d" % index for index in range(500)}
    for index in range(500):
        (cloud / f"{index}").touch()
    _, frame = link.ask(Kind.OPENDIR, text(cloud))
    handle = responses.parse_handle(frame)
    _, frame = link.ask(Kind.READDIR, string(handle))
    first = {entry.name for entry in responses.parse_names(frame)}
    orders.lose(Kind.READDIR, when)
    rest = names(link, handle)

    assert first | rest == wanted
    assert first & rest == set()


def test_when_the_time_is_up_whoever_waits_gets_an_error(start, orders, cloud):
    link = start("--budget=0.3")
    link.greet()
    (cloud / "f").touch()
    handle = link.open(cloud / "f")
    cut(link, orders, cloud)

    assert link.read(handle, 0, 1) == EIO
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    assert link.status(Kind.LSTAT, text(cloud / "f")) == EIO
    assert "no line for" in link.said.read_text()


def test_a_cut_while_files_are_opened_again_is_one_more_pause(link, orders, cloud):
    (cloud / "f").write_text("content")
    handle = link.open(cloud / "f")
    # The link asks for the attributes of what it has opened: that has been answered when this has.
    link.ask(Kind.FSTAT, string(handle))
    for kind in (Kind.READ, Kind.FSTAT, Kind.OPEN):
        orders.lose(kind, "after")

    assert link.read(handle, 0, 7) == b"content"
    assert orders.connections == 4
