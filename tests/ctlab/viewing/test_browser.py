"""A radiologist's review of a case in Chromium, behind a session's doorway: by mouse, and again by keys alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from axe_core_python.selenium import Axe
from ctlab.readers import load_labels
from ctlab.viewing.pictures import Layers, Look, Overlay, picture
from ctlab.viewing.planes import PLANES, Plane, place_of
from ctlab.viewing.solid import PIXELS, Rendering, Solid
from ctlab.viewing.turning import Side
from ctlab.viewing.windows import WINDOWS, Window
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.ctlab.viewing.lab import Reader, reading
from tests.ctlab.viewing.samples import FRONT, HEAD, HU, RIGHT, SHAPE, body, labelled
from tests.e2e.axe import RULES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LIVER = (slice(10, 20), slice(10, 20), slice(5, 15))
TRUTH = (slice(12, 22), slice(10, 20), slice(5, 15))
CELL = f"""
import ctlab
from tests.ctlab.viewing.samples import body, labelled
viewer = ctlab.view(body(), labelled({LIVER!r}), compare=labelled({TRUTH!r}))
viewer
"""
AXIAL, CORONAL, SAGITTAL = 0, 1, 2


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Iterator[Reader]:
    """The notebook open, its cell run."""
    folder = tmp_path_factory.mktemp("viewer")
    with reading(folder, CELL, folder / "pictures") as reader:
        yield reader


@pytest.fixture
def reader(session) -> Reader:
    """The same, as it was when it was opened."""
    session.begin(voxel=[15, 15, 10])
    return session


def expected(plane: Plane, voxel: tuple[int, int, int], look: Look) -> np.ndarray:
    pixels = picture(Layers(body(), labelled(LIVER).voxels, labelled(TRUTH).voxels), plane, voxel[plane.axis], look)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def violations(reader: Reader) -> dict[str, list[str]]:
    """What axe finds wrong in the viewer: rule to places. In sections that are open: the closed ones' text lies over anything."""
    reader.unfold()
    found = Axe().run(reader.driver, context=".ctlab-viewer", options=RULES)
    return {each["id"]: [node["html"][:200] for node in each["nodes"]] for each in found["violations"]}


def test_each_pane_shows_the_exact_picture_of_its_slice(reader):
    reader.set(voxel=[RIGHT[0], FRONT[1], HEAD[2]], width=2500, level=480, overlay="both")
    for number, plane in enumerate(Plane):
        wanted = expected(plane, (RIGHT[0], FRONT[1], HEAD[2]), Look(WINDOWS["bone"], overlay=Overlay.BOTH))
        assert np.array_equal(reader.picture(number), wanted[..., :3])


def test_right_front_and_head_are_on_their_sides_of_the_screen(reader):
    reader.set(width=1000, level=500, overlay="none")
    marks = (
        (AXIAL, RIGHT, (-1, 0)),
        (AXIAL, FRONT, (0, -1)),
        (CORONAL, RIGHT, (-1, 0)),
        (CORONAL, HEAD, (0, -1)),
        (SAGITTAL, FRONT, (-1, 0)),
    )
    for number, mark, toward in marks:
        reader.set(voxel=list(mark))
        place = place_of(mark, SHAPE, list(Plane)[number])
        x, y = reader.screen(number, *place)
        assert x * toward[0] + y * toward[1] > 20
        assert reader.pixels(number, place)[0][0] > HU[mark] * 255 / 1000 / 2


def test_a_millimetre_is_as_long_across_as_down(reader):
    for number, plane in enumerate(Plane):
        across, down = plane.inside
        spacing = body().geometry.spacing
        (x0, y0), (x1, y1) = reader.screen(number, 0, 0), reader.screen(number, 10, 10)
        assert (x1 - x0) / (10 * spacing[across]) == pytest.approx((y1 - y0) / (10 * spacing[down]), rel=1e-6)


def test_the_wheel_goes_towards_the_feet_and_back(reader):
    reader.wheel(AXIAL, 3)
    assert reader.rest()["state"]["voxel"] == [15, 15, 7]
    reader.wheel(AXIAL, -1)
    reader.wheel(SAGITTAL, 2)
    told = reader.rest()
    assert told["state"]["voxel"] == [13, 15, 8]
    assert [each["shown"] for each in told["panes"]] == [8, 15, 13]


