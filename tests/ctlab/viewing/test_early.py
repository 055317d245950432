"""Before a series is known one slice stands for it: marked, right by its own header, replaced, and nothing to measure on."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import ctlab
import ctlab.viewer
import numpy as np
import pytest
from ctlab.errors import LabelError, MissingSliceError
from ctlab.viewing import early
from ctlab.viewing.early import find_early, in_order
from ctlab.viewing.pictures import Look
from ctlab.viewing.planes import PLANES, Plane
from ctlab.viewing.still import still
from ctlab.viewing.widget import Viewer
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.ctlab.samples import series, write_series
from tests.ctlab.test_dicom import turned_head_first_prone, write_multi_frame
from tests.ctlab.viewing.test_stacking import as_it_is, from_head_to_feet, sentence
from tests.ctlab.viewing.test_widget import Browser

QUESTIONS = (
    {"do": "hello"},
    {"do": "see", "panes": [{"plane": "axial"}]},
    {"do": "probe", "plane": "axial", "index": 0, "point": (5, 5)},
    {"do": "measure", "kind": "ruler", "plane": "axial", "index": 0, "points": [(1, 1), (5, 5)]},
    {"do": "measure", "kind": "region", "plane": "axial", "index": 0, "points": [(1, 1), (9, 9)]},
    {"do": "draw", "kind": "brush", "plane": "axial", "index": 0, "points": [(5, 5)], "value": 1},
    {"do": "act", "what": "save"},
    {"do": "mark", "note": "here"},
    {"do": "unmark", "place": 0},
)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(early, "FEW", 8)


@pytest.fixture
def go(monkeypatch) -> Iterator[threading.Event]:
    """Nothing is read of the headers before it is set."""
    event, read = threading.Event(), ctlab.viewer.read_stack
    monkeypatch.setattr(ctlab.viewer, "read_stack", lambda *given: event.wait(60) and read(*given))
    yield event
    event.set()
    _wait()


def _wait(*names: str) -> None:
    for each in threading.enumerate():
        if each.name in (names or ("ctlab-opening", "ctlab-arriving")):
            each.join(60)


def settled(viewer: Viewer) -> Viewer:
    _wait("ctlab-opening")
    return viewer


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def coronal(slices: list[Dataset]) -> None:
    """The same columns and rows, laid as coronal slices from the front to the back."""
    for index, made in enumerate(slices):
        made.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        made.ImagePositionPatient = [0.0, float(index), 0.0]


@pytest.mark.parametrize("laid", [as_it_is, turned_head_first_prone, from_head_to_feet, coronal])
def test_a_slice_is_shown_as_it_is_shown_when_the_series_is_known(tmp_path, go, laid):
    slices = series()
    laid(slices)
    # From one end to the other, so that the middle by name lies in the middle.
    write_series(tmp_path, slices, [f"IM{index}.dcm" for index in range(len(slices))])
    viewer = ctlab.view(tmp_path, window="bone")
    facts, (first,) = viewer._facts, viewer._first
    assert facts["is"] == "early"
    assert facts["refused"] == ""
    assert facts["text"].startswith("Preliminary: one slice, IM8.dcm,")
    assert "17 files" in facts["text"]
    plane = Plane.CORONAL if laid is coronal else Plane.AXIAL
    assert facts["label"] == f"Preliminary: IM8.dcm, {plane.key}"
    # Neither a number of slices, nor a place, nor anything that could be measured by.
    assert not {"shape", "spacing", "planes", "state", "labels", "about"} & set(facts)

    go.set()
    desk = settled(viewer)._desk
    desk.whole()
    axis = plane.axis
    middle = [8 if each == axis else 0 for each in range(3)]
    known = still(desk.layers, (middle[0], middle[1], middle[2]), Look(viewer.look.window), [plane], early.HIGH)
    assert np.array_equal(pixels(first), pixels(known))
    assert viewer.voxel[axis] == 8


@pytest.mark.parametrize("named", [lambda index: f"I{index * 7 % 17}", lambda _: generate_uid(), lambda index: f"{index:04d}.dcm"])
def test_it_is_replaced_by_what_is_shown_of_a_series_that_is_known(tmp_path, go, named):
    slices = series()
    write_series(tmp_path, slices, [named(index) for index in range(len(slices))])
    viewer = ctlab.view(tmp_path)
    assert viewer._facts["is"] == "early"
    go.set()
    settled(viewer)
    assert viewer._facts["is"] == "hello"
    assert viewer._facts["shape"] == ctlab.load(tmp_path).geometry.shape
    assert [len(each) > 0 for each in viewer._first] == [True, False, False]
    viewer._desk.whole()
    now, known = Browser(viewer), Browser(ctlab.view(ctlab.load(tmp_path)))
    assert viewer.voxel == known.viewer.voxel
    for one, other in zip(now.see(*PLANES), known.see(*PLANES), strict=True):
        assert np.array_equal(one, other)


def test_nothing_can_be_measured_changed_or_kept_before_it_is_known(tmp_path, go):
    viewer = ctlab.view(write_series(tmp_path / "ct", series()), folder=tmp_path / "work")
    browser = Browser(viewer)
    for question in QUESTIONS:
        told = browser.ask(**question)
        assert (told["is"], told["text"]) == ("problem", sentence(viewer._check_open))
        assert "preliminary" in told["text"]
    assert not (tmp_path / "work").exists()
    assert "image/png" not in viewer._repr_mimebundle_()

    go.set()
    settled(viewer)
    assert [browser.ask(**question)["is"] for question in QUESTIONS[1:5]] == ["frame", "probe", "measured", "measured"]
    assert "image/png" in viewer._repr_mimebundle_()


def test_a_cell_that_asks_for_more_waits_for_it(tmp_path, go):
    viewer = ctlab.view(write_series(tmp_path, series()))
    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append((viewer.labels, viewer.voxel)))
    asking.start()
    asking.join(0.2)
    assert not found
    # What takes no series is there at once, and stays.
    viewer.window = "bone"
    go.set()
    asking.join(60)
    x, y, z = ctlab.load(tmp_path).geometry.shape
    assert found == [(None, (x // 2, y // 2, z // 2))]
    assert settled(viewer)._facts["state"]["width"] == 2500


def without_one(slices: list[Dataset]) -> None:
    slices.pop(5)


def two_series(slices: list[Dataset]) -> None:
    other = generate_uid()
    for made in slices[::2]:
        made.SeriesInstanceUID = other


def one_twice(slices: list[Dataset]) -> None:
    slices[3].ImagePositionPatient = slices[4].ImagePositionPatient


def one_beside(slices: list[Dataset]) -> None:
    slices[3].PixelSpacing = [2.0, 2.0]


@pytest.mark.parametrize("wrong", [without_one, two_series, one_twice, one_beside])
def test_headers_that_make_no_stack_are_told_in_its_place_in_the_readers_words(tmp_path, wrong):
    slices = series()
    wrong(slices)
    write_series(tmp_path, slices)
    expected = sentence(lambda: ctlab.load(tmp_path))
    viewer = settled(ctlab.view(tmp_path))
    assert (viewer._facts["is"], viewer._facts["text"], viewer._facts["refused"]) == ("early", "", expected)
    assert viewer._first == []
    assert "image/png" not in viewer._repr_mimebundle_()
    assert Browser(viewer).ask(do="see", panes=[{"plane": "axial"}])["text"] == expected
    for act in (lambda: viewer.labels, viewer.save, lambda: viewer.bookmark("here"), lambda: viewer.voxel):
        assert sentence(act) == expected


def test_labels_of_another_ct_are_told_in_its_place(tmp_path):
    viewer = settled(ctlab.view(write_series(tmp_path, series()), labels=np.zeros((2, 2, 2), np.uint8)))
    assert "no label image" in viewer._facts["refused"]
    with pytest.raises(LabelError):
        viewer.labels  # noqa: B018  (asking is what is tried)


def test_labels_of_this_ct_come_with_it(tmp_path, go):
    write_series(tmp_path, series())
    marks = np.ones(ctlab.load(tmp_path).geometry.shape, np.uint8)
    viewer = ctlab.view(tmp_path, labels=marks)
    assert "labels" not in viewer._facts
    go.set()
    settled(viewer)
    assert viewer.overlay == "labels"
    assert viewer._facts["state"]["rendering"] == "surfaces"


def test_what_nobody_expected_is_told_too(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("of another kind")

    monkeypatch.setattr(ctlab.viewer, "read_stack", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    viewer = settled(ctlab.view(write_series(tmp_path, series())))
    assert "of another kind" in viewer._facts["refused"]


def test_a_series_that_is_read_whole_first_says_why(tmp_path, go):
    slices = series()
    # No air in the slice that lies in the middle; by name another one does.
    slices[8].PixelData = np.maximum(slices[8].pixel_array, 624).tobytes()
    write_series(tmp_path, [*slices[1:9], slices[0], *slices[9:]], [f"{index:02d}.dcm" for index in range(17)])
    viewer = ctlab.view(tmp_path)
    told: list[str] = []
    viewer.observe(lambda change: told.append(change["new"].get("text", "")), "_facts")
    asking = threading.Thread(target=lambda: viewer.labels, daemon=True)
    asking.start()
    asking.join(0.2)
    go.set()
    asking.join(60)
    assert not asking.is_alive()
    settled(viewer)
    assert told[0].endswith("all of it is read before it is shown, because one slice alone doesn't show whether its values are HU.")
    assert told[0].startswith("Preliminary")
    assert all(viewer._first)


def test_a_report_in_the_middle_is_passed_over(tmp_path):
    slices = series()
    slices[8].Modality = "SR"
    write_series(tmp_path, slices, [f"{index:02d}.dcm" for index in range(17)])
    found = find_early(tmp_path, "case")
    assert found is not None
    assert found.file == "06.dcm"


def turned(slices: list[Dataset]) -> None:
    for made in slices:
        made.ImageOrientationPatient = [np.cos(0.2), np.sin(0.2), 0, -np.sin(0.2), np.cos(0.2), 0]


def no_hu(slices: list[Dataset]) -> None:
    for made in slices:
        made.RescaleIntercept = 0


def without_rescale(slices: list[Dataset]) -> None:
    for made in slices:
        del made.RescaleSlope


def without_position(slices: list[Dataset]) -> None:
    for made in slices:
        del made.ImagePositionPatient


@pytest.mark.parametrize("laid", [turned, no_hu, without_rescale, without_position])
def test_a_slice_that_does_not_say_what_is_shown_of_it_is_not_shown(tmp_path, laid):
    slices = series()
    laid(slices)
    write_series(tmp_path, slices)
    assert find_early(tmp_path, "case") is None


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_multi_frame_file_is_no_slice(tmp_path, monkeypatch):
    monkeypatch.setattr(early, "FEW", 0)
    assert find_early(write_multi_frame(tmp_path, series()), "case") is None


def test_of_few_files_the_headers_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(early, "FEW", 17)
    slices = series()
    assert ctlab.view(write_series(tmp_path / "right", slices))._facts["is"] == "hello"
    slices.pop(5)
    with pytest.raises(MissingSliceError):
        ctlab.view(write_series(tmp_path / "wrong", slices))


def test_numbers_in_names_are_in_order():
    names = [Path(each) for each in ("IM10", "IM9", "IM1", "A2", "IM9b", "7")]
    assert [each.name for each in in_order(names)] == ["7", "A2", "IM1", "IM9", "IM9b", "IM10"]


def test_it_speaks_japanese(tmp_path, go, monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")
    viewer = ctlab.view(write_series(tmp_path, series()))
    assert viewer._facts["text"].startswith("暫定表示")
    assert "暫定表示" in viewer._facts["label"]
    assert "暫定表示" in sentence(viewer._check_open)
