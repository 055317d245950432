"""The viewer as a notebook's cells use it, and as a browser asks it."""

from __future__ import annotations

import io
import json
from typing import Any

import ctlab
import ipywidgets as widgets
import numpy as np
import pytest
from ctlab.errors import CtlabError, LabelError, UnreadableError
from ctlab.geometry import Geometry
from ctlab.readers import load_labels
from ctlab.viewing import words
from ctlab.viewing.pictures import Layers, Look, Overlay, picture
from ctlab.viewing.planes import PLANES, Plane
from ctlab.viewing.solid import PIXELS, PIXELS_MOVING, Rendering, Solid
from ctlab.viewing.turning import Side
from ctlab.viewing.widget import Viewer
from ctlab.viewing.windows import WINDOWS
from ctlab.volume import Labels, Volume
from PIL import Image
from traitlets import TraitError

from tests.ctlab.samples import chest, write_case
from tests.ctlab.viewing.samples import SHAPE, body, boxes, grid, labelled

LIVER = labelled((slice(10, 20), slice(10, 20), slice(5, 15)))
TRUTH = labelled((slice(12, 22), slice(10, 20), slice(5, 15)))


class Browser:
    """The other end of a viewer's messages."""

    def __init__(self, viewer: Viewer, name: str = "one") -> None:
        self.viewer, self.name = viewer, name
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        viewer.send = lambda content, buffers=None: self.heard.append((content, buffers or []))

    def ask(self, **message: Any) -> dict[str, Any]:
        """Asks; the last that was heard."""
        self.viewer._handle_custom_msg({"view": self.name, "number": 7, **message}, [])
        return self.heard[-1][0]

    def see(self, *planes: str, exact: bool = True, **state: Any) -> list[np.ndarray]:
        """The pictures of some planes."""
        told = self.ask(do="see", panes=[{"plane": each} for each in planes], exact=exact, state=state)
        assert told["is"] == "frame"
        assert [each["plane"] for each in told["panes"]] == list(planes)
        return [np.asarray(Image.open(io.BytesIO(each))) for each in self.heard[-1][1]]


def shown(viewer: Viewer, plane: Plane, look: Look) -> np.ndarray:
    """What the pure functions say that is to be seen."""
    layers = Layers(body(), LIVER.voxels, TRUTH.voxels)
    pixels = picture(layers, plane, viewer.voxel[plane.axis], look)
    return pixels if pixels.ndim == 2 else pixels[..., :3]


def test_it_opens_where_most_of_the_truth_is():
    viewer = ctlab.view(body(), LIVER, compare=labelled((slice(3, 5), slice(20, 24), slice(2, 3))))
    assert viewer.voxel[2] == 2
    assert viewer.voxel[0] in (3, 4)
    assert ctlab.view(body()).voxel == (20, 15, 10)


def test_a_browser_gets_exactly_the_pictures_of_the_three_planes():
    viewer = ctlab.view(body(), LIVER, compare=TRUTH, window="bone")
    found = Browser(viewer).see("axial", "coronal", "sagittal")
    for plane, pixels in zip(PLANES.values(), found, strict=True):
        assert np.array_equal(pixels, shown(viewer, plane, Look(WINDOWS["bone"], overlay=Overlay.BOTH)))


def test_what_the_browser_changes_is_in_the_traits_and_in_the_next_picture():
    viewer = ctlab.view(body(), LIVER, compare=TRUTH)
    pixels = Browser(viewer).see(
        "axial", voxel=[30, 20, 7], width=350, level=50, overlay="differences", outline=True, inverted=True, opacity=0.7
    )
    assert (viewer.voxel, viewer.width, viewer.level, viewer.window) == ((30, 20, 7), 350, 50, "mediastinum")
    look = Look(WINDOWS["mediastinum"], inverted=True, overlay=Overlay.DIFFERENCES, outline=True, opacity=0.7)
    assert np.array_equal(pixels[0], shown(viewer, Plane.AXIAL, look))


