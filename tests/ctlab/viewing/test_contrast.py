"""What is written over the pictures can be read over any picture and in every theme: measured on the pixels that Chromium shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ctlab.viewing.lab import Reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LEGIBLE, VISIBLE = 4.5, 3.0
"""Contrast of letters and of lines by the Web Content Accessibility Guidelines 2.2, criteria 1.4.3 and 1.4.11."""
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")
PICTURES = {
    "black": {"width": 1, "level": 20000},
    "mid-grey": {"width": 200000, "level": 0},
    "white": {"width": 1, "level": -20000},
    "black, inverted": {"width": 1, "level": 20000, "inverted": True},
}
"""Windows in which whatever was scanned is of one grey."""
SHADE = {"black": 0, "mid-grey": 127, "white": 255, "black, inverted": 255}
ZOOMED = """
    const { panes } = document.querySelector(".ctlab-viewer").ctlab;
    // Picture everywhere, below letters at the edges, too.
    for (const pane of panes) pane.zoomAt(6);
"""
MEASURED = """
    const { ctlab } = document.querySelector(".ctlab-viewer");
    const [pane] = ctlab.panes;
    const at = (x, y) => pane.fromScreen([pane.wide * x, pane.high * y]);
    ctlab.measured(pane, "ruler", [at(0.2, 0.3), at(0.3, 0.3)], pane.slice());
    ctlab.measured(pane, "region", [at(0.15, 0.62), at(0.4, 0.8)], pane.slice());
"""
# Each text that is painted, and which pixels it covers how much: as it is drawn alone, white on black.
WRITTEN = """
    const { panes } = document.querySelector(".ctlab-viewer").ctlab;
    const { prototype } = CanvasRenderingContext2D;
    const { fillText } = prototype;
    const found = [];
    prototype.fillText = function (text, x, y) {
      const { canvas, font, textAlign, textBaseline } = this;
      const alone = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      const context = alone.getContext("2d", { alpha: false, willReadFrequently: true });
      context.setTransform(this.getTransform());
      Object.assign(context, { font, textAlign, textBaseline, fillStyle: "#fff" });
      fillText.call(context, text, x, y);
      const box = canvas.getBoundingClientRect();
      const high = 24;
      const top = Math.max(0, Math.round(y) - high / 2);
      const { data } = context.getImageData(0, top, canvas.width, high);
      const covered = Array.from({ length: data.length / 4 }, (_, at) => data[at * 4]);
      found.push({ text, left: box.left, top: box.top + top, wide: canvas.width, covered });
      fillText.call(this, text, x, y);
    };
    for (const pane of panes) pane.paint();
    prototype.fillText = fillText;
    return found;
"""
WITHOUT_GROUND = """
    const { prototype } = CanvasRenderingContext2D;
    const kept = (window.kept = prototype.fillRect);
    // What lies below a whole pane stays.
    prototype.fillRect = function (x, y, wide, high) {
      if (x === 0 && y === 0) kept.call(this, x, y, wide, high);
    };
"""
WITH_GROUND = "CanvasRenderingContext2D.prototype.fillRect = window.kept;"
AROUND = [(down, right) for down in range(-2, 3) for right in range(-2, 3) if 0 < down**2 + right**2 < 8]
"""As far as the ground is held to reach around a letter's pixels."""


