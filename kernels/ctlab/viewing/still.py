"""The viewer as one picture, for where there is no kernel behind it any more: three planes side by side, with their letters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from ctlab.viewing.pictures import Layers, Look, image, picture, side_by_side
from ctlab.viewing.planes import Plane, Voxel, picture_shape, pixel_mm

HIGH = 320
"""Pixels of the picture's height."""


@cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(16)


def still(layers: Layers, voxel: Voxel, look: Look, planes: Sequence[Plane] = tuple(Plane), high: int = HIGH) -> bytes:
    """A PNG of the slices through `voxel` in `planes`, one at least, all at one scale; the highest has `high` pixels."""
    sides = []
    for plane in planes:
        (rows, columns), (across, down) = picture_shape(layers.geometry.shape, plane), pixel_mm(layers.geometry, plane)
        sides.append((plane, columns * across, rows * down))
    scale = high / max(down for _, _, down in sides)
    made = []
    for plane, across, down in sides:
        size = max(1, round(across * scale)), max(1, round(down * scale))
        shown = image(picture(layers, plane, voxel[plane.axis], look)).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        made.append(_lettered(shown, plane.letters))
    return side_by_side(made)


def _lettered(shown: Image.Image, letters: str) -> Image.Image:
    draw = ImageDraw.Draw(shown)
    wide, high = shown.size
    places = ((10, high / 2), (wide - 10, high / 2), (wide / 2, 11), (wide / 2, high - 11))
    for letter, place in zip(letters, places, strict=True):
        draw.text(place, letter, fill="white", font=_font(), anchor="mm", stroke_width=2, stroke_fill="black")
    return shown