def test_while_something_moves_pictures_are_lossy_and_exact_at_rest():
    browser = Browser(ctlab.view(chest().ct, chest().labels))
    browser.see("axial", exact=False)
    assert browser.heard[-1][0]["type"] == "image/jpeg"
    browser.see("axial")
    assert browser.heard[-1][0]["type"] == "image/png"


def test_the_body_is_turned_by_the_browser_and_seen_in_the_traits():
    viewer = ctlab.view(body(), LIVER)
    browser = Browser(viewer)
    assert viewer.rendering == "surfaces"
    (from_the_front,) = browser.see("3d", arrangement="3d")
    (turned,) = browser.see("3d", azimuth=400.5, elevation=-100)
    assert (viewer.arrangement, viewer.azimuth, viewer.elevation) == ("3d", 40.5, -90)
    wanted = Solid().picture(
        Layers(body(), LIVER.voxels), Side(40.5, -90), Rendering.SURFACES, Look(overlay=Overlay.LABELS), exact=True
    )
    assert np.array_equal(turned, wanted[..., :3])
    assert not np.array_equal(turned, from_the_front)
    assert browser.see("3d", hidden=[1])[0].max() == 0
    (highest,) = browser.see("3d", rendering="maximum", width=2000, level=0)
    assert highest.max() == 242
    assert highest.min() == 0


def test_pictures_of_the_body_are_counted_and_small_while_it_is_turned():
    viewer = ctlab.view(body(), LIVER)
    browser = Browser(viewer)
    (moving,) = browser.see("3d", exact=False, azimuth=20)
    (still,) = browser.see("3d")
    assert (len(moving), len(still)) == (PIXELS_MOVING, PIXELS)
    stats = viewer.stats()
    assert (stats.frames, stats.exact_frames, stats.pictures) == (2, 1, 2)
    assert stats.bytes == sum(len(each) for _, buffers in browser.heard for each in buffers)


def test_without_labels_the_maximum_is_shown_first():
    assert ctlab.view(body()).rendering == "maximum"


def test_what_lies_beyond_the_volume_or_beyond_sense_becomes_the_nearest_that_does_not():
    viewer = ctlab.view(body())
    Browser(viewer).see("axial", voxel=[-3, 99, 5], width=-20, level=1e9, overlay="truth", opacity=7, slab_mm=1e9)
    assert viewer.voxel == (0, 29, 5)
    assert (viewer.width, viewer.level, viewer.opacity, viewer.overlay) == (1, 8192, 1, Overlay.NONE)


@pytest.mark.parametrize(
    "message",
    [
        {"do": "see", "panes": []},
        {"do": "see", "panes": [{"plane": "oblique"}]},
        {"do": "see", "panes": [{"plane": "3d"}], "state": {"azimuth": "0"}},
        {"do": "see", "panes": [{"plane": "3d"}], "state": {"rendering": "skin"}},
        {"do": "probe", "plane": "3d", "index": 0, "point": [1, 1]},
        {"do": "see", "panes": [{"plane": "axial"}], "state": {"voxel": [1, 2]}},
        {"do": "see", "panes": [{"plane": "axial"}], "state": {"_model_name": "x"}},
        {"do": "draw", "kind": "brush", "plane": "axial", "index": 1, "points": [[1, 1]] * 5001, "value": 1},
        {"do": "draw", "kind": "brush", "plane": "axial", "index": 1, "points": [[1, 1]], "value": 256},
        {"do": "mark", "note": "x" * 501},
        {"do": "eval"},
        "hello",
    ],
)
def test_what_is_no_question_is_not_answered_and_changes_nothing(message):
    viewer = ctlab.view(body(), LIVER)
    browser, before = Browser(viewer), viewer.state
    viewer._handle_custom_msg({"view": "one", **message} if isinstance(message, dict) else message, [])
    assert browser.heard == []
    assert viewer.state == before


def test_a_cell_moves_it_and_the_browser_hears_of_it():
    viewer = ctlab.view(body(), LIVER)
    browser = Browser(viewer)
    browser.ask(do="hello")
    viewer.voxel = (1, 2, 3)
    told = browser.heard[-1][0]
    assert (told["is"], told["state"]["voxel"]) == ("state", (1, 2, 3))
    viewer.window = "bone"
    assert (browser.heard[-1][0]["state"]["width"], browser.heard[-1][0]["state"]["level"]) == (2500, 480)


