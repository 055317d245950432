"""Reading ahead, through the whole link: what is given is what is there."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from cloudlink.meter import LEAST, Meter
from cloudlink.reads import BLOCK, HEADER
from cloudlink.responses import parse_data
from cloudlink.wire import Kind, Open, Status, string
from tests.cloudlink.peer import PATIENCE
from tests.cloudlink.test_session import CREATE

SIZE = 2_500_000
PIECE = 65_536


def pipelined(link, handle: bytes, offsets: list[int]) -> bytes:
    """What comes when all are asked for at once, as sshfs does."""
    numbers = [link.send(Kind.READ, string(handle), at.to_bytes(8), PIECE.to_bytes(4)) for at in offsets]
    answers = [link.answer(number) for number in numbers]
    return b"".join(bytes(parse_data(frame)) for kind, frame in answers if kind == Kind.DATA)


def test_a_file_that_is_read_through_is_the_file(link, cloud):
    data = os.urandom(SIZE)
    (cloud / "f").write_bytes(data)
    handle = link.open(cloud / "f")

    assert pipelined(link, handle, list(range(0, SIZE + 4 * PIECE, PIECE))) == data


def test_so_is_one_that_is_read_backwards_or_here_and_there(link, cloud):
    data = os.urandom(SIZE)
    (cloud / "f").write_bytes(data)
    handle = link.open(cloud / "f")
    dice = random.Random(7)  # noqa: S311
    backwards = list(range(SIZE // PIECE * PIECE, -1, -PIECE))
    strided = [at + step for at in range(0, SIZE, 5 * BLOCK) for step in (0, PIECE)]
    anywhere = [dice.randrange(SIZE // 4096) * 4096 for _ in range(100)]
    for offsets in (backwards, strided, anywhere):
        assert [link.read(handle, at, PIECE) for at in offsets] == [data[at : at + PIECE] for at in offsets]


def opened(link, path: Path) -> bytes:
    """A handle, and a look at the name, which sshfs waits for as well."""
    handle = link.open(path)
    assert link.ask(Kind.LSTAT, string(os.fsencode(path)))[0] == Kind.ATTRS
    return handle


def test_a_header_is_fetched_alone_and_whoever_goes_on_is_read_ahead_for(link, orders, cloud):
    data = os.urandom(SIZE)
    for name in "ab":
        (cloud / name).write_bytes(data)
    first = opened(link, cloud / "a")
    assert link.read(first, 0, HEADER) == data[:HEADER]
    # A second one, so that whatever the first began is under way by then.
    assert link.read(opened(link, cloud / "b"), 0, HEADER) == data[:HEADER]
    assert orders.asked(Kind.READ) == 2

    rest = [link.read(first, at, HEADER) for at in range(HEADER, SIZE, HEADER)]
    assert b"".join(rest) == data[HEADER:]
    assert orders.asked(Kind.READ) <= 2 + -(-SIZE // BLOCK)


def test_a_small_file_comes_whole_with_its_first_bytes(link, orders, cloud):
    data = os.urandom(BLOCK)
    (cloud / "f").write_bytes(data)
    handle = opened(link, cloud / "f")
    assert b"".join(link.read(handle, at, HEADER) for at in range(0, BLOCK, HEADER)) == data
    assert orders.asked(Kind.READ) == 1


def test_what_is_written_through_the_same_mount_is_read(link, cloud):
    (cloud / "f").write_bytes(bytes(SIZE))
    reading, writing = link.open(cloud / "f"), link.open(cloud / "f", Open.WRITE)
    for at in range(0, SIZE - PIECE, PIECE):
        assert link.read(reading, at, 10) == bytes(10)
        # Just ahead of the reader, where it is fetched already.
        link.send(Kind.WRITE, string(writing), (at + PIECE).to_bytes(8), string(b"new"))
        assert link.read(reading, at + PIECE, 3) == b"new"
        assert link.write(writing, at + PIECE, bytes(3)) == Status.OK


def test_a_file_that_shrinks_or_grows_by_the_same_mount_is_read_as_it_is(link, cloud):
    (cloud / "f").write_bytes(b"x" * SIZE)
    handle = link.open(cloud / "f", Open.READ | Open.WRITE)
    assert pipelined(link, handle, list(range(0, SIZE // 2, PIECE))) == b"x" * len(range(0, SIZE // 2, PIECE)) * PIECE
    size = (SIZE // 2).to_bytes(8)
    assert link.status(Kind.FSETSTAT, string(handle), (1).to_bytes(4), size) == Status.OK
    assert link.read(handle, SIZE // 2, PIECE) == Status.EOF
    assert link.write(handle, SIZE, b"end") == Status.OK

    assert link.read(handle, SIZE - 5, PIECE) == bytes(5) + b"end"


def test_an_end_that_was_seen_is_looked_for_again(link, cloud):
    (cloud / "log").write_text("one")
    handle = link.open(cloud / "log")
    assert link.read(handle, 0, PIECE) == b"one"
    assert link.read(handle, 3, PIECE) == Status.EOF
    with (cloud / "log").open("a") as stream:
        stream.write(" two")

    assert link.read(handle, 3, PIECE) == b" two"


def test_what_was_fetched_before_a_cut_is_asked_for_again(link, orders, cloud):
    data = os.urandom(SIZE)
    (cloud / "f").write_bytes(data)
    handle = link.open(cloud / "f")
    got = b""
    for at in range(0, SIZE, 4 * PIECE):
        orders.lose(Kind.READ, "after" if at % 3 else "before")
        got += pipelined(link, handle, list(range(at, min(at + 4 * PIECE, SIZE), PIECE)))

    assert got == data
    assert orders.connections > 3


EAGER = "import sys, cloudlink.pool; cloudlink.pool._ENOUGH = 0; from cloudlink.__main__ import main; sys.exit(main())"
"""A link that opens more connections for any file, not only for a large one over a long line."""


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "broken"])
def test_a_file_that_comes_by_several_connections_is_the_file(start, orders, cloud, broken):
    data = os.urandom(8_000_000)
    (cloud / "f").write_bytes(data)
    link = start("--connections=3", program=("-c", EAGER))
    link.greet()
    end = time.monotonic() + PATIENCE
    rounds = 0
    # Until all have had a part in it: a connection that comes when a round is nearly over carries the next one.
    while rounds < 3 or orders.connections < 3:
        rounds += 1
        handle = link.open(cloud / "f")
        if broken:
            orders.lose(Kind.READ, "after")
        got = b"".join(pipelined(link, handle, list(range(at, at + 8 * PIECE, PIECE))) for at in range(0, len(data), 8 * PIECE))
        assert got == data
        assert link.status(Kind.CLOSE, string(handle)) == Status.OK
        assert time.monotonic() < end


def test_what_can_only_be_written_is_not_read(link, cloud):
    handle = link.open(cloud / "f", CREATE)

    assert link.read(handle, 0, 10) == Status.NO_SUCH_FILE


def test_more_is_under_way_the_longer_and_the_faster_the_line():
    now = 0.0
    meter = Meter(lambda: now)
    assert meter.window(10**9) == LEAST
    for step in range(200):
        now = step / 100
        meter.answered(2_500_000, 0.01)

    assert meter.round_trip == 0.01
    assert 200e6 < meter.rate < 300e6
    assert meter.window(10**9) == 2 * 0.01 * meter.rate
    assert meter.window(2_000_000) == 2_000_000


def test_a_short_burst_is_no_reason_for_another_connection():
    now = 0.0
    meter = Meter(lambda: now)
    for step in range(100):
        now = step / 100
        meter.answered(20_000_000 if step == 50 else 1_000_000, 0.01)

    assert meter.rate > 250e6
    assert 100e6 < meter.steady_rate < 150e6
    for step in range(100, 200):
        now = step / 100
        meter.answered(2_500_000, 0.01)

    assert 200e6 < meter.steady_rate < 300e6
