"""Frames out of a stream of bytes."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.stream import Frames
from cloudlink.wire import LIMIT, WireError


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


@pytest.mark.parametrize("length", [0, LIMIT + 1, 2**32 - 1])
def test_a_length_that_no_packet_has_is_refused(length):
    with pytest.raises(WireError, match="a packet of"):
        cut_up(length.to_bytes(4) + bytes(10), [])