def test_a_view_is_not_told_what_it_said_itself_and_another_one_is():
    viewer = ctlab.view(body(), LIVER)
    browser = Browser(viewer)
    browser.ask(do="hello")
    browser.see("axial", voxel=[1, 2, 3])
    assert [told["is"] for told, _ in browser.heard] == ["hello", "frame"]
    browser.ask(do="hello", view="two")
    browser.see("axial", voxel=[1, 2, 4])
    told = [told for told, _ in browser.heard if told["is"] == "state"]
    assert [(each["but"], each["state"]["voxel"]) for each in told] == [("one", (1, 2, 4))]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("voxel", (40, 0, 0), "There is no voxel"),
        ("voxel", (0, 0, -1), "There is no voxel"),
        ("overlay", "truth", "There is no truth to lay over this CT. Choose one of: none, labels."),
        ("hidden", (0,), "whole number from 1 to 255"),
        ("window", "skin", "window"),
        ("plane", "oblique", "plane"),
    ],
)
def test_what_does_not_exist_is_refused_and_nothing_changes(name, value, said):
    viewer = ctlab.view(body(), LIVER)
    before = getattr(viewer, name)
    with pytest.raises(TraitError, match=said):
        setattr(viewer, name, value)
    assert getattr(viewer, name) == before


def test_a_window_of_ones_own_has_no_presets_name():
    viewer = ctlab.view(body(), window="bone")
    viewer.level = 300
    assert (viewer.window, viewer.width, viewer.level) == ("", 2500, 300)
    viewer.window = "bone"
    assert viewer.level == 480


def test_hu_place_and_labels_under_the_cursor():
    viewer = ctlab.view(body(), LIVER, compare=TRUTH)
    told = Browser(viewer).ask(do="probe", plane="axial", index=10, point=[39 - 15, 29 - 12])
    assert (told["voxel"], told["hu"]) == ((15, 12, 10), -1000)
    assert told["text"] == "-1000 HU · R 30.0 A 18.0 H 50.0 mm · liver · truth: liver"
    assert Browser(viewer).ask(do="probe", plane="axial", index=10, point=[-5, 3])["text"] == ""


def test_rulers_angles_and_regions_are_told_in_millimetres_and_hu():
    browser = Browser(ctlab.view(body()))
    where = {"plane": "coronal", "index": 15}
    assert browser.ask(do="measure", kind="ruler", points=[[0, 0], [3, 0]], **where)["text"] == "6.0 mm"
    assert browser.ask(do="measure", kind="ruler", points=[[0, 0], [0, 3]], **where)["text"] == "15.0 mm"
    assert browser.ask(do="measure", kind="angle", points=[[3, 0], [0, 0], [0, 2]], **where)["text"] == "90.0°"
    told = browser.ask(do="measure", kind="region", points=[[1, 5], [6, 9]], **where)
    assert told["region"]["mean"] == -1000
    assert told["text"].startswith("-1000.0 ± 0.0 HU")
    assert "different points" in browser.ask(do="measure", kind="angle", points=[[3, 0], [3, 0], [0, 2]], **where)["text"]


def test_a_correction_shows_can_be_taken_back_and_is_saved_as_a_version(tmp_path):
    given = LIVER.voxels.copy()
    viewer = ctlab.view(body(), LIVER, folder=tmp_path)
    browser = Browser(viewer)
    before = browser.see("axial", voxel=[5, 5, 10])[0]
    stroke = {"do": "draw", "kind": "brush", "plane": "axial", "index": 10, "points": [[5, 5]], "value": 1, "radius_mm": 6}
    assert browser.ask(**stroke)["changed"] > 20
    assert not np.array_equal(browser.see("axial")[0], before)
    browser.ask(do="act", what="undo")
    assert np.array_equal(browser.see("axial")[0], before)
    assert "Nothing was corrected" in browser.ask(do="act", what="save")["text"]
    browser.ask(do="act", what="redo")
    told = browser.ask(do="act", what="save")
    assert told["text"] == f"Saved as version 1: {tmp_path}/labels/body-001.nii.gz"
    saved = load_labels(tmp_path / "labels" / "body-001.nii.gz")
    assert viewer.labels is not None
    assert np.array_equal(saved.voxels, viewer.labels.voxels)
    assert np.array_equal(LIVER.voxels, given)


