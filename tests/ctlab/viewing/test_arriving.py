"""A packed case is looked at while it is still being read, and no picture shows a voxel that has not come yet."""

from __future__ import annotations

from pathlib import Path

import ctlab
import numpy as np
import pytest
from ctlab.errors import DamagedError
from ctlab.geometry import Geometry
from ctlab.packed import ENDING, PackedFile, write_packed
from ctlab.viewing.arriving import Arriving
from ctlab.volume import Labels, Volume

from tests.ctlab.viewing.test_widget import Browser

SHAPE = (70, 66, 200)
SPACING = (0.8, 0.8, 0.8)


@pytest.fixture(scope="module")
def case() -> tuple[Volume, Labels]:
    """Several layers of blocks along each axis; every voxel differs from its neighbours."""
    draw = np.random.default_rng(7)
    geometry = Geometry(SHAPE, np.diag([*SPACING, 1.0]))
    ct = Volume(draw.integers(-1000, 1000, SHAPE, np.int16), geometry, "case")
    marks = np.zeros(SHAPE, np.uint8)
    marks[10:60, 10:50, 20:180] = 1
    return ct, Labels(marks, geometry, "case")


@pytest.fixture
def path(case, tmp_path) -> Path:
    found = tmp_path / f"case{ENDING}"
    write_packed(found, *case, {"1": "lung"}, ())
    return found


@pytest.fixture
def alone(monkeypatch):
    """Nothing is read in the background: what is there was asked for."""
    monkeypatch.setattr(Arriving, "begin", lambda self, tell: None)


def arriving(path: Path) -> Arriving:
    return Arriving(PackedFile(path, "case"), "case", {1: "lung"})


def test_what_is_asked_for_is_there_and_the_rest_is_not_waited_for(path, case):
    coming = arriving(path)
    coming.need(2, range(100, 101))
    assert np.array_equal(coming.ct.voxels[:, :, 100], case[0].voxels[:, :, 100])
    assert np.array_equal(coming.labels.voxels[:, :, 100], case[1].voxels[:, :, 100])
    assert not coming.complete
    assert not coming.ct.voxels[:, :, 0].any()


def test_one_slice_is_read_alone_and_the_volume_is_not_filled_for_it(path, case):
    coming = arriving(path)
    for axis, index in ((2, 199), (1, 0), (0, 33)):
        hu, marks = coming.alone(axis, index)
        assert np.array_equal(hu, case[0].voxels.take(index, axis))
        assert np.array_equal(marks, case[1].voxels.take(index, axis))
        assert not coming.there(axis, range(index, index + 1))
    assert not coming.ct.voxels.any()


def test_what_lies_near_the_slice_that_is_looked_at_comes_first(path, monkeypatch):
    coming = arriving(path)
    order = []
    read = Arriving._read
    monkeypatch.setattr(Arriving, "_read", lambda self, axis, layer: (order.append(layer), read(self, axis, layer)))
    coming.alone(2, 150)
    coming.whole()
    layer = 150 // coming._block[2]
    assert order[0] == layer
    assert set(order[:3]) == {layer - 1, layer, layer + 1}
    assert sorted(order) == list(range(len(order)))


def test_the_rest_comes_in_the_background(path, case):
    coming = arriving(path)
    coming.begin(lambda: None).join(60)
    assert coming.complete
    assert np.array_equal(coming.ct.voxels, case[0].voxels)
    assert np.array_equal(coming.labels.voxels, case[1].voxels)


def test_pictures_of_a_case_that_is_still_being_read_are_those_of_one_that_was(path, case, alone):
    early, late = Browser(ctlab.view(str(path))), Browser(ctlab.view(*case))
    for voxel in ((0, 0, 0), (35, 33, 100), (69, 65, 199)):
        for slab_mm in (0.0, 50.0):
            shown = early.see("axial", "coronal", "sagittal", voxel=voxel, slab_mm=slab_mm)
            expected = late.see("axial", "coronal", "sagittal", voxel=voxel, slab_mm=slab_mm)
            assert all(np.array_equal(one, other) for one, other in zip(shown, expected, strict=True))


def test_hu_regions_volumes_and_corrections_are_those_of_the_whole_case(path, case, alone):
    answers = []
    for viewer in (ctlab.view(path), ctlab.view(*case)):
        browser = Browser(viewer)
        asked = [
            browser.ask(do="act", what="volumes")["labels"][0]["ml"],
            browser.ask(do="probe", plane="coronal", index=3, point=(5, 5))["text"],
            browser.ask(do="measure", kind="region", plane="sagittal", index=60, points=[(5, 5), (40, 90)])["text"],
            browser.ask(do="draw", kind="brush", plane="axial", index=2, points=[(30, 30)], value=2, radius_mm=4)["is"],
        ]
        answers.append((asked, viewer.labels.voxels.copy()))
    (early, drawn), (late, expected) = answers
    assert early == late
    assert np.array_equal(drawn, expected)


def test_a_damaged_block_is_told_where_it_is_looked_at_and_the_rest_is_shown(path, alone):
    image = PackedFile(path, "case")._image
    at, length = image.index[-1]
    with path.open("r+b") as file:
        # The block at the far end of every axis.
        file.seek(image.at + int(at))
        file.write(bytes(int(length)))
    browser = Browser(ctlab.view(path))
    assert browser.see("axial", voxel=(5, 5, 5))
    told = browser.ask(do="see", panes=[{"plane": "axial"}], exact=False, state={"voxel": (5, 5, 199)})
    assert told["is"] == "problem"
    assert "damaged" in told["text"]
    assert browser.see("axial", voxel=(5, 5, 5))
    with pytest.raises(DamagedError):
        arriving(path).whole()


def test_label_names_that_make_no_sense_are_refused_in_a_sentence(case, tmp_path):
    path = tmp_path / f"strange{ENDING}"
    write_packed(path, *case, {"one": "lung"}, ())
    with pytest.raises(DamagedError, match="strange"):
        ctlab.view(path)


def test_what_the_background_could_not_read_is_read_when_it_is_needed(path, case, monkeypatch):
    coming = arriving(path)
    with monkeypatch.context() as cut:

        def gone(*_: object) -> None:
            raise DamagedError("a cut")

        cut.setattr(PackedFile, "patch", gone)
        coming.begin(lambda: None).join(60)
        assert not coming.complete
        with pytest.raises(DamagedError):
            coming.need(0, range(3, 4))
    coming.need(0, range(3, 4))
    assert np.array_equal(coming.ct.voxels[3], case[0].voxels[3])
