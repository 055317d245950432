"""Requests of sshfs, and hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.requests import Request, encode, parse_request
from cloudlink.wire import FSYNC, POSIX_RENAME, Cursor, Kind, WireError, packet, string

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
    assert Cursor(request(Kind.SETSTAT, string(b"f"), SIZE).attrs, 0).attrs().size == 42


@pytest.mark.parametrize("remote", [b"\0\0\0\1", b"x", b"a longer handle"])
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [(Kind.READ, b"", bytes(12)), (Kind.WRITE, b"", bytes(8) + string(b"data")), (Kind.EXTENDED, string(FSYNC), b"")],
)
def test_the_server_gets_its_own_handle_and_our_number(kind, before, after, remote):
    found = request(kind, before, HANDLE, after)

    assert b"".join(encode(found, 99, remote)) == packet(kind, 99, before, string(remote), after)


def test_after_a_cut_the_server_gets_its_new_handle():
    found = request(Kind.WRITE, HANDLE, bytes(8), string(b"data"))

    for number, remote in ((1, b"old!"), (2, b"new!"), (3, b"a longer handle"), (4, b"last")):
        assert b"".join(encode(found, number, remote)) == packet(Kind.WRITE, number, string(remote), bytes(8), string(b"data"))


def test_a_path_goes_on_as_it_came():
    assert b"".join(encode(request(Kind.LSTAT, string(b"a/b")), 99)) == packet(Kind.LSTAT, 99, string(b"a/b"))


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
        assert len(b"".join(encode(found, 1, b"four"))) == len(found.frame)
