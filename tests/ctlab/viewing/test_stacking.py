"""A DICOM series is looked at while its slices are still being read; it becomes what the reader of whole series makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ctlab
import numpy as np
import pytest
from ctlab.errors import CtlabError, MissingSliceError
from ctlab.slices import read_pixels
from ctlab.viewing import stacking
from ctlab.viewing.stacking import Stacking
from ctlab.viewing.widget import Viewer
from pydicom.dataset import Dataset

from tests.ctlab.samples import series, write_series
from tests.ctlab.test_dicom import turned_head_first_prone, write_multi_frame
from tests.ctlab.viewing.test_widget import Browser


@pytest.fixture
def alone(monkeypatch):
    """Nothing is read in the background: what is there was asked for."""
    monkeypatch.setattr(Stacking, "begin", lambda self, tell: None)


@pytest.fixture
def threads(monkeypatch) -> list:
    """The threads that read in the background."""
    found: list = []
    begin = Stacking.begin
    monkeypatch.setattr(Stacking, "begin", lambda self, tell: found.append(begin(self, tell)))
    return found


def sentence(act: Callable[[], object]) -> str:
    with pytest.raises(CtlabError) as caught:
        act()
    return str(caught.value)


def middle(viewer: Viewer) -> int:
    return viewer.voxel[2]


def as_it_is(slices: list[Dataset]) -> None:
    pass


def from_head_to_feet(slices: list[Dataset]) -> None:
    """Rows to the front, so that the slices' own axis runs to the feet."""
    for made in slices:
        made.PixelData = made.pixel_array[::-1].copy().tobytes()
        made.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
        made.ImagePositionPatient = [
            made.ImagePositionPatient[0],
            round(float(made.ImagePositionPatient[1]) + (made.Rows - 1) * made.PixelSpacing[0], 4),
            made.ImagePositionPatient[2],
        ]


@pytest.mark.parametrize("laid", [as_it_is, turned_head_first_prone, from_head_to_feet])
def test_it_becomes_the_volume_that_the_reader_makes(tmp_path, threads, laid):
    slices = series()
    laid(slices)
    write_series(tmp_path, slices)
    expected = ctlab.load(tmp_path)
    viewer = ctlab.view(tmp_path)
    threads[0].join(60)
    assert np.array_equal(viewer._desk.ct.voxels, expected.voxels)
    assert viewer._desk.ct.geometry.fits(expected.geometry)
    assert viewer._desk.ct.geometry.stored == expected.geometry.stored
    assert viewer._desk.share == 1


@pytest.mark.parametrize("laid", [as_it_is, turned_head_first_prone, from_head_to_feet])
def test_its_own_slices_are_shown_before_the_rest_was_read(tmp_path, alone, laid):
    slices = series()
    laid(slices)
    write_series(tmp_path, slices)
    viewer = ctlab.view(tmp_path)
    early, late = Browser(viewer), Browser(ctlab.view(ctlab.load(tmp_path)))
    assert [len(each) > 0 for each in viewer._first] == [True, False, False]
    for index in (0, middle(viewer), 16):
        for slab_mm in (0.0, 6.0):
            state = {"voxel": (*viewer.voxel[:2], index), "slab_mm": slab_mm}
            assert np.array_equal(early.see("axial", **state)[0], late.see("axial", **state)[0])
    told = early.ask(do="see", panes=[{"plane": "coronal"}, {"plane": "axial"}], exact=False)
    assert [len(each) > 0 for each in early.heard[-1][1]] == [False, True]
    assert told["share"] < 1
    assert "image/png" in viewer._repr_mimebundle_()
    # What needs all of it reads it.
    viewer._desk.whole()
    shown = early.see("axial", "coronal", "sagittal", slab_mm=0.0)
    assert all(
        np.array_equal(one, other) for one, other in zip(shown, late.see("axial", "coronal", "sagittal", slab_mm=0.0), strict=True)
    )


def test_the_middle_slice_is_read_once_for_its_first_picture_and_not_again_for_the_volume(tmp_path, alone, monkeypatch):
    read = []
    monkeypatch.setattr(stacking, "read_pixels", lambda each, name: read.append(each.called) or read_pixels(each, name))
    viewer = ctlab.view(write_series(tmp_path, series()))
    assert len(read) == 1
    viewer._desk.whole()
    assert len(read) == len(set(read)) == 17
    assert np.array_equal(viewer._desk.ct.voxels, ctlab.load(tmp_path).voxels)


