"""Volumes seen from any side: parallel rays, by shear and warp, the highest value or the first label along each.

The slices across the axis that the rays run along most are shifted so that each ray meets one place of all of them, and the picture
that is left is drawn as it is seen (P. Lacroute, M. Levoy, "Fast volume rendering using a shear-warp factorization of the viewing
transformation", SIGGRAPH 1994). A slice is read from one end to the other, which a processor does many times faster than to look up
single voxels along rays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ctlab.viewing.oblique import AIR

Floats = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]

HIGHEST_TILT = 90.0


@dataclass(frozen=True)
class Side:
    """From where it is seen, in degrees: 0, 0 is from the front.

    `azimuth` goes round the body (90 is the patient's left), `elevation` up to the head (90) and down to the feet (-90).
    """

    azimuth: float = 0.0
    elevation: float = 0.0

    def bounded(self) -> Side:
        """The same with an azimuth from -180 up to 180, and the nearest elevation that there is; the front for no number."""
        if not (np.isfinite(self.azimuth) and np.isfinite(self.elevation)):
            return Side()
        return Side((self.azimuth + 180) % 360 - 180, min(max(self.elevation, -HIGHEST_TILT), HIGHEST_TILT))

    @property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Unit vectors in RAS+: towards the right of the picture, towards its top, and away from whoever looks."""
        round_, up = np.radians(self.azimuth), np.radians(self.elevation)
        right = np.array([-np.cos(round_), -np.sin(round_), 0.0])
        away = np.array([np.sin(round_) * np.cos(up), -np.cos(round_) * np.cos(up), -np.sin(up)])
        return right, np.cross(right, away), away


class Turnable:
    """A small volume (x, y, z in RAS+) that is looked at from all sides; `spacing` in mm.

    Memory: the array once more for each axis along which it was looked at.
    """

    def __init__(self, array: npt.NDArray[Any], spacing: Spacing) -> None:
        """Copies nothing before it is looked at."""
        self.array, self.spacing = array, spacing
        self._across: dict[int, npt.NDArray[Any]] = {}

    def across(self, axis: int) -> npt.NDArray[Any]:
        """Its slices across `axis`, each in one piece."""
        if axis not in self._across:
            self._across[axis] = np.ascontiguousarray(np.moveaxis(self.array, axis, 0))
        return self._across[axis]

    @property
    def across_mm(self) -> float:
        """From corner to corner: what a picture is as wide and as high as, whatever the side."""
        return float(np.linalg.norm(np.array(self.array.shape) * self.spacing))


@dataclass(frozen=True)
class Sheared:
    """How the slices of a volume are shifted for one side. Places are voxels of the slices across `axis`."""

    axis: int
    inside: tuple[int, int]
    shift: Floats
    """(slice, 2): how far each slice is shifted along its rows and columns; never below 0."""
    size: tuple[int, int]
    """Of what all shifted slices lie in."""
    order: npt.NDArray[np.int64]
    """Slices from the nearest to the farthest."""


def sheared(shape: tuple[int, ...], spacing: Spacing, side: Side) -> Sheared:
    """The shifts for a volume of this shape."""
    along = side.axes[2] / spacing
    axis = int(np.abs(along).argmax())
    first, second = (each for each in range(3) if each != axis)
    counts = np.array([shape[first], shape[second]])
    slope = along[[first, second]] / along[axis]
    middle = (shape[axis] - 1) / 2
    margin = np.ceil(np.abs(slope) * middle)
    shift = margin - slope * (np.arange(shape[axis])[:, None] - middle)
    rows, columns = (int(each) for each in counts + 2 * margin + 1)
    order = np.arange(shape[axis])
    return Sheared(axis, (first, second), shift, (rows, columns), order if along[axis] > 0 else order[::-1])


def highest(volume: Turnable, side: Side, *, exact: bool) -> npt.NDArray[np.int16]:
    """The highest HU along each ray, sheared; between voxels by interpolation if `exact`, else those of the nearest voxel."""
    made = sheared(volume.array.shape, volume.spacing, side)
    slices = volume.across(made.axis)
    if not exact:
        found: npt.NDArray[np.int16] = np.full(made.size, AIR, np.int16)
        for layer, (down, right) in zip(slices, np.rint(made.shift).astype(int), strict=True):
            here = found[down : down + layer.shape[0], right : right + layer.shape[1]]
            np.maximum(here, layer, out=here)
        return found
    fine: npt.NDArray[np.float32] = np.full(made.size, AIR, np.float32)
    whole = np.floor(made.shift).astype(int)
    for layer, (down, right), (low, aside) in zip(slices, whole, (made.shift - whole).astype(np.float32), strict=True):
        rows, columns = layer.shape
        padded = np.full((rows + 2, columns + 2), AIR, np.float32)
        padded[1:-1, 1:-1] = layer
        between = padded[1:] + (padded[:-1] - padded[1:]) * low
        between = between[:, 1:] + (between[:, :-1] - between[:, 1:]) * aside
        inside = fine[down : down + rows + 1, right : right + columns + 1]
        np.maximum(inside, between, out=inside)
    rounded: npt.NDArray[np.int16] = np.rint(fine).astype(np.int16)
    return rounded


@dataclass(frozen=True)
class Hits:
    """Where rays meet a label first. All arrays are as long as there are such rays."""

    size: tuple[int, int]
    """Of the sheared picture, `times` the voxels."""
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    voxels: npt.NDArray[np.int64]
    """(ray, 3): x, y, z."""
    depth: Floats
    """mm from the middle, away from whoever looks."""


def first_hits(marked: Turnable, side: Side, times: int) -> Hits:
    """Where rays first meet what isn't 0 in `marked` (uint8, 0 or 1); `times` rays a voxel in each direction."""
    made = sheared(marked.array.shape, marked.spacing, side)
    slices = marked.across(made.axis)
    shift = np.rint(made.shift * times).astype(int)
    near = np.zeros((made.size[0] * times, made.size[1] * times), np.uint16)
    for place, number in enumerate(made.order):
        layer = slices[number]
        if not layer.any():
            continue
        layer = layer * np.uint16(len(slices) - place)
        if times > 1:
            layer = layer.repeat(times, axis=0).repeat(times, axis=1)
        down, right = shift[number]
        here = near[down : down + layer.shape[0], right : right + layer.shape[1]]
        np.maximum(here, layer, out=here)
    rows, columns = np.nonzero(near)
    which = made.order[len(slices) - near[rows, columns].astype(np.int64)]
    voxels = np.empty((len(rows), 3), np.int64)
    voxels[:, made.axis] = which
    voxels[:, made.inside[0]] = (rows - shift[which, 0]) // times
    voxels[:, made.inside[1]] = (columns - shift[which, 1]) // times
    middle = (np.array(marked.array.shape) - 1) / 2
    return Hits((near.shape[0], near.shape[1]), rows, columns, voxels, (voxels - middle) * marked.spacing @ side.axes[2])


def warped(flat: Image.Image, volume: Turnable, side: Side, pixels: int, times: int = 1) -> Image.Image:
    """A sheared picture as it is seen: `pixels` wide and high for `Turnable.across_mm`, interpolated, black around it."""
    made = sheared(volume.array.shape, volume.spacing, side)
    right, up, _ = side.axes
    inside = list(made.inside)
    to_screen = np.stack([right[inside], -up[inside]]) * np.array(volume.spacing)[inside]
    back = np.linalg.inv(to_screen) * (volume.across_mm / pixels * times)
    # The volume's middle is in the middle of both pictures; Pillow counts from a pixel's corner.
    margin = made.shift.mean(axis=0)
    middle = ((np.array(volume.array.shape)[inside] / 2) + margin) * times
    start = middle - back @ np.array([pixels / 2, pixels / 2])
    (down_x, down_y), (across_x, across_y) = back
    data = (across_x, across_y, start[1], down_x, down_y, start[0])
    return flat.transform((pixels, pixels), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
