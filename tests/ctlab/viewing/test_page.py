"""The whole viewer as it is on the screen, beside pictures that somebody has looked at.

`bin/test tests/ctlab/viewing/test_page.py --pictures tests/ctlab/viewing/pages` takes these anew; look at each before you keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from tests.ctlab.viewing.lab import Reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAGES = Path(__file__).with_name("pages")
SMALLER = 2
"""Pixels of the screen for one of a kept picture, across and down."""
BLOCK = 4
"""Pixels of a kept picture that are looked at together: letters that are drawn a little differently are the same grey then."""
ANOTHER = 24
"""Shades (of 255) by which the mean of a block tells another picture."""
FEW = 0.002
"""Share of blocks that may: some letters' edges. A pane's outlines that move by a few pixels are several times as many."""
LAYOUTS: dict[str, dict[str, object]] = {
    "one": {"arrangement": "one", "plane": "coronal", "overlay": "labels"},
    "three": {"arrangement": "three", "overlay": "both"},
    "compare": {"arrangement": "compare", "plane": "axial", "overlay": "both"},
}
Box = tuple[int, int, int, int]


def blocks(picture: Image.Image) -> np.ndarray:
    """The mean colour of each whole block, (rows, columns, 3)."""
    pixels = np.asarray(picture.convert("RGB"), np.float64)
    rows, columns = (count // BLOCK for count in pixels.shape[:2])
    return pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3).mean(axis=(1, 3))


def apart(one: Image.Image, other: Image.Image) -> float:
    """The share of blocks that tell another picture; 1 where the two are not of one size."""
    if one.size != other.size:
        return 1.0
    return float((np.abs(blocks(one) - blocks(other)).max(axis=2) > ANOTHER).mean())


def shot(page: Reader, layout: str) -> tuple[Image.Image, list[Box]]:
    """The viewer in a layout, made smaller and kept where screenshots go; and where its panes are in that."""
    page.begin(voxel=[60, 52, 36], **LAYOUTS[layout])
    for section in page.driver.find_elements("css selector", ".ctlab-viewer details"):
        page.driver.execute_script("arguments[0].open = arguments[1]", section, layout == "three")
    # What an earlier test measured.
    page.driver.execute_script("document.querySelector('.ctlab-said').textContent = ''")
    page.rest()
    page.page.wait(20, "volumes", lambda: "…" not in page.driver.find_element("css selector", ".ctlab-list").text or None)
    path = page.shoot(f"page-{layout}")
    with Image.open(path) as whole:
        small = whole.convert("RGB").resize([count // SMALLER for count in whole.size], Image.Resampling.BOX)
    small.save(path, optimize=True)
    script = """
        const { left, top } = document.querySelector(".ctlab-viewer").getBoundingClientRect();
        return [...document.querySelectorAll(".ctlab-pane")].map((pane) => {
          const box = pane.getBoundingClientRect();
          return [box.left - left, box.top - top, box.right - left, box.bottom - top];
        });
    """
    return small, [tuple(round(each / SMALLER) for each in box) for box in page.driver.execute_script(script)]  # type: ignore[misc]


def kept(layout: str, language: str) -> Image.Image:
    with Image.open(PAGES / f"page-{layout}-{language}.png") as picture:
        return picture.convert("RGB")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_looks_as_it_did_when_somebody_looked_at_it(layout, language, request):
    page = request.getfixturevalue({"en": "english_page", "ja": "japanese_page"}[language])
    now, _ = shot(page, layout)
    assert apart(now, kept(layout, language)) <= FEW


def _pane(change: Callable[[Image.Image], Image.Image], number: int) -> Callable[[Image.Image, list[Box]], None]:
    def changed(picture: Image.Image, panes: list[Box]) -> None:
        part = picture.crop(panes[number])
        picture.paste(change(part), panes[number])

    return changed


def _swap(picture: Image.Image, panes: list[Box]) -> None:
    first, second = (picture.crop(panes[each]) for each in (1, 2))
    picture.paste(second.resize(first.size), panes[1])
    picture.paste(first.resize(second.size), panes[2])


def _moved(right: int, down: int) -> Callable[[Image.Image], Image.Image]:
    return lambda part: Image.fromarray(np.roll(np.asarray(part), (down, right), axis=(0, 1)))


WRONG: dict[str, Callable[[Image.Image, list[Box]], None]] = {
    "axial pane, left for right": _pane(ImageOps.mirror, 0),
    "coronal pane, left for right": _pane(ImageOps.mirror, 1),
    "sagittal pane, front for back": _pane(ImageOps.mirror, 2),
    "axial pane, front for back": _pane(ImageOps.flip, 0),
    "coronal pane, head for feet": _pane(ImageOps.flip, 1),
    "pane that is missing": _pane(lambda part: Image.new("RGB", part.size), 2),
    "panes in each other's place": _swap,
    "pane shifted across by 6 pixels of the screen": _pane(_moved(3, 0), 1),
    "pane shifted down by 6 pixels of the screen": _pane(_moved(0, 3), 0),
    "pane without the labels' colours": _pane(lambda part: ImageOps.grayscale(part).convert("RGB"), 0),
    "controls that are missing": lambda picture, _: picture.paste((27, 27, 27), (0, 0, picture.width, 40)),
}


@pytest.fixture(scope="module")
def three(english_page) -> tuple[Image.Image, list[Box]]:
    """Three planes with all sections open, and where the planes are."""
    return shot(english_page, "three")


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_seen(wrong, three):
    right, panes = three
    changed = right.copy()
    WRONG[wrong](changed, panes)
    assert apart(changed, right) > 2 * FEW


def test_letters_that_are_drawn_a_little_differently_are_the_same(three):
    right, panes = three
    # As another rasteriser does it: softer, or half a pixel of the screen aside. The slices themselves are no letters.
    for changed in (right.filter(ImageFilter.GaussianBlur(0.6)), Image.blend(right, _moved(1, 0)(right), 0.25)):
        for box in panes:
            changed.paste(right.crop(box), box)
        assert apart(changed, right) <= FEW
