"""Who lists a folder as sshfs does, several questions at a time until the first end, gets it whole across a cut."""

from __future__ import annotations

import pytest

from cloudlink import responses
from cloudlink.wire import Kind, Status, string
from tests.cloudlink.peer import text

COUNT = 250
"""OpenSSH gives a hundred names in an answer."""


@pytest.fixture
def folder(cloud):
    for index in range(COUNT):
        (cloud / f"{index}").touch()
    return cloud


def listed(link, numbers) -> list[bytes]:
    """The names of the answers in the order of the questions, up to the first end."""
    found = []
    for number in numbers:
        kind, frame = link.answer(number)
        if kind == Kind.STATUS:
            assert responses.parse_status(frame) == Status.EOF
            break
        found += [entry.name for entry in responses.parse_names(frame)]
    return found


WANTED = sorted([b".", b"..", *(b"%d" % index for index in range(COUNT))])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("had", [0, 1, 2])
def test_nothing_is_dropped_behind_an_end(link, orders, folder, when, had):
    handle = string(responses.parse_handle(link.ask(Kind.OPENDIR, text(folder))[1]))
    first = listed(link, [link.send(Kind.READDIR, handle) for _ in range(had)])
    orders.lose(Kind.READDIR, when)

    rest = listed(link, [link.send(Kind.READDIR, handle) for _ in range(6)])

    assert orders.connections == 2
    assert sorted(first + rest) == WANTED


def test_a_listing_that_nobody_waits_for_takes_nothing_from_the_next(link, orders, folder):
    handle = string(responses.parse_handle(link.ask(Kind.OPENDIR, text(folder))[1]))
    assert sorted(listed(link, [link.send(Kind.READDIR, handle) for _ in range(4)])) == WANTED
    orders.lose(Kind.READDIR, "before")
    for _ in range(2):
        link.send(Kind.READDIR, handle)
    link.send(Kind.CLOSE, handle)

    again = string(responses.parse_handle(link.ask(Kind.OPENDIR, text(folder))[1]))

    assert orders.connections == 2
    assert sorted(listed(link, [link.send(Kind.READDIR, again) for _ in range(4)])) == WANTED