def test_labels_can_be_drawn_where_there_were_none():
    viewer = ctlab.view(body())
    browser = Browser(viewer)
    told = browser.ask(do="draw", kind="lasso", plane="sagittal", index=4, points=[[2, 2], [9, 2], [9, 9]], value=3)
    assert told["overlays"] == ["none", "labels"]
    assert viewer.overlay == Overlay.LABELS
    assert viewer.labels is not None
    assert viewer.labels.values() == (3,)


def test_a_cell_fills_between_the_slices_that_have_a_label():
    voxels = LIVER.voxels.copy()
    voxels[:, :, 8:12] = 0
    viewer = ctlab.view(body(), Labels(voxels, LIVER.geometry, LIVER.name, LIVER.names))
    assert viewer.fill_between(1) == 10 * 10 * 4
    assert viewer.labels is not None
    assert np.array_equal(viewer.labels.voxels, LIVER.voxels)
    assert Browser(viewer).ask(do="act", what="undo")["changed"]
    assert np.array_equal(viewer.labels.voxels, voxels)


def test_a_comparison_names_each_label_and_the_largest_mistakes():
    browser = Browser(ctlab.view(body(), LIVER, compare=TRUTH))
    told = browser.ask(do="act", what="compare")
    (row,) = told["agreements"]
    assert (row["name"], row["dice"], row["hd95_mm"]) == ("liver", 0.8, 4.0)
    assert [each["name"] for each in told["mistakes"]] == ["only predicted", "only in the truth"]
    assert browser.ask(do="act", what="worst", plane="sagittal")["index"] in (10, 11, 20, 21)
    (label,) = browser.ask(do="act", what="volumes")["labels"]
    assert (label["ml"], label["truth_ml"]) == pytest.approx((15, 15))


def test_bookmarks_are_kept_for_the_next_time(tmp_path):
    browser = Browser(ctlab.view(body(), LIVER, folder=tmp_path))
    browser.see("axial", voxel=[1, 2, 3], width=80, level=40)
    browser.ask(do="mark", note="結節")
    browser.ask(do="mark", note="later")
    browser.ask(do="unmark", place=1)
    (place,) = Browser(ctlab.view(body(), folder=tmp_path)).ask(do="hello")["bookmarks"]
    assert (list(place["voxel"]), place["width"], place["note"]) == ([1, 2, 3], 80, "結節")


def test_a_cell_s_bookmark_joins_those_that_are_there(tmp_path):
    Browser(ctlab.view(body(), LIVER, folder=tmp_path)).ask(do="mark", note="first")
    viewer = ctlab.view(body(), LIVER, folder=tmp_path)
    viewer.voxel = (4, 5, 6)
    assert viewer.bookmark("second").voxel == (4, 5, 6)
    found = Browser(ctlab.view(body(), folder=tmp_path)).ask(do="hello")["bookmarks"]
    assert [each["note"] for each in found] == ["first", "second"]


def test_statistics_count_what_was_sent():
    viewer = ctlab.view(body(), LIVER)
    browser = Browser(viewer)
    browser.see("axial", "coronal", exact=False)
    browser.ask(do="see", panes=[{"plane": "axial"}], exact=True, took_ms=400.0)
    found = viewer.stats()
    assert (found.frames, found.exact_frames, found.pictures) == (2, 1, 3)
    assert found.bytes == sum(len(each) for _, buffers in browser.heard for each in buffers)
    assert (found.seen_ms, found.quality) == (400, 50)
    assert found.kernel_ms > 0


