"""What job and hub say to each other survives the way, and nothing else does."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import (
    BODY_LIMIT,
    BadMessageError,
    Event,
    Message,
    Order,
    Phase,
    Reason,
    Refusal,
    Renewal,
    Start,
    Welcome,
    binding,
    decode,
    encode,
)
from tests.enclave.samples import order, welcome

KINDS = (Order, Start, Welcome, Event, Renewal, Refusal)
START = Start(session="a1b2c3d4e5f60718", job="17", ssh_public_key="ssh-ed25519 AAAA", tls_request="-----BEGIN", port=40000)
EVENTS = st.builds(
    Event, phase=st.sampled_from(Phase), reason=st.none() | st.sampled_from(Reason), detail=st.text(max_size=500)
)


@pytest.mark.parametrize(
    "message", [order(), START, welcome(), Renewal(ssh_certificate="c", expires=1.5), Refusal(reason=Reason.NOT_PERMITTED)]
)
def test_a_message_survives_the_way_on_one_line(message: Message):
    raw = encode(message)
    assert b"\n" not in raw
    assert decode(raw, type(message)) == message


@given(EVENTS)
def test_whatever_an_event_says_survives(event):
    assert decode(encode(event), Event) == event


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_what_is_no_message_is_refused_and_breaks_nothing(raw):
    for kind in KINDS:
        with pytest.raises(BadMessageError):
            decode(raw, kind)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=4))
def test_nor_is_any_other_json(value):
    for kind in KINDS:
        with pytest.raises(BadMessageError):
            decode(json.dumps(value), kind)


@pytest.mark.parametrize(
    "change",
    [
        {"port": 80},
        {"port": 65536},
        {"port": "40000"},
        {"port": True},
        {"session": "A1B2C3D4E5F60718"},
        {"session": "a1b2c3d4e5f6071"},
        {"session": "a1b2c3d4e5f60718\n"},
        {"job": "1; rm"},
        {"job": ""},
        {"job": "17\n"},
        {"ssh_public_key": "x" * 20_000},
        {"tls_request": None},
        {"exec_prefix": "x"},
    ],
)
def test_a_start_out_of_range_is_refused(change):
    with pytest.raises(BadMessageError):
        decode(json.dumps(msgspec.to_builtins(START) | change), Start)


def test_too_long_is_refused_before_it_is_read():
    with pytest.raises(BadMessageError, match="longer than"):
        decode(b"[" * (BODY_LIMIT + 1), Event)


@pytest.mark.parametrize(
    "change",
    [{"session": "b1b2c3d4e5f60718"}, {"job": "18"}, {"ssh_public_key": "x"}, {"tls_request": "x"}, {"port": 40001}],
)
def test_the_proof_vouches_for_each_of_its_parts(change):
    assert binding(msgspec.structs.replace(START, **change)) != binding(START)
    assert binding(msgspec.structs.replace(START, munge="x", ticket="y")) == binding(START)


def test_parts_can_not_be_moved_from_one_to_the_other():
    one = msgspec.structs.replace(START, ssh_public_key="ab", tls_request="c")
    other = msgspec.structs.replace(START, ssh_public_key="a", tls_request="bc")
    assert binding(one) != binding(other)
