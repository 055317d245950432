"""The body in 3-D: from which side it is seen, what is seen first, what shines through, and how it looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ctlab.geometry import Geometry
from ctlab.viewing.palette import PALETTE
from ctlab.viewing.pictures import Layers, Look, Overlay
from ctlab.viewing.reduced import LARGEST, reduced, steps
from ctlab.viewing.solid import PIXELS, PIXELS_MOVING, Rendering, Solid, across_mm
from ctlab.viewing.turning import Side, Turnable, first_hits, highest
from ctlab.viewing.windows import Window
from ctlab.volume import Volume
from PIL import Image

from tests.ctlab.viewing.samples import grid

GOLDEN = Path(__file__).parent / "solid.png"
"""Four pictures of `phantom`, looked at by eye: the right organ left, the spine behind, the mark of the head above."""

SHAPE, SPACING = (60, 50, 40), (2.0, 2.0, 4.0)
WINDOW = Window(2000, 0)
SIDES = {"front": Side(), "left": Side(90), "behind": Side(-180), "right": Side(-90), "head": Side(0, 90), "feet": Side(0, -90)}


def ball(values: np.ndarray, value: int, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> None:
    """An ellipsoid; both in mm from the middle, RAS+."""
    axes = ((np.arange(count) - (count - 1) / 2) * mm for count, mm in zip(SHAPE, SPACING, strict=True))
    places = np.meshgrid(*axes, indexing="ij")
    values[sum(((place - at) / radius) ** 2 for place, at, radius in zip(places, centre, radii, strict=True)) < 1] = value


def phantom() -> Layers:
    """A body with a large organ on its right (1), a small one in front on its left (2), a spine (3) and a mark at its head (4)."""
    hu, labels = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)
    ball(hu, 0, (0, 0, 0), (55, 40, 75))
    for value, (centre, radii) in enumerate(
        (((25, 5, 0), (20, 22, 30)), ((-25, 25, 10), (10, 10, 10)), ((0, -30, 0), (7, 7, 70)), ((0, 0, 68), (12, 5, 8))), 1
    ):
        ball(labels, value, centre, radii)
        ball(hu, 200 * value, centre, radii)
    return Layers(Volume(hu, grid(SHAPE, SPACING), "phantom"), labels)


def seen(side: Side, rendering: Rendering = Rendering.SURFACES, *, exact: bool = True, **look: object) -> np.ndarray:
    return Solid().picture(phantom(), side, rendering, Look(WINDOW, overlay=Overlay.LABELS, **look), exact=exact)


def middle(picture: np.ndarray, value: int) -> tuple[float, float]:
    """Where a label is seen: mm to the right of, and above, the picture's middle."""
    hue = np.array(PALETTE[value - 1], float)
    pixels = picture[..., :3].astype(float)
    length = np.linalg.norm(pixels, axis=-1)
    same = (length > 20) & (pixels @ (hue / np.linalg.norm(hue)) > 0.995 * length)
    rows, columns = np.nonzero(same)
    mm = across_mm(phantom().geometry) / len(picture)
    return (columns.mean() - len(picture) / 2) * mm, (len(picture) / 2 - rows.mean()) * mm


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("side", "organ", "mark"),
    [
        ("front", (-25, 0), (0, 68)),
        ("left", (-5, 0), (0, 68)),
        ("behind", (25, 0), (0, 68)),
        ("right", (5, 0), (0, 68)),
        ("head", (-25, -5), (0, 0)),
        ("feet", (-25, 5), None),
    ],
)
def test_each_side_shows_the_patients_sides_where_they_are_in_millimetres(side, organ, mark, exact):
    picture = seen(SIDES[side], exact=exact, hidden=frozenset({2, 3}))
    assert middle(picture, 1) == pytest.approx(organ, abs=2.5)
    if mark:
        assert middle(picture, 4) == pytest.approx(mark, abs=2.5)


def test_what_is_nearer_hides_what_is_behind_and_a_hidden_label_hides_nothing():
    a_mm = PIXELS / across_mm(phantom().geometry)
    row, column = PIXELS // 2 - round(10 * a_mm), PIXELS // 2 - round(25 * a_mm)
    for hidden, value in ((frozenset(), 2), (frozenset({2}), 1)):
        red, green, blue = (int(each) for each in seen(SIDES["left"], hidden=hidden)[row, column, :3])
        wanted = PALETTE[value - 1]
        assert (red / green, blue / green) == pytest.approx((wanted[0] / wanted[1], wanted[2] / wanted[1]), abs=0.05)