def test_a_damaged_slice_refuses_the_series_in_the_readers_words(tmp_path, threads):
    write_series(tmp_path, series())
    last = min(tmp_path.iterdir())
    last.write_bytes(last.read_bytes()[:-300])
    expected = sentence(lambda: ctlab.load(tmp_path))
    viewer = ctlab.view(tmp_path)
    browser = Browser(viewer)
    threads[0].join(60)
    assert viewer._desk.refusal == expected
    for plane in ("axial", "coronal"):
        told = browser.ask(do="see", panes=[{"plane": plane}], exact=False)
        assert (told["is"], told["text"]) == ("problem", expected)
    assert browser.ask(do="hello")["refused"] == expected


def steep(slices: list[Dataset]) -> None:
    """One slice at an end says that its values are a thousand times as high."""
    slices[0].RescaleSlope = 1000


def test_values_that_are_no_hu_refuse_the_series_in_the_readers_words(tmp_path, threads):
    slices = series()
    steep(slices)
    write_series(tmp_path, slices)
    expected = sentence(lambda: ctlab.load(tmp_path))
    viewer = ctlab.view(tmp_path)
    threads[0].join(60)
    assert viewer._desk.refusal == expected


@pytest.fixture
def asked(monkeypatch) -> list:
    """Each time that the reader of whole series was asked for its word."""
    found: list = []
    read = stacking.read_series
    monkeypatch.setattr(stacking, "read_series", lambda *given: found.append(given) or read(*given))
    return found


def all_but_the_middle_steep(slices: list[Dataset]) -> None:
    """What is looked at before anything is shown is right."""
    for index, made in enumerate(slices):
        made.RescaleSlope = 1 if index == len(slices) // 2 else 1000


def test_many_slices_that_look_wrong_ask_the_reader_once(tmp_path, threads, asked):
    slices = series()
    all_but_the_middle_steep(slices)
    write_series(tmp_path, slices)
    expected = sentence(lambda: ctlab.load(tmp_path))
    viewer = ctlab.view(tmp_path)
    threads[0].join(60)
    assert viewer._desk.refusal == expected
    assert sentence(viewer._desk.whole) == expected
    assert len(asked) == 1


def test_many_slices_that_look_wrong_and_are_found_right_ask_the_reader_once(tmp_path, alone, asked):
    slices = series()
    all_but_the_middle_steep(slices)
    write_series(tmp_path, slices)
    viewer = ctlab.view(tmp_path)
    # Sent again, rightly, after the headers were read.
    for made in slices:
        made.RescaleSlope = 1
    write_series(tmp_path, slices)
    viewer._desk.whole()
    assert np.array_equal(viewer._desk.ct.voxels, ctlab.load(tmp_path).voxels)
    assert len(asked) == 1


def test_headers_that_make_no_stack_are_refused_at_once(tmp_path):
    slices = series()
    slices.pop(5)
    write_series(tmp_path, slices)
    with pytest.raises(MissingSliceError):
        ctlab.view(tmp_path)


def test_values_that_might_be_no_hu_are_read_whole_first(tmp_path, capsys):
    slices = series()
    for made in slices:
        made.RescaleIntercept = 0
    write_series(tmp_path, slices)
    assert sentence(lambda: ctlab.view(tmp_path)) == sentence(lambda: ctlab.load(tmp_path))
    assert "read before it is shown, because one slice alone" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_multi_frame_file_is_read_whole_first_and_a_line_says_so(tmp_path, capsys):
    viewer = ctlab.view(write_multi_frame(tmp_path, series()))
    assert "because all slices lie in one file" in capsys.readouterr().out
    assert all(viewer._first)
    assert np.array_equal(viewer._desk.ct.voxels, ctlab.load(tmp_path).voxels)


def test_slices_come_near_the_one_that_is_looked_at(tmp_path, alone):
    write_series(tmp_path, series())
    coming = ctlab.view(Path(tmp_path))._desk._arriving
    coming.alone(2, 15)
    assert coming._next()[:3] == [15, 14, 16]
