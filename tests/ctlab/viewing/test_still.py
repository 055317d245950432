"""Slices, windows and labels together, beside pictures that somebody has looked at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from ctlab.cohort import open_case
from ctlab.viewing.pictures import Layers, Look, Overlay
from ctlab.viewing.planes import Projection, Slab
from ctlab.viewing.still import still
from ctlab.viewing.windows import WINDOWS
from PIL import Image

from tests.ctlab.samples import REAL
from tests.ctlab.viewing.samples import patient

GOLDEN = Path(__file__).with_name("slices.png")
WIDE = 480
"""Pixels of the golden picture's width."""
HEART, LIVER = (78, 60, 40), (80, 50, 85)


def rows() -> list[Image.Image]:
    """Three planes each: a chest's prediction with the truth as outlines, its differences in a slab, and outlines in an abdomen."""
    ct, predicted, truth = patient()
    chest = Layers(ct, predicted.voxels, truth.voxels)
    abdomen = open_case(REAL / "abdomen")
    made = (
        still(chest, HEART, Look(WINDOWS["lung"], overlay=Overlay.BOTH)),
        still(chest, HEART, Look(WINDOWS["bone"], slab=Slab(20, Projection.MAXIMUM), overlay=Overlay.DIFFERENCES, opacity=0.6)),
        still(Layers(abdomen.ct, abdomen.labels.voxels), LIVER, Look(WINDOWS["abdomen"], overlay=Overlay.LABELS, outline=True)),
    )
    return [Image.open(io.BytesIO(each)).convert("RGB") for each in made]


def composed() -> Image.Image:
    """The rows below each other, all as wide as the golden picture."""
    fitted = [each.resize((WIDE, round(each.height * WIDE / each.width)), Image.Resampling.BOX) for each in rows()]
    whole = Image.new("RGB", (WIDE, sum(each.height for each in fitted)))
    top = 0
    for each in fitted:
        whole.paste(each, (0, top))
        top += each.height
    return whole


def apart(one: Image.Image, other: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16))


@pytest.fixture(scope="module")
def now() -> Image.Image:
    return composed()


def test_it_looks_as_it_did_when_somebody_looked_at_it(now):
    with Image.open(GOLDEN) as golden:
        found = apart(now, golden.convert("RGB"))
    assert found.mean() < 0.5
    assert np.percentile(found, 99.5) < 12


def test_another_side_or_another_place_would_be_seen(now):
    """The comparison above is narrow enough for what must never be wrong."""
    with Image.open(GOLDEN) as picture:
        golden = picture.convert("RGB")
    mirrored = golden.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shifted = golden.transform(golden.size, Image.Transform.AFFINE, (1, 0, 1, 0, 1, 0))
    for wrong in (mirrored, shifted):
        assert apart(now, wrong).mean() > 2
