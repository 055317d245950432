"""What the picture of a slice shows: grey by the window, labels by their colours, and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from ctlab.viewing.overlays import MATCH_COLOURS, Match, Paint, edges, match, painted
from ctlab.viewing.palette import HATCHES, PALETTE, colour, stripes, style
from ctlab.viewing.pictures import GAP, Cuts, Layers, Look, Overlay, jpeg, picture, png, side_by_side
from ctlab.viewing.planes import Plane, Slab, cut, enlargement
from ctlab.viewing.windows import SOURCES, WINDOWS, Window, grey
from PIL import Image

from tests.ctlab.samples import chest
from tests.ctlab.viewing.samples import FRONT, HU, RIGHT, body, boxes

ALL = slice(None)
BLACK_AIR = Window(2000, 0)
ENDS = {
    "soft tissue": (-160, 240), "lung": (-1350, 150), "liver": (15, 165), "bone": (-770, 1730), "brain": (0, 80),
    "mediastinum": (-125, 225), "abdomen": (-135, 215),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WINDOWS))
def test_a_window_goes_from_black_to_white_around_its_level(name):
    black, white = ENDS[name]
    hu = np.array([-32768, black, (black + white) // 2, white, 32767], np.int16)
    assert grey(hu, WINDOWS[name]).tolist() in ([0, 0, 127, 255, 255], [0, 0, 128, 255, 255])
    assert grey(hu, WINDOWS[name], inverted=True).tolist() in ([255, 255, 128, 0, 0], [255, 255, 127, 0, 0])
    assert SOURCES[name]


def test_a_narrow_window_tells_one_hu_from_the_next():
    assert grey(np.array([39, 40, 41], np.int16), Window(2, 40)).tolist() == [0, 128, 255]


def test_a_window_from_the_mouse_stays_within_what_makes_sense():
    assert Window(-5, 1e9).bounded() == Window(1, 8192)


@pytest.mark.parametrize("plane", list(Plane), ids=lambda plane: plane.key)
def test_without_labels_a_picture_is_the_slice_in_grey(plane):
    layers, index = Layers(chest().ct), chest().ct.geometry.shape[plane.axis] // 2
    pixels = picture(layers, plane, index, Look(WINDOWS["bone"]))
    times = enlargement(chest().ct.geometry, plane)
    plain = grey(cut(chest().ct.voxels, plane, index), WINDOWS["bone"])
    assert pixels.shape == (plain.shape[0] * times[1], plain.shape[1] * times[0])
    if times == (1, 1):
        assert np.array_equal(pixels, plain)


def test_pictures_side_by_side_stand_in_the_middle_of_the_highest():
    sides = [Image.new("RGB", (2, 6), "red"), Image.new("RGB", (3, 2), "blue")]
    whole = np.asarray(Image.open(io.BytesIO(side_by_side(sides))))
    assert whole.shape == (6, 2 + GAP + 3, 3)
    assert (whole[:, :2] == (255, 0, 0)).all()
    assert (whole[2:4, -3:] == (0, 0, 255)).all()
    assert np.count_nonzero(whole.any(axis=2)) == 2 * 6 + 3 * 2
    assert Image.open(io.BytesIO(side_by_side([]))).size == (1, 1)


def test_far_slices_are_interpolated_between_and_labels_are_not():
    layers = Layers(body(), boxes((ALL, ALL, slice(8, 10))))
    plain = picture(layers, Plane.CORONAL, RIGHT[1], Look(Window(2000, 0)))
    head = plain.shape[0] - 2 * (RIGHT[2] + 1)
    column = plain[:, body().geometry.shape[0] - 1 - RIGHT[0]]
    assert column[head - 2 : head + 4].tolist() != sorted(column[head - 2 : head + 4])
    assert len(set(column.tolist())) > 2
    drawn = picture(layers, Plane.CORONAL, 0, Look(BLACK_AIR, overlay=Overlay.LABELS, opacity=1))
    orange = (drawn[..., :3] == PALETTE[0]).all(axis=2)
    assert np.flatnonzero(orange.all(axis=1)).tolist() == [20, 21, 22, 23]
    assert orange.sum() == 4 * 40


def test_a_slab_reaches_the_picture():
    layers = Layers(body())
    above = RIGHT[2] + 2
    look = Look(Window(2000, 0), slab=Slab(25))
    assert picture(layers, Plane.AXIAL, above, Look(Window(2000, 0))).max() == 0
    assert picture(layers, Plane.AXIAL, above, look).max() == grey(np.array([HU[FRONT]], np.int16), Window(2000, 0))[0]


def test_a_filled_label_mixes_its_colour_with_the_ct():
    shades = np.array([[0, 100, 200]], np.uint8)
    pixels = painted(shades, np.array([[1, 0, 1]], np.uint8), None, Paint(0.5))
    expected = [[round(part / 2 + shade / 2) for part in PALETTE[0]] for shade in (0, 200)]
    assert pixels[0, :, :3].tolist() == [expected[0], [100, 100, 100], expected[1]]


def test_an_outline_is_a_line_inside_its_label_and_leaves_the_ct_alone():
    layers = Layers(body(), boxes((slice(10, 30), slice(10, 20), ALL)))
    pixels = picture(layers, Plane.AXIAL, 3, Look(BLACK_AIR, overlay=Overlay.LABELS, outline=True))
    line = (pixels[..., :3] == PALETTE[0]).all(axis=2)
    assert line.sum() == 20 * 10 - 18 * 8
    assert line[10, 10:30].all()
    assert (pixels[~line][:, :3] == 0).all()


def test_a_label_at_the_edge_of_the_picture_has_an_outline_there_too():
    assert edges(np.ones((4, 5), np.uint8)).sum() == 4 * 5 - 2 * 3


def test_prediction_and_truth_are_shown_alone_together_or_as_differences():
    seen, true = boxes((slice(20, 30), slice(10, 20), ALL)), boxes((slice(15, 25), slice(10, 20), ALL))
    layers = Layers(body(), seen, true)

    def at(overlay: Overlay, x: int) -> tuple[int, ...]:
        pixels = picture(layers, Plane.AXIAL, 3, Look(BLACK_AIR, overlay=overlay, opacity=1))
        return tuple(int(part) for part in pixels[14, 39 - x, :3])

    assert (at(Overlay.LABELS, 27), at(Overlay.LABELS, 17)) == (PALETTE[0], (0, 0, 0))
    assert (at(Overlay.TRUTH, 27), at(Overlay.TRUTH, 17)) == ((0, 0, 0), PALETTE[0])
    assert (at(Overlay.BOTH, 27), at(Overlay.BOTH, 15), at(Overlay.BOTH, 17)) == (PALETTE[0], PALETTE[0], (0, 0, 0))
    assert at(Overlay.DIFFERENCES, 27) == MATCH_COLOURS[Match.ONLY_PREDICTED]
    assert at(Overlay.DIFFERENCES, 22) == MATCH_COLOURS[Match.CORRECT]
    assert at(Overlay.DIFFERENCES, 17) == MATCH_COLOURS[Match.ONLY_TRUE]
    assert at(Overlay.DIFFERENCES, 5) == (0, 0, 0)


def test_differences_say_what_a_prediction_is_worth_at_each_place():
    prediction, truth = np.array([0, 1, 1, 0, 2, 2], np.uint8), np.array([0, 1, 0, 1, 2, 1], np.uint8)
    expected = [0, Match.CORRECT, Match.ONLY_PREDICTED, Match.ONLY_TRUE, Match.CORRECT, Match.OTHER_LABEL]
    assert match(prediction, truth).tolist() == expected


def test_a_hidden_label_is_not_drawn_and_the_others_are():
    layers = Layers(body(), boxes((slice(0, 10), ALL, ALL), (slice(10, 20), ALL, ALL)))
    pixels = picture(layers, Plane.AXIAL, 3, Look(BLACK_AIR, overlay=Overlay.LABELS, opacity=1, hidden=frozenset({1})))
    found = {tuple(each) for each in pixels[..., :3].reshape(-1, 3).tolist()}
    assert found == {(0, 0, 0), PALETTE[1]}


def test_no_two_of_120_labels_look_alike_when_they_are_hatched():
    assert len({(style(value).colour, style(value).hatch) for value in range(1, 121)}) == 120
    assert len({colour(value) for value in range(1, 8)}) == 7


def test_hatching_darkens_some_pixels_of_a_label_by_its_own_pattern():
    shades = np.zeros((16, 16), np.uint8)
    value = 1 + 7 * HATCHES.index("across")
    pixels = painted(shades, np.full((16, 16), value, np.uint8), None, Paint(1, hatched=True))
    full = (pixels[..., :3] == PALETTE[0]).all(axis=2)
    assert np.array_equal(~full, np.tile(stripes()[HATCHES.index("across")], (2, 2)))
    plain = painted(shades, np.full((16, 16), 1, np.uint8), None, Paint(1, hatched=True))
    assert (plain[..., :3] == PALETTE[0]).all()


@pytest.mark.parametrize("overlay", [Overlay.NONE, Overlay.LABELS])
def test_png_holds_the_picture_exactly_and_jpeg_nearly(overlay):
    pixels = picture(Layers(chest().ct, chest().labels.voxels), Plane.AXIAL, 8, Look(BLACK_AIR, overlay=overlay))
    shown = pixels if pixels.ndim == 2 else pixels[..., :3]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), shown)
    nearly = np.asarray(Image.open(io.BytesIO(jpeg(pixels, 95)))).astype(int)
    assert nearly.shape == shown.shape
    assert np.abs(nearly - shown).mean() < 8


def test_a_slice_that_stays_is_cut_once_and_again_when_its_labels_change():
    labels, cuts = boxes((ALL, ALL, ALL)), Cuts()
    look = Look(BLACK_AIR, overlay=Overlay.LABELS, opacity=1)
    first = picture(Layers(body(), labels, cuts=cuts), Plane.AXIAL, 3, look)
    labels[:] = 2
    same = picture(Layers(body(), labels, cuts=cuts), Plane.AXIAL, 3, look)
    changed = picture(Layers(body(), labels, revision=1, cuts=cuts), Plane.AXIAL, 3, look)
    other = picture(Layers(body(), labels, cuts=cuts), Plane.AXIAL, 4, look)
    assert [each[0, 0, :3].tolist() for each in (first, same, changed, other)] == [list(PALETTE[0])] * 2 + [list(PALETTE[1])] * 2


def test_a_picture_that_is_not_enlarged_has_one_pixel_a_voxel_in_the_same_colours():
    layers, look = Layers(body(), boxes((slice(10, 30), ALL, ALL))), Look(Window(2000, 0), overlay=Overlay.LABELS)
    plain = picture(layers, Plane.CORONAL, 5, look, enlarged=False)
    assert plain.shape[:2] == (body().geometry.shape[2], body().geometry.shape[0])
    assert picture(layers, Plane.CORONAL, 5, look).shape[:2] == (2 * plain.shape[0], plain.shape[1])
    expected = grey(cut(body().voxels, Plane.CORONAL, 5), Window(2000, 0))
    assert np.array_equal(plain[:, :10, 0], expected[:, :10])
