"""Packets, ours and hostile ones."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink import wire
from cloudlink.stream import Frames
from cloudlink.wire import FSYNC, POSIX_RENAME, Kind, Request, WireError, packet, parse_request, string

HANDLE = string((7).to_bytes(4))
SIZE = (1).to_bytes(4) + (42).to_bytes(8)

names = st.binary(max_size=40).filter(lambda name: b"\0" not in name)


def request(kind: Kind, *body: bytes) -> Request:
    return parse_request(bytearray(packet(kind, 5, *body)))


def test_a_write_is_known_by_file_offset_and_length():
    found = request(Kind.WRITE, HANDLE, (2**40).to_bytes(8), string(b"abc"))

    assert (found.id, found.handle, found.offset, found.length) == (5, 7, 2**40, 3)


@given(names, names)
def test_a_rename_has_two_paths(old, new):
    for found in (
        request(Kind.RENAME, string(old), string(new)),
        request(Kind.EXTENDED, string(POSIX_RENAME), string(old), string(new)),
    ):
        assert (found.path, found.target) == (old, new)


def test_attributes_are_kept_as_they_came():
    assert wire.Cursor(request(Kind.SETSTAT, string(b"f"), SIZE).attrs, 0).attrs().size == 42


@pytest.mark.parametrize("remote", [b"\0\0\0\1", b"x", b"a longer handle"])
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [(Kind.READ, b"", bytes(12)), (Kind.WRITE, b"", bytes(8) + string(b"data")), (Kind.EXTENDED, string(FSYNC), b"")],
)
def test_the_server_gets_its_own_handle_and_our_number(kind, before, after, remote):
    found = request(kind, before, HANDLE, after)

    assert b"".join(wire.encode(found, 99, remote)) == packet(kind, 99, before, string(remote), after)


def test_a_path_goes_on_as_it_came():
    assert b"".join(wire.encode(request(Kind.LSTAT, string(b"a/b")), 99)) == packet(Kind.LSTAT, 99, string(b"a/b"))


@pytest.mark.parametrize(
    "bad",
    [
        packet(Kind.LSTAT, 1, string(b"f") + b"x"),
        packet(Kind.LSTAT, 1, string(b"a\0b")),
        packet(Kind.LSTAT, 1, (100).to_bytes(4) + b"short"),
        packet(Kind.READ, 1, string(b"fourteen bytes"), bytes(12)),
        packet(Kind.WRITE, 1, HANDLE, bytes(8), (9).to_bytes(4) + b"8 bytes."),
        packet(Kind.SETSTAT, 1, string(b"f"), (0x100).to_bytes(4)),
        packet(Kind.DATA, 1, string(b"an answer")),
        packet(Kind.INIT, 3),
        packet(99, 1),
        b"\0\0\0\1\7",
    ],
)
def test_what_is_no_request_is_refused(bad):
    with pytest.raises(WireError):
        parse_request(bytearray(bad))


@given(st.sampled_from(list(Kind)), st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error(kind, body):
    with contextlib.suppress(WireError):
        found = parse_request(bytearray(packet(kind, 1, body)))
        # What was understood goes on unchanged but for number and handle.
        assert len(b"".join(wire.encode(found, 1, b"four"))) == len(found.frame)


@given(st.binary(max_size=200))
@pytest.mark.parametrize(
    "parse",
    [
        wire.parse_names,
        wire.parse_attrs,
        wire.parse_handle,
        wire.parse_status,
        wire.parse_data,
        wire.parse_version,
        wire.parse_init,
        wire.kind_and_id,
    ],
)
def test_any_bytes_are_an_answer_or_an_error(parse, body):
    with contextlib.suppress(WireError):
        parse(bytearray(packet(Kind.NAME, 1, body)))


@given(st.lists(st.tuples(names, st.integers(0, 2**63))))
def test_a_listing_can_be_told_again(entries):
    raw = [string(name) + string(b"-rw") + (1).to_bytes(4) + size.to_bytes(8) for name, size in entries]
    found = wire.parse_names(packet(Kind.NAME, 1, len(raw).to_bytes(4), *raw))

    assert [(entry.name, entry.attrs.size) for entry in found] == entries
    assert wire.names_packet(1, found) == packet(Kind.NAME, 1, len(raw).to_bytes(4), *raw)


def cut_up(data: bytes, pieces: list[int]) -> list[bytes]:
    """What Frames makes of `data` that comes in such pieces, over a real pipe."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    frames, found, at = Frames(), [], 0
    try:
        for piece in [*pieces, len(data)]:
            end = min(at + piece, len(data))
            while at < end:
                at += os.write(writing, data[at : min(end, at + 65_536)])
                with contextlib.suppress(BlockingIOError):
                    while True:
                        frames.read(reading, lambda frame: found.append(bytes(frame)))
    finally:
        os.close(reading)
        os.close(writing)
    return found


@given(
    st.lists(st.one_of(st.integers(1, 60), st.integers(60_000, 140_000)), max_size=8), st.lists(st.integers(1, 100_000), max_size=8)
)
def test_frames_are_found_however_they_are_cut(sizes, pieces):
    sent = [size.to_bytes(4) + bytes([index + 1]) * size for index, size in enumerate(sizes)]

    assert cut_up(b"".join(sent), pieces) == sent


@pytest.mark.parametrize("length", [0, wire.LIMIT + 1, 2**32 - 1])
def test_a_length_that_no_packet_has_is_refused(length):
    with pytest.raises(WireError, match="a packet of"):
        cut_up(length.to_bytes(4) + bytes(10), [])