def test_a_click_moves_the_crosshair_of_all_planes_to_its_voxel(reader):
    reader.click(AXIAL, place_of((30, 7, 10), SHAPE, Plane.AXIAL))
    assert reader.rest()["state"]["voxel"] == [30, 7, 10]
    reader.click(CORONAL, place_of((30, 7, 3), SHAPE, Plane.CORONAL))
    assert reader.rest()["state"]["voxel"] == [30, 7, 3]


def test_dragging_changes_the_window_and_the_kernel_hears_of_it(reader):
    reader.drag(AXIAL, (10, 10), (20, 10))
    told = reader.rest()["state"]
    assert told["width"] > 1500
    assert told["level"] == -600
    pixels = reader.picture(AXIAL)
    wanted = expected(Plane.AXIAL, (15, 15, 10), Look(Window(told["width"], -600), overlay=Overlay.BOTH))
    assert np.array_equal(pixels, wanted[..., :3])


def test_hu_under_the_cursor_are_those_of_the_voxel(reader):
    reader.set(voxel=list(RIGHT))
    reader.hover(AXIAL, place_of(RIGHT, SHAPE, Plane.AXIAL))
    reader.page.wait(20, "HU", lambda: reader.said().startswith(f"{HU[RIGHT]} HU · R 72.0 A 22.5 H 50.0 mm") or None)


def test_measuring_by_mouse_gives_millimetres_and_hu(reader):
    reader.choose_tool("ruler")
    reader.drag(CORONAL, (5, 5), (15, 5))
    assert float(reader.measured()[0].removesuffix(" mm")) == pytest.approx(20, abs=0.3)
    reader.choose_tool("angle")
    for place in ((20, 5), (10, 5), (10, 9)):
        reader.click(CORONAL, place)
    assert float(reader.measured()[1].removesuffix("°")) == pytest.approx(90, abs=1)
    reader.choose_tool("region")
    reader.drag(AXIAL, (2, 2), (8, 8))
    assert reader.measured()[2].startswith("-1000.0 ± 0.0 HU")


def test_a_correction_by_mouse_is_drawn_taken_back_and_saved(reader):
    reader.set(overlay="labels", opacity=1)
    reader.choose_tool("brush")
    before = reader.picture(AXIAL)
    place = place_of((33, 5, 10), SHAPE, Plane.AXIAL)
    reader.drag(AXIAL, place, (place[0] + 3, place[1]))
    reader.page.wait(20, "drawn label", lambda: not np.array_equal(reader.picture(AXIAL), before) or None)
    reader.press("undo")
    reader.page.wait(20, "label taken back", lambda: np.array_equal(reader.picture(AXIAL), before) or None)
    reader.press("redo")
    reader.press("save as a new version")
    reader.page.wait(20, "version", lambda: "Saved as version" in reader.said() or None)
    saved = load_labels(max((reader.folder / "labels").glob("body-*.nii.gz")))
    for x in (30, 31, 32, 33):
        assert saved.voxels[x, 5, 10] == 1
    outside = saved.voxels != labelled(LIVER).voxels
    assert set(np.nonzero(outside)[2].tolist()) == {10}
    (record,) = (json.loads(path.read_text()) for path in (reader.folder / "labels").glob("body-001.json"))
    assert (record["who"], record["based_on"], record["corrections"]) == ("tanaka", "body", 1)


def test_comparing_tells_how_wrong_and_leads_to_it(reader):
    reader.select("Arrangement", "side by side")
    told = reader.rest()
    assert [each["title"] for each in told["panes"]] == ["axial · prediction", "axial · truth", "axial · differences"]
    reader.press("compute")
    row = reader.page.wait(20, "comparison", lambda: reader.page.find(".ctlab-list td:nth-child(5)"))
    assert float(row.text) > 0.7
    reader.page.find("ol button").click()
    x, y, z = reader.rest()["state"]["voxel"]
    assert (labelled(LIVER).voxels[x, y, z] != labelled(TRUTH).voxels[x, y, z]) or x > 29


