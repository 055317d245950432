"""A radiologist's review of a real chest in Chromium, from the first look to the saved correction: by mouse, and by keys alone."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ctlab.readers import load_labels
from ctlab.viewing.planes import Plane, cut
from selenium.webdriver.common.keys import Keys

import phrases
from tests.ctlab.viewing.lab import Reader, reading
from tests.ctlab.viewing.samples import patient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CELL = """
import ctlab
from tests.ctlab.viewing.samples import patient
ct, predicted, truth = patient()
ctlab.view(ct, predicted, compare=truth)
"""
AXIAL, CORONAL, SAGITTAL = 0, 1, 2
LUNG = 1
MM = 2.25


@pytest.fixture
def pictures(request, tmp_path) -> Path:
    """Where screenshots go: the folder that `--pictures` names, else a temporary one."""
    wanted = request.config.getoption("--pictures")
    return Path(wanted).resolve() if wanted else tmp_path / "pictures"


@cache
def wrong() -> np.ndarray:
    """Where prediction and truth differ."""
    _, predicted, truth = patient()
    return predicted.voxels != truth.voxels


def worst() -> int:
    """The axial slice with most of that."""
    return int(wrong().sum(axis=(0, 1)).argmax())


def dice() -> float:
    """Of the lung, by the formula."""
    _, predicted, truth = patient()
    one, other = predicted.voxels == LUNG, truth.voxels == LUNG
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def lung_around(z: int) -> tuple[float, float]:
    """The middle (column, row) of thirteen by thirteen voxels of an axial slice that are all lung."""
    lung = cut(patient()[2].voxels, Plane.AXIAL, z) == LUNG
    rows, columns = np.nonzero(np.lib.stride_tricks.sliding_window_view(lung, (13, 13)).all(axis=(2, 3)))
    return float(columns[0]) + 6, float(rows[0]) + 6


def check_compared(reader: Reader) -> None:
    """The first row is the lung's."""
    row = reader.page.wait(60, "comparison", lambda: reader.page.find(".ctlab-list td:nth-child(5)"))
    assert float(row.text) == pytest.approx(dice(), abs=0.0006)


def check_saved(reader: Reader, corrections: int) -> None:
    """What was corrected is a file of its own beside a record, and differs from what was given where it was corrected alone."""
    reader.page.wait(60, "version", lambda: "chest-001.nii.gz" in reader.said() or None)
    _, predicted, _ = patient()
    saved = load_labels(reader.folder / "labels" / "chest-001.nii.gz")
    changed = saved.voxels != predicted.voxels
    assert changed.any()
    assert np.unique(saved.voxels[changed]).tolist() == [LUNG]
    assert set(np.nonzero(changed)[2].tolist()) == {reader.viewer()["state"]["voxel"][2]}
    record = json.loads((reader.folder / "labels" / "chest-001.json").read_text())
    assert (record["who"], record["based_on"], record["corrections"]) == ("tanaka", "chest", corrections)
    assert record["when"]


def bookmarks(reader: Reader) -> list[dict[str, object]]:
    """What the kernel keeps of this case."""
    path = reader.folder / "bookmarks" / "chest.json"
    return list(json.loads(path.read_text())["places"]) if path.exists() else []


def test_by_mouse(tmp_path, pictures):
    with reading(tmp_path, CELL, pictures, "en") as reader:
        first = reader.rest()["state"]["voxel"]
        reader.wheel(AXIAL, 4)
        assert reader.rest()["state"]["voxel"] == [first[0], first[1], first[2] - 4]
        reader.select("Window", "bone 2500/480")
        reader.drag(AXIAL, (70, 50), (90, 50))
        told = reader.rest()["state"]
        assert told["width"] > 2500
        assert told["level"] == 480
        reader.select("Window", "lung 1500/-600")

        reader.choose_tool("ruler")
        reader.drag(CORONAL, (40, 60), (100, 60))
        assert float(reader.measured()[0].removesuffix(" mm")) == pytest.approx(60 * MM, abs=1.5)
        reader.choose_tool("region")
        column, row = lung_around(first[2] - 4)
        reader.drag(AXIAL, (column - 4, row - 4), (column + 4, row + 4))
        assert -1000 < float(reader.measured()[1].split()[0]) < -600
        reader.shoot("review-measure")

        reader.section("Compare with the truth")
        reader.press("compute")
        check_compared(reader)
        reader.shoot("review-agreement", ".ctlab-viewer details[open]")
        reader.press("worst slice")
        reader.page.wait(20, "worst slice", lambda: reader.viewer()["state"]["voxel"][2] == worst() or None)
        reader.select("Arrangement", "side by side")
        reader.rest()
        reader.shoot("review-compare")
        reader.page.get("ol button").click()
        x, y, z = reader.rest()["state"]["voxel"]
        assert wrong()[x, y, z]

        reader.select("Arrangement", "three planes")
        reader.rest()
        reader.choose_tool("brush")
        column, row = reader.place(AXIAL)
        reader.drag(AXIAL, (column, row), (column + 4, row), (column + 8, row + 2))
        reader.page.wait(20, "stroke", lambda: reader.viewer()["corrections"] == 1 or None)
        reader.press("undo")
        reader.page.wait(20, "stroke taken back", lambda: reader.viewer()["corrections"] == 0 or None)
        reader.press("redo")
        reader.choose_tool("lasso")
        reader.drag(AXIAL, (column, row), (column + 12, row), (column + 12, row + 10), (column, row + 10))
        reader.page.wait(20, "lasso", lambda: reader.viewer()["corrections"] == 2 or None)
        reader.rest()
        reader.shoot("review-correct")
        reader.press("save as a new version")
        check_saved(reader, 2)

        reader.page.get("input[aria-label=note]").send_keys("look again")
        reader.press("set a bookmark here")
        reader.page.wait(20, "bookmark", lambda: [each["note"] for each in bookmarks(reader)] == ["look again"] or None)
        reader.wheel(AXIAL, -7)
        assert reader.rest()["state"]["voxel"] == [x, y, z + 7]
        reader.press("look again")
        assert reader.rest()["state"]["voxel"] == [x, y, z]
        reader.shoot("review-kept", ".ctlab-lists")


