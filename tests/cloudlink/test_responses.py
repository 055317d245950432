"""Answers of servers, ours and hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink import responses
from cloudlink.requests import parse_init
from cloudlink.wire import Kind, WireError, kind_and_id, packet, string

names = st.binary(max_size=40).filter(lambda name: b"\0" not in name)


@given(st.binary(max_size=200))
@pytest.mark.parametrize(
    "parse",
    [
        responses.parse_names,
        responses.parse_attrs,
        responses.parse_handle,
        responses.parse_status,
        responses.parse_data,
        responses.parse_version,
        parse_init,
        kind_and_id,
    ],
)
def test_any_bytes_are_an_answer_or_an_error(parse, body):
    with contextlib.suppress(WireError):
        parse(bytearray(packet(Kind.NAME, 1, body)))


def test_a_number_of_names_without_an_end_is_none():
    raw = string(b"f") + string(b"-rw-r--r-- " + b"9" * 100_000 + b" owner") + bytes(4)

    assert responses.parse_names(packet(Kind.NAME, 1, (1).to_bytes(4), raw))[0].names is None


@given(st.lists(st.tuples(names, st.integers(0, 2**63))))
def test_a_listing_can_be_told_again(entries):
    raw = [string(name) + string(b"-rw") + (1).to_bytes(4) + size.to_bytes(8) for name, size in entries]
    found = responses.parse_names(packet(Kind.NAME, 1, len(raw).to_bytes(4), *raw))

    assert [(entry.name, entry.attrs.size) for entry in found] == entries
    assert responses.names_packet(1, found) == packet(Kind.NAME, 1, len(raw).to_bytes(4), *raw)