def test_the_whole_review_by_keys_alone(reader):
    reader.keys(AXIAL, Keys.HOME, Keys.PAGE_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert reader.rest()["state"]["voxel"] == [15, 15, 8]
    reader.keys(AXIAL, "4", "i", "o")
    told = reader.rest()["state"]
    assert (told["width"], told["level"], told["inverted"], told["outline"]) == (2500, 480, True, True)
    reader.keys(AXIAL, Keys.SPACE, "h")
    assert reader.rest()["state"]["overlay"] == "none"
    reader.keys(AXIAL, "h", "r", Keys.ENTER)
    reader.keys(AXIAL, *[Keys.ALT + Keys.ARROW_RIGHT + Keys.NULL] * 5, Keys.ENTER)
    assert reader.measured() == ["10.0 mm"]
    reader.keys(AXIAL, "b", Keys.ENTER)
    reader.page.wait(20, "drawn label", lambda: reader.labels_changed() or None)
    reader.keys(AXIAL, Keys.CONTROL + "z" + Keys.NULL)
    reader.page.wait(20, "label taken back", lambda: (not reader.labels_changed()) or None)
    marks = len(reader.driver.find_elements(By.CSS_SELECTOR, ".ctlab-list li button[aria-label]"))
    reader.keys(AXIAL, "m")
    reader.page.wait(20, "bookmark", lambda: len(reader.bookmarks()) == marks + 1 or None)
    assert reader.bookmarks()[-1]["voxel"] == reader.viewer()["state"]["voxel"]


def test_the_body_is_turned_by_mouse(reader):
    reader.select("Arrangement", "3-D")
    reader.set(overlay="truth")
    before = reader.picture(0)
    middle = PIXELS / 2
    reader.drag(0, (middle, middle), (middle + 40, middle + 20), (middle + 80, middle + 40))
    told = reader.rest()["state"]
    # The side that is seen goes with the hand: the patient's right and the head come to the front.
    assert told["azimuth"] < -10
    assert told["elevation"] > 5
    wanted = Solid().picture(
        Layers(body(), truth=labelled(TRUTH).voxels), Side(told["azimuth"], told["elevation"]), Rendering.SURFACES,
        Look(overlay=Overlay.TRUTH), exact=True,
    )  # fmt: skip
    assert np.array_equal(reader.picture(0), wanted[..., :3])
    assert not np.array_equal(reader.picture(0), before)
    assert (told["voxel"], reader.viewer()["measures"]) == ([15, 15, 10], [])


def test_the_body_is_turned_by_keys_alone_and_begins_again(reader):
    reader.set(arrangement="3d")
    reader.keys(0, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.PAGE_UP)
    told = reader.rest()["state"]
    assert (told["azimuth"], told["elevation"]) == (50, -5)
    assert reader.pane(0).get_attribute("aria-label") == "3-D, turned by 50° round the body, -5° towards the head"
    reader.keys(0, Keys.END, "v", "4")
    told = reader.rest()["state"]
    assert (told["azimuth"], told["elevation"], told["rendering"], told["width"]) == (-180, 0, "maximum", 2500)
    assert violations(reader) == {}
    reader.keys(0, Keys.SPACE, "v", Keys.ENTER, "h")
    told = reader.rest()["state"]
    assert (told["azimuth"], told["elevation"], told["rendering"], told["overlay"]) == (0, 0, "surfaces", "none")


def test_one_finger_is_the_chosen_tool_and_a_tap_sets_the_crosshair(reader):
    reader.touch(AXIAL, [(0, 0), (20, 0), (60, 0)])
    told = reader.rest()["state"]
    assert told["width"] > 1550
    assert told["voxel"] == [15, 15, 10]
    reader.choose_tool("slices")
    reader.touch(AXIAL, [(0, -10), (0, 0), (0, 7)])
    assert reader.rest()["state"]["voxel"] == [15, 15, 7]
    reader.touch(AXIAL, [(0, 0), (0, -8), (0, -11)])
    assert reader.rest()["state"]["voxel"] == [15, 15, 9]
    reader.touch(AXIAL, [reader.screen(AXIAL, 12, 9)])
    assert reader.rest()["state"]["voxel"] == [SHAPE[0] - 1 - 12, SHAPE[1] - 1 - 9, 9]


def test_two_fingers_zoom_and_move_the_slice_whatever_the_tool(reader):
    before = [reader.screen(AXIAL, *place) for place in ((0, 0), (20, 10))]
    reader.choose_tool("brush")
    reader.touch(AXIAL, [(-20, 0), (-30, 0), (-40, 0)], [(20, 0), (30, 0), (40, 0)])
    zoomed = [reader.screen(AXIAL, *place) for place in ((0, 0), (20, 10))]
    assert np.subtract(*zoomed) == pytest.approx(2 * np.subtract(*before), rel=0.02)
    reader.touch(AXIAL, [(-20, 0), (-10, 15), (10, 30)], [(20, 0), (30, 15), (50, 30)])
    moved = [reader.screen(AXIAL, *place) for place in ((0, 0), (20, 10))]
    assert np.subtract(moved, zoomed) == pytest.approx(np.array([[30, 30], [30, 30]]), abs=1.5)
    told = reader.rest()
    assert (told["state"]["voxel"], told["state"]["width"], told["corrections"]) == ([15, 15, 10], 1500, 0)


def test_cine_goes_through_the_slices_until_it_is_stopped(reader):
    reader.keys(AXIAL, "c")
    reader.page.wait(20, "slices one after the other", lambda: reader.viewer()["panes"][AXIAL]["shown"] not in (9, 10) or None)
    reader.keys(AXIAL, "c")
    stopped = reader.rest()["state"]["voxel"]
    time.sleep(0.5)
    assert reader.viewer()["state"]["voxel"] == stopped
    assert stopped[:2] == [15, 15]


def test_it_fills_the_screen_and_goes_back(reader):
    def full() -> bool:
        script = """
            const shown = document.fullscreenElement?.getBoundingClientRect();
            return shown !== undefined && shown.width === innerWidth && shown.height === innerHeight;
        """
        return bool(reader.driver.execute_script(script))

    reader.keys(AXIAL, "f")
    try:
        reader.page.wait(20, "full screen", lambda: full() or None)
        reader.keys(AXIAL, Keys.ARROW_DOWN)
        assert reader.rest()["panes"][AXIAL]["shown"] == 9
    finally:
        reader.keys(AXIAL, "f")
    reader.page.wait(20, "the notebook again", lambda: not full() or None)


def test_a_screen_with_finer_pixels_is_drawn_with_all_of_them(reader):
    def drawn() -> tuple[int, int]:
        script = "const [pane] = arguments; return [pane.querySelector('canvas').width, pane.clientWidth]"
        pixels, wide = reader.driver.execute_script(script, reader.pane(AXIAL))
        return pixels, wide

    def place() -> list[float]:
        time.sleep(0.5)
        script = "const { x, y, width, height } = arguments[0].getBoundingClientRect(); return [x, y, width, height]"
        found: list[float] = reader.driver.execute_script(script, reader.pane(AXIAL))
        return found

    screen = {"width": 0, "height": 0, "deviceScaleFactor": 2, "mobile": False}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        reader.page.wait(20, "two pixels for one", lambda: drawn()[0] == 2 * drawn()[1] or None)
        # The notebook around it finds its new places a moment later; a pane that is half out of sight has its middle elsewhere.
        reader.driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", reader.pane(AXIAL))
        reader.page.wait(20, "a page that stands still", lambda: place() == place() or None)
        reader.click(AXIAL, place_of((30, 7, 10), SHAPE, Plane.AXIAL))
        assert reader.rest()["state"]["voxel"] == [30, 7, 10]
    finally:
        reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    reader.page.wait(20, "one pixel for one", lambda: drawn()[0] == drawn()[1] or None)


def test_whose_values_the_presets_are_is_said(reader):
    reader.unfold()
    rows = [row.text for row in reader.driver.find_elements(By.CSS_SELECTOR, ".ctlab-viewer caption ~ tbody tr")]
    assert rows[1] == "2 lung 1500/-600 OHIF, windowLevelPresets"
    assert len(rows) == len(WINDOWS)


def test_a_cell_moves_what_is_shown(reader):
    reader.run("viewer.voxel, viewer.window = (3, 4, 5), 'bone'")
    reader.page.wait(20, "voxel of the cell", lambda: reader.viewer()["state"]["voxel"] == [3, 4, 5] or None)
    told = reader.rest()
    assert (told["state"]["width"], told["panes"][AXIAL]["shown"]) == (2500, 5)


def test_slices_can_be_looked_at_while_a_cell_runs(reader):
    reader.run("import pathlib, time\nwhile not pathlib.Path('enough').exists(): time.sleep(0.05)")
    reader.page.wait(20, "busy kernel", lambda: reader.page.kernel_state() == "busy" or None)
    reader.wheel(AXIAL, 4)
    try:
        # The cell can't have ended: nothing has told it to.
        assert reader.rest()["panes"][AXIAL]["shown"] == 6
        assert reader.page.kernel_state() == "busy"
    finally:
        (reader.folder / "tutorials" / "enough").touch()


HELD_BACK = """
import pathlib, time
from ctlab.viewing.stacking import Stacking
from tests.ctlab.samples import series, write_series
reading = Stacking._whole
def later(self, tell):
    while not pathlib.Path("go").exists(): time.sleep(0.05)
    reading(self, tell)
Stacking._whole = later
display(ctlab.view(write_series(pathlib.Path("series"), series())))
"""
SECOND = "const [, second] = document.querySelectorAll('.ctlab-viewer'); return second?.ctlab?.panes?.length === 3 && "


def test_a_series_begins_with_its_own_slice_and_the_other_planes_follow(reader):
    def second(what: str) -> bool | None:
        return reader.driver.execute_script(SECOND + what) or None

    reader.run(HELD_BACK)
    planes = "second.ctlab.panes.map((pane) => [pane.bitmap !== null, pane.waits].join()).join(' ') === "
    reader.page.wait(20, "axial slice", lambda: second(planes + "'true,false false,true false,true'"))
    (reader.folder / "tutorials" / "go").touch()
    reader.page.wait(20, "other planes", lambda: second(planes + "'true,false true,false true,false'"))
    reader.page.wait(20, "rest", lambda: second("second.ctlab.told().exact"))
    reader.run("Stacking._whole = reading")


UNKNOWN = """
import pathlib, time
import ctlab.viewer
from ctlab.viewing import early
from tests.ctlab.samples import series, write_series
from ctlab.dicom import read_stack as headers
def held(*given):
    while not pathlib.Path("known").exists(): time.sleep(0.05)
    return headers(*given)
ctlab.viewer.read_stack, early.FEW = held, 8
slices = series()
{wrong}
display(ctlab.view(write_series(pathlib.Path("{folder}"), slices)))
"""
EARLY = "const viewer = [...document.querySelectorAll('.ctlab-viewer')].at(-1); "


@pytest.mark.parametrize(("folder", "wrong"), [("whole", ""), ("gap", "slices.pop(5)")])
def test_a_series_that_is_not_known_is_one_marked_picture_until_it_is(reader, folder, wrong):
    known = reader.folder / "tutorials" / "known"
    known.unlink(missing_ok=True)

    def last(what: str) -> Any:
        return reader.driver.execute_script(EARLY + "return " + what)

    reader.run(UNKNOWN.format(folder=folder, wrong=wrong))
    reader.page.wait(20, "preliminary picture", lambda: last("viewer.querySelector('.ctlab-early img')?.naturalWidth > 0"))
    assert last("viewer.querySelector('.ctlab-early img').alt").startswith("Preliminary: I")
    assert last("viewer.querySelector('[role=status]').textContent").startswith("Preliminary: one slice, I")
    # Nothing to measure with, and nothing that a key would move.
    assert last("viewer.querySelectorAll('canvas, button, select, input, [tabindex]').length") == 0
    assert violations(reader) == {}

    known.touch()
    if wrong:
        reader.page.wait(20, "refusal", lambda: "slices are missing" in last("viewer.querySelector('[role=alert]').textContent"))
        assert last("viewer.querySelectorAll('img, canvas').length") == 0
        assert last("viewer.querySelector('[role=status]').textContent") == ""
    else:
        reader.page.wait(20, "planes", lambda: last("viewer.ctlab.panes.length === 3 && viewer.ctlab.told().exact"))
        assert last("viewer.querySelector('.ctlab-early')") is None
    reader.run("ctlab.viewer.read_stack, early.FEW = headers, 32")


def test_a_person_finds_it_in_the_notebook_and_moves_it(reader):
    view = reader.page.slice_view(0)
    before = reader.page.shown(view)
    assert reader.page.move(view) != before


def test_only_pictures_of_slices_come_and_nothing_from_elsewhere(reader):
    reader.wheel(AXIAL, 2)
    reader.rest()
    assert reader.page.hosts() == {reader.page.url.removeprefix("http://")}
    frames = reader.driver.execute_script("return window.seen.slice(-3)")
    rows, columns = SHAPE[1], SHAPE[0]
    assert all(each["bytes"] < 3 * rows * columns * len(each["panes"]) for each in frames)


def test_it_is_accessible(reader):
    assert violations(reader) == {}
    labels = [reader.pane(number).get_attribute("aria-label") for number in range(3)]
    assert labels[0] == "axial, slice 10 of 20, seen from the feet"
    assert len(set(labels)) == len(PLANES)