def test_by_keys_alone(tmp_path, pictures):
    said = phrases.translator("ja")
    with reading(tmp_path, CELL, pictures, "ja") as reader:
        x, y, _ = reader.rest()["state"]["voxel"]
        depth = patient()[0].geometry.shape[2]
        reader.keys(AXIAL, Keys.HOME, *[Keys.PAGE_DOWN] * 5, *[Keys.ARROW_DOWN] * 3, Keys.ARROW_UP)
        assert reader.rest()["state"]["voxel"] == [x, y, depth - 1 - 52]
        reader.type("7", Keys.SHIFT, Keys.ARROW_RIGHT, Keys.NULL)
        told = reader.rest()["state"]
        assert told["width"] == pytest.approx(1.1 * 350, abs=1)
        assert told["level"] == 40
        reader.type("2", "r", Keys.ENTER)
        reader.type(Keys.ALT, *[Keys.ARROW_RIGHT] * 8, Keys.NULL)
        reader.type(Keys.ENTER)
        assert reader.measured() == [f"{8 * MM:.1f} mm"]
        reader.shoot("review-measure")

        reader.tab_to(said("Compare with the truth"))
        reader.type(Keys.ENTER)
        reader.tab_to(said("compute"))
        reader.type(Keys.ENTER)
        check_compared(reader)
        reader.tab_to(said("worst slice"))
        reader.type(Keys.ENTER)
        reader.page.wait(60, "worst slice", lambda: reader.viewer()["state"]["voxel"][2] == worst() or None)
        reader.tab_to(r".* ml")
        reader.type(Keys.ENTER)
        x, y, z = reader.rest()["state"]["voxel"]
        assert wrong()[x, y, z]
        reader.shoot("review-compare")

        reader.tab_to(said("axial") + ".*", backwards=True)
        reader.type("b", Keys.ENTER)
        reader.page.wait(20, "stroke", lambda: reader.viewer()["corrections"] == 1 or None)
        reader.type(Keys.CONTROL, "z", Keys.NULL)
        reader.page.wait(20, "stroke taken back", lambda: reader.viewer()["corrections"] == 0 or None)
        reader.type(Keys.CONTROL, "y", Keys.NULL)
        reader.page.wait(20, "stroke again", lambda: reader.viewer()["corrections"] == 1 or None)
        reader.shoot("review-correct")
        reader.tab_to(said("Correct"))
        reader.type(Keys.ENTER)
        reader.tab_to(said("save as a new version"))
        reader.type(Keys.ENTER)
        check_saved(reader, 1)

        reader.tab_to(said("Bookmarks"))
        reader.type(Keys.ENTER)
        reader.tab_to(said("note"))
        reader.type("見直す")
        reader.tab_to(said("set a bookmark here"))
        reader.type(Keys.ENTER)
        reader.page.wait(20, "bookmark", lambda: [each["note"] for each in bookmarks(reader)] == ["見直す"] or None)
        reader.tab_to(said("axial") + ".*", backwards=True)
        reader.type(Keys.END)
        assert reader.rest()["state"]["voxel"] == [x, y, 0]
        reader.tab_to("見直す")
        reader.type(Keys.ENTER)
        assert reader.rest()["state"]["voxel"] == [x, y, z]
        reader.shoot("review-kept", ".ctlab-lists")
