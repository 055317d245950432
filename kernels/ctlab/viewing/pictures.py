"""One slice as the picture that leaves the node: 8-bit shades of the chosen window, labels laid over them, as JPEG or PNG."""

from __future__ import annotations

import enum
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ctlab.geometry import Geometry
from ctlab.viewing.overlays import Paint, match, painted, without
from ctlab.viewing.planes import THIN, Plane, Slab, cut, enlargement, project
from ctlab.viewing.windows import WINDOWS, Bytes, Window, grey
from ctlab.volume import Volume

JPEG_QUALITY = 85
"""Of pictures while something moves; at rest the exact picture follows."""
GAP = 4
"""Pixels between pictures that lie side by side."""


class Overlay(enum.StrEnum):
    """What is laid over the CT."""

    NONE = "none"
    LABELS = "labels"
    TRUTH = "truth"
    BOTH = "both"
    DIFFERENCES = "differences"


class Cuts:
    """The last slice that was cut of each layer along each plane: a window that is dragged, say, cuts none again."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Plane], tuple[object, npt.NDArray[Any]]] = {}

    def last(self, layer: str, plane: Plane, which: object, make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What `make` made for the same `which` the last time, or makes now."""
        kept = self._kept.get((layer, plane))
        if kept is None or kept[0] != which:
            kept = self._kept[layer, plane] = (which, make())
        return kept[1]

    def has(self, layer: str, plane: Plane, which: object) -> bool:
        """Whether `last` would make none."""
        kept = self._kept.get((layer, plane))
        return kept is not None and kept[0] == which


@dataclass(frozen=True)
class Layers:
    """What there is to show: a CT, and label arrays (uint8) on its grid."""

    ct: Volume
    labels: Bytes | None = None
    truth: Bytes | None = None
    revision: int = 0
    """Grows with what is in the arrays; those of one revision stay as they are."""
    cuts: Cuts = field(default_factory=Cuts, compare=False)

    @property
    def geometry(self) -> Geometry:
        """The CT's."""
        return self.ct.geometry

    def ct_cut(self, index: int, slab: Slab) -> object:
        """What a cut of the CT is known by in `cuts`."""
        return index, slab, self.revision

    def label_cut(self, index: int) -> object:
        """What a cut of labels is known by in `cuts`."""
        return index, self.revision


@dataclass(frozen=True)
class Look:
    """How it is shown."""

    window: Window = WINDOWS["lung"]
    inverted: bool = False
    slab: Slab = THIN
    overlay: Overlay = Overlay.NONE
    outline: bool = False
    opacity: float = 0.4
    hatched: bool = False
    hidden: frozenset[int] = field(default_factory=frozenset)
    """Label values that are not drawn."""


def picture(layers: Layers, plane: Plane, index: int, look: Look, *, enlarged: bool = True) -> Bytes:
    """Slice `index` as (rows, columns) shades of grey, or (rows, columns, 4) where labels are drawn.

    One pixel a voxel, except along an axis whose voxels are at least twice as long as the others: there `enlargement` pixels a
    voxel, grey interpolated between slices, labels as they are. Not `enlarged`: one pixel a voxel everywhere, for whoever stretches
    the picture.
    """
    hu = layers.cuts.last(
        "ct",
        plane,
        layers.ct_cut(index, look.slab),
        lambda: project(layers.ct.voxels, plane, index, look.slab, layers.geometry),
    )
    shades = grey(hu, look.window, inverted=look.inverted)
    times = enlargement(layers.geometry, plane) if enlarged else (1, 1)
    if times != (1, 1):
        size = (shades.shape[1] * times[0], shades.shape[0] * times[1])
        shades = np.asarray(Image.fromarray(shades).resize(size, Image.Resampling.BILINEAR))
    filled, outlined = _drawn(layers, plane, index, look, times)
    if filled is None and outlined is None:
        return shades
    return painted(shades, filled, outlined, Paint(look.opacity, look.hatched, look.overlay is Overlay.DIFFERENCES))


def _drawn(layers: Layers, plane: Plane, index: int, look: Look, times: tuple[int, int]) -> tuple[Bytes | None, Bytes | None]:
    """What is drawn as areas and what as lines, on the picture's grid."""

    def layer(name: str) -> Bytes | None:
        voxels: Bytes | None = getattr(layers, name)
        if voxels is None:
            return None
        which = layers.label_cut(index)
        flat = without(layers.cuts.last(name, plane, which, lambda: np.ascontiguousarray(cut(voxels, plane, index))), look.hidden)
        if not flat.any():
            return None
        return flat.repeat(times[1], axis=0).repeat(times[0], axis=1) if times != (1, 1) else flat

    if look.overlay is Overlay.NONE:
        return None, None
    if look.overlay is Overlay.BOTH:
        return layer("labels"), layer("truth")
    if look.overlay is Overlay.DIFFERENCES:
        areas = _differences(layer("labels"), layer("truth"))
    else:
        areas = layer("truth" if look.overlay is Overlay.TRUTH else "labels")
    return (None, areas) if look.outline else (areas, None)


def _differences(predicted: Bytes | None, true: Bytes | None) -> Bytes | None:
    some = predicted if predicted is not None else true
    if some is None:
        return None
    nothing = np.zeros_like(some)
    return match(nothing if predicted is None else predicted, nothing if true is None else true)


def jpeg(pixels: Bytes, quality: int = JPEG_QUALITY) -> bytes:
    """A picture as JPEG: a little wrong, and quick."""
    stream = io.BytesIO()
    image(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def png(pixels: Bytes) -> bytes:
    """A picture as PNG, exact; packed fast rather than small."""
    made = image(pixels)
    stream = io.BytesIO()
    (made if made.mode == "L" else made.convert("RGB")).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def image(pixels: Bytes) -> Image.Image:
    """What `picture` made as a picture of Pillow."""
    if pixels.ndim == 2:
        return Image.fromarray(pixels)
    rows, columns, _ = pixels.shape
    return Image.frombuffer("RGBX", (columns, rows), np.ascontiguousarray(pixels), "raw", "RGBX", 0, 1)


def side_by_side(images: Sequence[Image.Image]) -> bytes:
    """A PNG of `images` from left to right, as high as the highest, the others in the middle of that; a black pixel of none."""
    high = max((each.height for each in images), default=1)
    whole = Image.new("RGB", (max(1, sum(each.width + GAP for each in images) - GAP), high))
    left = 0
    for each in images:
        whole.paste(each, (left, (high - each.height) // 2))
        left += each.width + GAP
    stream = io.BytesIO()
    whole.save(stream, "PNG")
    return stream.getvalue()