def test_the_maximum_along_each_ray_is_that_of_the_voxels():
    volume = Turnable(phantom().ct.voxels, SPACING)
    front = highest(volume, Side(), exact=False)
    inner = front[(front > -1000).any(axis=1)][:, (front > -1000).any(axis=0)]
    wanted = phantom().ct.voxels.max(axis=1)
    assert np.array_equal(inner, wanted[(wanted > -1000).any(axis=1)][:, (wanted > -1000).any(axis=0)])
    assert np.array_equal(highest(volume, Side(), exact=True).max(), wanted.max())


def test_between_voxels_the_maximum_is_interpolated_and_never_above_the_highest():
    volume = Turnable(phantom().ct.voxels, SPACING)
    for side in (Side(20, 10), Side(-130, 50), Side(77, -80)):
        quick, fine = (highest(volume, side, exact=exact) for exact in (False, True))
        assert quick.max() == fine.max() == 800
        assert abs(quick.astype(float).mean() - fine.mean()) < 15


def test_the_first_hit_is_the_nearest_voxel_whatever_the_axis():
    there = phantom().labels > 0
    for side in (*SIDES.values(), Side(35, 40), Side(-100, -30)):
        hits = first_hits(Turnable(there.view(np.uint8), SPACING), side, 2)
        assert there[tuple(hits.voxels.T)].all()
        away = side.axes[2]
        places = (np.argwhere(there) - (np.array(SHAPE) - 1) / 2) * SPACING
        assert hits.depth.min() == pytest.approx((places @ away).min())


def test_a_window_that_is_inverted_makes_the_air_white():
    assert seen(Side(), Rendering.MAXIMUM)[0, 0] == 0
    assert seen(Side(), Rendering.MAXIMUM, inverted=True)[0, 0] == 255


def test_without_labels_there_are_no_surfaces():
    layers = phantom()
    none = Solid().picture(layers, Side(), Rendering.SURFACES, Look(overlay=Overlay.NONE), exact=False)
    assert none.shape == (PIXELS_MOVING, PIXELS_MOVING, 4)
    assert not none.any()


def test_corrected_labels_are_seen_at_once():
    solid, layers = Solid(), phantom()
    look = Look(overlay=Overlay.LABELS)
    assert solid.picture(layers, Side(), Rendering.SURFACES, look, exact=True).any()
    empty = Layers(layers.ct, np.zeros(SHAPE, np.uint8), revision=1)
    assert not solid.picture(empty, Side(), Rendering.SURFACES, look, exact=True).any()


def test_differences_have_the_colours_that_they_have_in_slices():
    truth = phantom().labels
    layers = Layers(phantom().ct, np.where(truth == 1, truth, 0).astype(np.uint8), truth)
    picture = Solid().picture(layers, Side(), Rendering.SURFACES, Look(overlay=Overlay.DIFFERENCES), exact=True)
    assert middle(picture, 3) == pytest.approx((-25, 0), abs=2.5)


@pytest.mark.parametrize(
    ("shape", "spacing"), [((512, 512, 1200), (0.7, 0.7, 1.0)), ((512, 512, 40), (0.4, 0.4, 5.0)), ((9, 9, 1), (1.0, 1.0, 1.0))]
)
def test_a_reduced_volume_is_small_and_nearly_even(shape, spacing):
    by = np.array(steps(Geometry(shape, np.diag([*spacing, 1.0]))))
    assert np.prod(-(-np.array(shape) // by)) <= LARGEST
    sides = by * spacing
    assert (sides.max() < 1.6 * sides.min()) or by[2] == 1


def test_reducing_loses_no_maximum():
    values = np.random.default_rng(3).integers(-1000, 1000, (7, 8, 9), dtype=np.int16)
    small = reduced(values, (3, 2, 4))
    assert small.shape == (3, 4, 3)
    assert small[2, 3, 2] == values[6:, 6:, 8:].max()
    assert small[0, 1, 1] == values[:3, 2:4, 4:8].max()


def test_it_looks_as_it_did_when_somebody_looked_at_it():
    sides = (Side(), Side(35, 25), Side(-120, -30))
    made = [seen(side)[..., :3] for side in sides] + [np.repeat(seen(Side(35, 25), Rendering.MAXIMUM)[..., None], 3, axis=2)]
    now = Image.fromarray(np.concatenate(made, axis=1)).resize((4 * 160, 160), Image.Resampling.BOX)
    with Image.open(GOLDEN) as golden:
        apart = np.abs(np.asarray(now, np.int16) - np.asarray(golden.convert("RGB"), np.int16))
    assert apart.mean() < 0.5
    assert np.percentile(apart, 99.5) < 12


@pytest.mark.parametrize(("given", "wanted"), [((190, 0), (-170, 0)), ((-181, 95), (179, 90)), ((float("inf"), 3), (0, 0))])
def test_angles_beyond_sense_become_the_nearest_that_make_sense(given, wanted):
    assert Side(*given).bounded() == Side(*wanted)