def test_an_oblique_scan_is_shown_upright_and_its_labels_are_not_corrected():
    angle = np.radians(20)
    affine = np.array(grid().affine)
    affine[:3, :3] = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ affine[:3, :3]
    turned = Geometry(SHAPE, affine)
    browser = Browser(ctlab.view(Volume(body().voxels, turned, "turned"), Labels(LIVER.voxels, turned, "turned")))
    told = browser.ask(do="hello")
    assert not told["correctable"]
    assert "turned by 20°" in " ".join(told["about"])
    assert told["shape"] != SHAPE
    said = browser.ask(do="draw", kind="brush", plane="axial", index=1, points=[[1, 1]], value=1)
    assert said["is"] == "problem"
    assert "can't be corrected here" in said["text"]


def test_a_saved_notebook_keeps_a_picture_unless_the_site_says_otherwise(monkeypatch):
    viewer = ctlab.view(chest().ct, chest().labels)
    bundle = viewer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert Image.open(io.BytesIO(bundle["image/png"])).height == 320
    monkeypatch.setenv("CTLAB_STILL_PICTURES", "none")
    assert "image/png" not in viewer._repr_mimebundle_()


def test_the_first_pictures_come_with_the_widget_and_nothing_else_of_the_images():
    viewer = ctlab.view(body(), LIVER, compare=TRUTH)
    own = {name for name in viewer.keys if not name.startswith("_")} - set(widgets.DOMWidget().keys)
    assert own == set()
    state = viewer.get_state()
    for plane, sent in zip(Plane, state["_first"], strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(sent)))
        assert np.array_equal(pixels, shown(viewer, plane, Look(WINDOWS["lung"], overlay=Overlay.BOTH)))
    assert len(json.dumps(state["_facts"])) < 20_000


def test_it_takes_no_name_that_ipywidgets_uses():
    own = {name for name in vars(Viewer) if not name.startswith("__")}
    assert {"voxel", "plane", "labels"} <= own
    assert {name for name in own if hasattr(widgets.DOMWidget, name)} <= {
        "_repr_mimebundle_", "_trait_default_generators", "_all_trait_default_generators", "_static_immutable_initial_values",
        "_instance_inits", "_descriptors", "_traits", "_model_name", "_view_name", "_model_module", "_view_module",
        "_model_module_version", "_view_module_version",
    }  # fmt: skip


def test_paths_are_opened(tmp_path):
    case = write_case(tmp_path / "case")
    viewer = ctlab.view(case / "ct.nii.gz", case / "label.nii.gz")
    assert viewer.overlay == Overlay.LABELS


@pytest.mark.parametrize(
    ("ct", "labels", "error", "said"),
    [
        (np.zeros(SHAPE, np.int16), None, UnreadableError, "A ndarray can't be shown"),
        (Volume(np.zeros((0, 3, 3), np.int16), grid((0, 3, 3)), "none"), None, UnreadableError, "the volume is empty"),
        (body(), np.zeros(SHAPE, np.float32), LabelError, "float32 (40, 30, 20) is no label image"),
        (body(), boxes(shape=(40, 30, 21)), LabelError, "uint8 (40, 30, 21) is no label image"),
        (body(), Labels(boxes(), Geometry(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0])), "other"), LabelError, "beside the CT"),
    ],
)
def test_what_can_not_be_shown_is_said_in_a_sentence(ct, labels, error, said):
    with pytest.raises(error) as caught:
        ctlab.view(ct, labels)
    assert said in str(caught.value)
    assert isinstance(caught.value, CtlabError)


def test_an_array_of_the_cts_shape_will_do_as_labels():
    assert ctlab.view(body(), boxes((slice(1, 3), slice(1, 3), slice(1, 3)))).overlay == Overlay.LABELS


def test_an_unknown_window_is_refused():
    with pytest.raises(ValueError, match="There is no window skin"):
        ctlab.view(body(), window="skin")


def test_controls_speak_japanese(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")
    told = Browser(ctlab.view(body(), LIVER)).ask(do="hello")
    spoken = [text for group in told["words"].values() for text in group.values()]
    assert len(spoken) == sum(map(len, (words.PLANES, words.SEEN_FROM, words.WINDOWS, words.OVERLAYS, words.CONTROLS, words.KEYS)))
    assert not any(text.isascii() for text in spoken)
    assert told["words"]["controls"]["slice"] == "{plane}、{count} 枚中 {slice} 枚目"
