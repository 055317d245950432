"""What is written: versions of labels, and bookmarks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ctlab.readers import load_labels
from ctlab.viewing import bookmarks
from ctlab.viewing.bookmarks import Bookmark, BookmarkError
from ctlab.viewing.versions import SaveError, safe_name, save_version, versions

from tests.ctlab.viewing.samples import SHAPE, labelled

LIVER = labelled((slice(3, 9), slice(3, 9), slice(3, 9)))
HEAD = '{"case": "body", "shape": [40, 30, 20], "places": ['
PLACE = Bookmark(
    voxel=(3, 4, 5), plane="coronal", width=400.0, level=40.0, note="左肺の結節？", who="suzuki", when="2026-11-29T15:00:00+00:00"
)


def test_each_save_is_a_version_of_its_own_with_who_and_when(tmp_path, monkeypatch):
    monkeypatch.setenv("CTLAB_PERSON", "tanaka")
    first, path = save_version(tmp_path / "labels", LIVER, based_on="truth", corrections=3)
    second, other = save_version(tmp_path / "labels", LIVER, based_on="truth", corrections=4)
    assert (first.number, first.who, first.corrections, path.name) == (1, "tanaka", 3, "body-001.nii.gz")
    assert (second.number, other.name) == (2, "body-002.nii.gz")
    assert versions(tmp_path / "labels", "body") == [first, second]
    saved = load_labels(path)
    assert np.array_equal(saved.voxels, LIVER.voxels)
    assert saved.geometry.fits(LIVER.geometry)
    assert json.loads((tmp_path / "labels" / "body-001.json").read_text())["names"] == {"1": "liver"}


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    (tmp_path / "body-001.nii.gz").write_bytes(b"somebody's truth")
    version, path = save_version(tmp_path, LIVER, based_on="truth", corrections=1)
    assert (version.number, path.name) == (2, "body-002.nii.gz")
    assert (tmp_path / "body-001.nii.gz").read_bytes() == b"somebody's truth"


def test_a_folder_that_can_not_be_written_is_said_and_leaves_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SaveError, match="still in this viewer"):
        save_version(blocked, LIVER, based_on="truth", corrections=1)


def test_a_record_that_is_none_is_left_out(tmp_path):
    (tmp_path / "body-007.json").write_text("{")
    version, _ = save_version(tmp_path, LIVER, based_on="truth", corrections=1)
    assert [each.number for each in versions(tmp_path, "body")] == [version.number] == [8]


@pytest.mark.parametrize(("case", "stem"), [("肺 1/2", "肺_1_2"), ("../../etc", "_.._etc"), ("", "case"), ("a" * 300, "a" * 80)])
def test_a_case_name_never_leads_out_of_the_folder(case, stem):
    assert safe_name(case) == stem


def test_bookmarks_come_back_as_they_were(tmp_path):
    path = bookmarks.write(tmp_path / "marks" / "body.json", "body", SHAPE, [PLACE])
    assert bookmarks.read(path, SHAPE) == [PLACE]
    assert bookmarks.read(tmp_path / "none.json", SHAPE) == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        HEAD + '{"voxel": [1, 2, -3], "plane": "axial", "width": 1, "level": 1, "note": ""}]}',
        HEAD + '{"voxel": [1, 2, 3], "plane": "axial", "width": "x", "level": 1, "note": ""}]}',
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / "body.json"
    path.write_text(text)
    with pytest.raises(BookmarkError, match="holds no bookmarks"):
        bookmarks.read(path, SHAPE)


@pytest.mark.parametrize(
    ("voxel", "plane", "shape"), [((39, 29, 20), "axial", SHAPE), ((1, 1, 1), "front", SHAPE), ((1, 1, 1), "axial", (40, 30, 21))]
)
def test_bookmarks_of_another_ct_are_refused(tmp_path, voxel, plane, shape):
    place = Bookmark(voxel=voxel, plane=plane, width=1.0, level=1.0, note="")
    path = bookmarks.write(tmp_path / "body.json", "body", shape, [place])
    with pytest.raises(BookmarkError, match="another CT"):
        bookmarks.read(path, SHAPE)
