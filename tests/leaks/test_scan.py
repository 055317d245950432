"""The scanner finds what is there in any form, and nothing where nothing is: a test that can't fail would show nothing."""

import base64
import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaks.scan import find, pixel_canaries, pixel_values, text_canary

NAME = text_canary("file name")
VOXELS = pixel_values()
ALL = (NAME, *pixel_canaries(VOXELS))

ENCODINGS = {
    "as it is": lambda data: data,
    "base64": base64.b64encode,
    "hex": lambda data: data.hex().encode(),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "gzip of base64": lambda data: gzip.compress(base64.b64encode(data)),
    "base64 in gzip in gzip": lambda data: gzip.compress(gzip.compress(base64.b64encode(data))),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@given(before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_a_name_is_found_wherever_it_begins(encode, before, after):
    assert find(b"head" + encode(before + NAME.secret + after) + b"tail", ALL)


@given(before=st.text(max_size=10), after=st.text(max_size=10))
def test_a_name_is_found_in_utf_16(before, after):
    data = (before + NAME.secret.decode() + after).encode("utf-16-le", "surrogatepass")
    assert find(b"\xff\xfe" + data, ALL)


@pytest.mark.parametrize("kind", ["int16", "float32", "float64", ">i2"])
@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_voxels_are_found_in_every_type(encode, kind):
    volume = np.zeros((4, 4, 32), kind)
    volume[2, 1, 7:23] = VOXELS
    assert find(encode(volume.tobytes()), ALL)


@given(st.binary(max_size=2000))
def test_nothing_is_found_where_nothing_is(data):
    assert find(data, ALL) == []
    assert find(gzip.compress(data), ALL) == []


def test_another_canary_is_another():
    assert find(text_canary("file name").secret, ALL) == []
