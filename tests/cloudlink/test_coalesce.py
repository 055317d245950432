"""Pieces of a file that are written one after the other go to the server as one, and each gets its answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink import responses
from cloudlink.coalesce import Coalesced
from cloudlink.requests import Request, parse_request
from cloudlink.wire import FSYNC, Kind, Open, Status, packet, string
from tests.cloudlink.conftest import Orders
from tests.cloudlink.peer import Peer
from tests.cloudlink.test_session import CREATE

PIECE = 65_536
SERVER = b"the server's handle"


class Asked:
    """A WRITE of sshfs, and what it hears."""

    def __init__(self, offset: int, data: bytes) -> None:
        frame = bytearray(packet(Kind.WRITE, 5, string(bytes(4)), offset.to_bytes(8), string(data)))
        self.request: Request = parse_request(frame)
        self.heard: list[object] = []

    def answered(self, kind: int, frame: bytearray) -> None:
        self.heard.append((kind, frame))

    def lost(self) -> None:
        self.heard.append("lost")


@given(st.integers(0, 2**40), st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.sampled_from([b"four", SERVER]))
def test_neighbours_are_one_write(offset, pieces, handle):
    at = [offset + sum(map(len, pieces[:count])) for count in range(len(pieces))]
    first, *others = [Asked(*each) for each in zip(at, pieces, strict=True)]
    together = Coalesced(first, handle)

    assert all(together.take(each, handle, 100) for each in others)
    assert b"".join(together.encode(9)) == packet(Kind.WRITE, 9, string(handle), offset.to_bytes(8), string(b"".join(pieces)))


@pytest.mark.parametrize(("offset", "handle", "most"), [(4, SERVER, 100), (2, SERVER, 100), (3, b"another", 100), (3, SERVER, 5)])
def test_what_does_not_fit_is_left(offset, handle, most):
    together = Coalesced(Asked(0, b"abc"), SERVER)

    assert not together.take(Asked(offset, b"def"), handle, most)
    assert b"".join(together.encode(9)) == packet(Kind.WRITE, 9, string(SERVER), bytes(8), string(b"abc"))


def test_each_hears_of_it_by_a_packet_of_its_own():
    one, two = Asked(0, b"abc"), Asked(3, b"def")
    together = Coalesced(one, SERVER)
    together.take(two, SERVER, 100)
    answer = bytearray(responses.status_packet(9, Status.FAILURE))

    together.answered(Kind.STATUS, answer)
    together.lost()

    assert one.heard == two.heard == [(Kind.STATUS, answer), "lost"]
    assert one.heard[0][1] is not two.heard[0][1]


def burst(link: Peer, handle: bytes, data: bytes, piece: int = PIECE) -> list[int]:
    """All of it without waiting, in pieces; the numbers of the requests."""
    pieces = range(0, len(data), piece)
    return [link.send(Kind.WRITE, string(handle), at.to_bytes(8), string(data[at : at + piece])) for at in pieces]


def statuses(link: Peer, numbers: list[int]) -> set[int]:
    return {responses.parse_status(link.answer(number)[1]) for number in numbers}


def test_the_server_is_asked_less_often(link: Peer, orders: Orders, cloud: Path):
    data = os.urandom(2005)
    handle = link.open(cloud / "f", CREATE)
    # What comes while it does nothing is there at once when it goes on.
    link.process.send_signal(signal.SIGSTOP)
    numbers = burst(link, handle, data, piece=100)
    link.process.send_signal(signal.SIGCONT)

    assert statuses(link, numbers) == {Status.OK}
    assert (cloud / "f").read_bytes() == data
    assert (len(numbers), orders.asked(Kind.WRITE)) == (21, 1)


def test_much_arrives_whole(link: Peer, cloud: Path):
    data = os.urandom(40 * PIECE + 1)
    handle = link.open(cloud / "f", CREATE)
    numbers = [*burst(link, handle, data), link.send(Kind.EXTENDED, string(FSYNC), string(handle))]

    assert statuses(link, numbers) == {Status.OK}
    assert (cloud / "f").read_bytes() == data


def test_an_error_is_each_ones(link: Peer, cloud: Path):
    (cloud / "f").touch()
    handle = link.open(cloud / "f", Open.READ)

    assert Status.OK not in statuses(link, burst(link, handle, bytes(8 * PIECE)))


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_cut_all_of_it_is_there(link: Peer, orders: Orders, cloud: Path, when):
    data = os.urandom(12 * PIECE)
    handle = link.open(cloud / "f", CREATE | Open.READ)
    orders.lose(Kind.WRITE, when)
    numbers = burst(link, handle, data)

    assert statuses(link, numbers) == {Status.OK}
    assert orders.connections == 2
    assert link.read(handle, PIECE - 5, 10) == data[PIECE - 5 : PIECE + 5]
    assert (cloud / "f").read_bytes() == data