@pytest.fixture(scope="module")
def page(english_page) -> Iterator[Reader]:
    english_page.begin()
    yield english_page
    english_page.theme(THEMES[0])
    english_page.begin()


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours (…, 3), as the guidelines define it."""
    parts = pixels / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one: float, other: float) -> float:
    """Of two luminances, 1 to 21."""
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


def screen(page: Reader) -> np.ndarray:
    """What is on the screen, (rows, columns, 3)."""
    with Image.open(io.BytesIO(page.driver.get_screenshot_as_png())) as shown:
        return np.asarray(shown.convert("RGB"))


def written(page: Reader) -> dict[str, float]:
    """Each text over the pictures with the least contrast of a pixel of its letters to a pixel around them, on the screen."""
    texts: list[dict[str, Any]] = page.driver.execute_script(WRITTEN)
    shown = luminance(screen(page))
    found: dict[str, float] = {}
    for each in texts:
        covered = np.array(each["covered"]).reshape(-1, each["wide"])
        part = shown[round(each["top"]) :, round(each["left"]) :][: covered.shape[0], : covered.shape[1]]
        letters = covered >= 0.9 * covered.max()
        around = np.zeros_like(letters)
        for down, right in AROUND:
            around |= np.roll(letters, (down, right), axis=(0, 1))
        around &= covered == 0
        light, dark = float(part[letters].min()), float(part[around].max())
        found[each["text"]] = contrast(light, dark) if light > dark else 1.0
    return found


def lines(page: Reader) -> dict[str, float]:
    """The scale's bar and the crosshair with their contrast to what lies beside them."""
    script = """
        const { panes } = document.querySelector(".ctlab-viewer").ctlab;
        return panes.map((pane) => {
          const { left, top } = pane.canvas.getBoundingClientRect();
          return [left + pane.wide - 20, top + pane.high - 12, left + pane.toScreen(pane.crosshair())[0], top + pane.high / 4];
        });
    """
    shown = luminance(screen(page))
    found = {}
    for number, places in enumerate(page.driver.execute_script(script)):
        bar, height, cross, quarter = (round(each) for each in places)
        for name, across in (("scale", shown[height - 4 : height + 4, bar]), ("crosshair", shown[quarter, cross - 3 : cross + 4])):
            found[f"{name} {number}"] = contrast(float(across.min()), float(across.max()))
    return found


def over(page: Reader, picture: str) -> None:
    """The viewer with one grey everywhere below what is drawn over the pictures, and two measurements."""
    page.begin(overlay="none", **PICTURES[picture])
    page.driver.execute_script(ZOOMED)
    page.driver.execute_script(MEASURED)
    page.measured()
    page.rest()
    place = page.driver.execute_script("const { x, y } = arguments[0].getBoundingClientRect(); return [x, y]", page.pane(0))
    # Beside everything that is drawn.
    x, y = (round(each) for each in place)
    assert abs(int(screen(page)[y + 60, x + 40].mean()) - SHADE[picture]) <= 2


@pytest.mark.parametrize("theme", THEMES)
def test_all_that_is_written_can_be_read_over_black_grey_and_white(page, theme):
    page.theme(theme)
    for picture in PICTURES:
        over(page, picture)
        texts = written(page)
        # Four letters, title, number, window and scale of three panes, some of them alike, and the measurements.
        assert {"A", "P", "R", "L", "H", "F", "axial", "coronal", "sagittal"} < set(texts)
        assert any(" HU (" in text for text in texts)
        assert {text: ratio for text, ratio in texts.items() if ratio < LEGIBLE} == {}, picture
        assert {line: ratio for line, ratio in lines(page).items() if ratio < VISIBLE} == {}, picture


def test_what_is_measured_here_is_what_the_ground_is_for(page):
    over(page, "white")
    page.driver.execute_script(WITHOUT_GROUND)
    try:
        assert all(ratio < VISIBLE for ratio in written(page).values())
    finally:
        page.driver.execute_script(WITH_GROUND)


def test_it_can_be_read_in_3d(page):
    page.begin(arrangement="3d", rendering="maximum", inverted=True, **PICTURES["black"])
    page.driver.execute_script(ZOOMED)
    page.rest()
    texts = written(page)
    assert "A" not in texts or texts["A"] >= LEGIBLE
    assert {text: ratio for text, ratio in texts.items() if ratio < LEGIBLE} == {}


def test_colours_of_the_system_hide_nothing_that_a_colour_tells(page):
    features = [{"name": "forced-colors", "value": "active"}, {"name": "prefers-contrast", "value": "more"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        over(page, "white")
        assert {text: ratio for text, ratio in written(page).items() if ratio < LEGIBLE} == {}
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => getComputedStyle(each).background)"
        page.keys(0, "i")
        pressed, plain = (
            page.driver.execute_script(script, f".ctlab-viewer button[aria-pressed={state}]") for state in ("true", "false")
        )
        assert pressed
        assert not set(pressed) & set(plain)
        swatches = page.driver.execute_script(script, ".ctlab-list .ctlab-swatch")
        assert len(set(swatches)) >= 3
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
