"""What stores something else than HU is found out by its values."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.errors import HounsfieldError
from ctlab.hounsfield import to_hounsfield
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ctlab.samples import chest

HU = chest().ct.voxels


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_hu_stay_as_they_are(dtype):
    hu = to_hounsfield(HU.astype(dtype), "case")

    assert hu.dtype == np.int16
    assert np.array_equal(hu, HU)


def test_fractions_are_rounded():
    assert to_hounsfield(np.array([-1000.4, -0.6, 0.4, 400.6]), "case").tolist() == [-1000, -1, 0, 401]


def padded(values: np.ndarray) -> np.ndarray:
    """With the corners that a scanner didn't see."""
    return np.where(np.add.outer(np.arange(28), np.arange(24))[:, :, None] < 8, -2000, values)


def test_what_the_scanner_did_not_see_may_lie_below_air():
    assert to_hounsfield(padded(HU), "case").min() == -2000


REFUSED = {
    "nothing": (HU[:0], "the image is empty"),
    "not a number": (np.where(HU > 200, np.nan, HU), "not numbers"),
    "infinite": (np.where(HU > 200, np.inf, HU), "not numbers"),
    "a mask": (HU > 0, "colour picture or another kind"),
    "colours": (np.zeros((3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colour picture or another kind"),
    "complex": (HU.astype(np.complex64), "colour picture or another kind"),
    "far too large": (HU.astype(np.int32) * 100, "can't be HU"),
    "0 to 1": ((HU + 1024) / 4095, r"values from 0 to 0\.39\d* are not HU; .* rescaled"),
    "a window": (np.clip(HU, -100, 90), "values from -100 to 90 are not HU"),
    "1024 too high": (HU + 1024, "start at 0: .*1000 too high"),
    "1024 too high, with padding": (padded(HU + 1024), "start at 0: .*1000 too high"),
    "1024 too low": (HU - 1024, "1000 too low"),
    "no air": (np.clip(HU, -150, None), "no air was found .the lowest value is -150"),
    "8 bits": (np.clip((HU + 1000) / 6, 0, 255).astype(np.uint8), "no air was found"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_hu_is_refused(values, words):
    with pytest.raises(HounsfieldError, match=f"^case: .*{words}"):
        to_hounsfield(values, "case")


def test_a_piece_from_inside_a_body_needs_no_air():
    piece = np.clip(HU, -150, None)

    assert np.array_equal(to_hounsfield(piece, "case", expect_air=False), piece)


@given(hnp.arrays(st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]), st.just((3, 3, 2))))
def test_whatever_comes_is_hu_or_refused(values):
    try:
        hu = to_hounsfield(values, "case")
    except HounsfieldError:
        return
    assert hu.dtype == np.int16
    assert np.abs(hu - values.astype(np.float64)).max() <= 0.5
