"""The case as a body that is turned: the highest HU along each ray, or the labels as lit surfaces. Pictures, made on the node."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from ctlab.geometry import Geometry
from ctlab.viewing.overlays import MATCH_STYLES, match, without
from ctlab.viewing.palette import colour
from ctlab.viewing.pictures import Layers, Look, Overlay
from ctlab.viewing.reduced import reduced, steps
from ctlab.viewing.turning import Hits, Side, Turnable, first_hits, highest, warped
from ctlab.viewing.windows import Bytes, grey

PIXELS, PIXELS_MOVING = 512, 288
"""Width and height of a picture at rest, and while it is turned."""

TIMES = 2
"""Rays a voxel, in each direction, of a surface at rest."""


Made = TypeVar("Made")


class Rendering(enum.StrEnum):
    """What is shown of the body."""

    SURFACES = "surfaces"
    MAXIMUM = "maximum"


@dataclass(frozen=True)
class _Marked:
    """Labels that are drawn, with what their surfaces are lit by."""

    values: Bytes
    places: Turnable
    """1 where there is one of them."""
    soft: npt.NDArray[np.uint16]
    """How much of them is around each voxel, with one more voxel on each side."""


class Solid:
    """Reduced copies of a case's layers, made when they are first looked at and again when they have changed.

    Memory, for each of at most `reduced.LARGEST` voxels: 8 bytes for the CT (int16, and again across each axis), 9 for labels,
    truth, what is drawn of them, where that is (and again across each axis) and how soft: 120 MB.
    """

    def __init__(self) -> None:
        """Nothing is made yet."""
        self._kept: dict[str, tuple[object, object]] = {}

    def picture(self, layers: Layers, side: Side, rendering: Rendering, look: Look, *, exact: bool) -> Bytes:
        """As seen from `side`: (pixels, pixels) shades of grey in the window of `look`, or (pixels, pixels, 4) for surfaces.

        Surfaces are those of the overlay of `look`, of "both" the labels; none is black.
        """
        pixels = PIXELS if exact else PIXELS_MOVING
        if rendering is Rendering.MAXIMUM:
            volume = self._volume(layers)
            # A higher HU never is darker, so the table can come after the maximum.
            shades = grey(highest(volume, side, exact=exact), look.window)
            seen = np.asarray(warped(Image.fromarray(shades), volume, side, pixels))
            return np.uint8(255) - seen if look.inverted else seen
        marked = self._marked(layers, look)
        picture = np.zeros((pixels, pixels, 4), np.uint8)
        if marked is not None:
            times = TIMES if exact else 1
            flat = _lit(marked, first_hits(marked.places, side, times), side, matches=look.overlay is Overlay.DIFFERENCES)
            picture[..., :3] = np.asarray(warped(Image.fromarray(flat), marked.places, side, pixels, times))
        return picture

    def _last(self, name: str, which: object, make: Callable[[], Made]) -> Made:
        if name not in self._kept or self._kept[name][0] != which:
            # What is no longer wanted goes before the next is made.
            self._kept.pop(name, None)
            self._kept[name] = (which, make())
        return cast("Made", self._kept[name][1])

    def _volume(self, layers: Layers) -> Turnable:
        by = steps(layers.geometry)
        return self._last("ct", (), lambda: Turnable(reduced(layers.ct.voxels, by), _spacing(layers)))

    def _values(self, layers: Layers, name: str) -> Bytes | None:
        voxels: Bytes | None = getattr(layers, name)
        if voxels is None:
            return None
        return self._last(name, layers.revision, lambda: reduced(voxels, steps(layers.geometry)))

    def _marked(self, layers: Layers, look: Look) -> _Marked | None:
        if look.overlay is Overlay.NONE:
            return None
        which = look.overlay, look.hidden, layers.revision
        return self._last("marked", which, lambda: self._made(layers, look))

    def _made(self, layers: Layers, look: Look) -> _Marked | None:
        labels, truth = (
            None if (values := self._values(layers, name)) is None else without(values, look.hidden) for name in ("labels", "truth")
        )
        if look.overlay is Overlay.TRUTH:
            chosen = truth
        elif look.overlay is Overlay.DIFFERENCES and truth is not None:
            chosen = match(np.zeros_like(truth) if labels is None else labels, truth)
        else:
            chosen = labels
        if chosen is None or not chosen.any():
            return None
        there = (chosen > 0).view(np.uint8)
        return _Marked(chosen, Turnable(there, _spacing(layers)), _softened(there))


def across_mm(geometry: Geometry) -> float:
    """How wide and high a picture of the body is, whatever the side: the reduced volume from corner to corner."""
    by = np.array(steps(geometry))
    return float(np.linalg.norm(-(-np.array(geometry.shape) // by) * by * geometry.spacing))


def _spacing(layers: Layers) -> tuple[float, float, float]:
    x, y, z = (mm * step for mm, step in zip(layers.geometry.spacing, steps(layers.geometry), strict=True))
    return x, y, z


def _softened(there: Bytes) -> npt.NDArray[np.uint16]:
    """Weighted 1, 2, 1 twice along each axis, with one more voxel on each side: 4096 deep inside."""
    soft: npt.NDArray[np.uint16] = np.pad(there, 3).astype(np.uint16)
    for axis in range(3):
        for _ in range(2):
            low, middle, high = (
                tuple(window if each == axis else slice(None) for each in range(3))
                for window in (slice(None, -2), slice(1, -1), slice(2, None))
            )
            soft = soft[low] + 2 * soft[middle] + soft[high]
    return soft


def _lit(marked: _Marked, hits: Hits, side: Side, *, matches: bool) -> Bytes:
    """The sheared picture (rows, columns, 3): the labels' colours, lit from above the left shoulder of whoever looks."""
    flat = np.zeros((*hits.size, 3), np.uint8)
    if not len(hits.rows):
        return flat
    soft, (x, y, z) = marked.soft, hits.voxels.T + 1
    signed = np.float32
    slope = np.stack(
        [
            (soft[x + 1, y, z].astype(signed) - soft[x - 1, y, z]) / marked.places.spacing[0],
            (soft[x, y + 1, z].astype(signed) - soft[x, y - 1, z]) / marked.places.spacing[1],
            (soft[x, y, z + 1].astype(signed) - soft[x, y, z - 1]) / marked.places.spacing[2],
        ],
        axis=1,
    )
    right, up, away = side.axes
    light = -0.8 * away + 0.5 * up - 0.33 * right
    length = np.linalg.norm(slope, axis=1)
    # What is thinner than the softening has no slope: it is lit as if it faced whoever looks.
    facing = np.where(length > 0, -(slope @ light) / np.maximum(length, 1e-6), 0.8)
    far = (hits.depth - hits.depth.min()) / max(float(np.ptp(hits.depth)), 1e-6)
    bright = (0.3 + 0.7 * np.clip(facing, 0, 1)) * (1 - 0.3 * far)
    values = marked.values[tuple(hits.voxels.T)]
    flat[hits.rows, hits.columns] = np.rint(_colours(matches=matches)[values] * bright[:, None]).astype(np.uint8)
    return flat


def _colours(*, matches: bool) -> npt.NDArray[np.float64]:
    found = np.zeros((256, 3))
    for value in range(1, 256):
        found[value] = colour(value)
    if matches:
        for value, looks in MATCH_STYLES.items():
            found[value] = looks.colour
    return found
