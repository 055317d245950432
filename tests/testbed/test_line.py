"""The delay line's queue, with pairs of sockets in the place of tap devices."""

import socket
import time
from collections.abc import Iterator

import pytest

from testbed import line

CLOUD, KASHIWA = b"\x0a\x4d\x03\x14", b"\x0a\x4d\x03\x1e"


def frame(destination: bytes, body: bytes = b"") -> bytes:
    """A virtio-net header, an Ethernet frame and an IPv4 header towards `destination`."""
    return bytes(10) + bytes(12) + b"\x08\x00" + bytes(16) + destination + body


class Ends:
    """One direction of the line and its two open ends."""

    def __init__(self) -> None:
        self.near, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outer, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sockets = (self.near, inner, outer, self.far)
        for each in self.sockets:
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.direction = line.Direction(inner.fileno(), outer.fileno(), address_at=16)

    def arrived(self) -> list[bytes]:
        self.direction.give()
        found = []
        while True:
            try:
                found.append(self.far.recv(100_000))
            except BlockingIOError:
                return found


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for each in made.sockets:
        each.close()


def test_a_frame_waits_half_the_round_trip(ends: Ends) -> None:
    ends.near.send(frame(CLOUD))
    ends.direction.take({CLOUD: 0.1})

    assert ends.arrived() == []
    assert 0.03 < ends.direction.next_due() - time.monotonic() <= 0.05
    time.sleep(0.05)
    assert ends.arrived() == [frame(CLOUD)]


def test_the_nearer_destination_is_not_held_up_by_the_farther_one(ends: Ends) -> None:
    ends.near.send(frame(KASHIWA))
    ends.near.send(frame(CLOUD))
    ends.direction.take({KASHIWA: 10.0, CLOUD: 0.0})

    assert ends.arrived() == [frame(CLOUD)]


def test_frames_to_one_destination_keep_their_order_when_the_delay_shrinks(ends: Ends) -> None:
    ends.near.send(frame(CLOUD, b"1"))
    ends.direction.take({CLOUD: 0.08})
    ends.near.send(frame(CLOUD, b"2"))
    ends.direction.take({CLOUD: 0.0})

    assert ends.arrived() == []
    time.sleep(0.05)
    assert ends.arrived() == [frame(CLOUD, b"1"), frame(CLOUD, b"2")]


def test_what_does_not_fit_is_lost_and_memory_stays_bounded(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_QUEUE_LIMIT", 250)
    for number in range(5):
        ends.near.send(frame(CLOUD, bytes([number]) * 58))  # 100 bytes each
    ends.direction.take({})

    assert [each[-1] for each in ends.arrived()] == [0, 1]


def test_a_buffer_is_used_again_only_after_its_frame_has_left(ends: Ends) -> None:
    large = [frame(CLOUD, bytes([number]) * 60_000) for number in range(3)]
    for each in large[:2]:
        ends.near.send(each)
    ends.direction.take({CLOUD: 0.04})
    ends.near.send(large[2])
    ends.direction.take({CLOUD: 0.04})
    time.sleep(0.03)

    assert ends.arrived() == large


def test_other_frames_than_ipv4_pass_at_once(ends: Ends) -> None:
    question = bytes(10) + bytes(12) + b"\x08\x06" + bytes(28)
    ends.near.send(question)
    ends.direction.take({CLOUD: 10.0})

    assert ends.arrived() == [question]
