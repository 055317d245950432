"""From a scanner's grid to the working grid, for any box of it: a patch needs only the voxels that it is made of. Pure.

Both grids cover the same box (`ctlab.resample`). Axes that get coarser are averaged: working voxel i stands for the voxels from
floor(i n / m) to ceil((i + 1) n / m), n being the length on the scanner's grid and m that on the working grid. Along the others HU
are interpolated linearly between the centres of the two nearest voxels. A label is that of the voxel at the centre.

Sums are taken in whole numbers, so that a box has the very values that the same voxels have in the whole volume.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]
Neighbours = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]
Sums = npt.NDArray[Any]
"""int32 or int64."""

_AT_ONCE = 16
"""Slices that are interpolated at once."""
_FITS = 2**15
"""So many voxels of int16 sum up to what an int32 holds."""


def needed(fine: Shape, working: Shape, box: Box) -> Box:
    """The voxels of a volume of shape `fine` that the `box` of the grid of shape `working` is made of."""
    x, y, z = (_span(n, m, side.start, side.stop) for n, m, side in zip(fine, working, box, strict=True))
    return x, y, z


def hu_of(voxels: npt.NDArray[np.int16], fine: Shape, working: Shape, box: Box) -> npt.NDArray[np.int16]:
    """HU of `box`, from the `voxels` that `needed` names for it.

    Besides them it takes twice the box in single precision.
    """
    spans = needed(fine, working, box)
    values = _averaged(voxels, fine, working, box, spans)
    for axis in (2, 1, 0):
        if working[axis] > fine[axis]:
            below, above, share = _neighbours(fine[axis], working[axis], box[axis])
            first = spans[axis].start
            values = _interpolated(values, axis, (below - first, above - first, share))
    return np.rint(values, out=values).astype(np.int16)


def labels_of(voxels: npt.NDArray[np.uint8], fine: Shape, working: Shape, box: Box) -> npt.NDArray[np.uint8]:
    """Labels of `box`, from the `voxels` that `needed` names for it."""
    spans = needed(fine, working, box)
    sides = zip(fine, working, box, spans, strict=True)
    found = [(2 * np.arange(side.start, side.stop) + 1) * n // (2 * m) - span.start for n, m, side, span in sides]
    return voxels[np.ix_(*found)]


def everything(shape: Shape) -> Box:
    """The box of a whole grid."""
    x, y, z = (slice(0, length) for length in shape)
    return x, y, z


def _span(n: int, m: int, start: int, stop: int) -> slice:
    if m <= n:
        return slice(start * n // m, -(-stop * n // m))
    below, above, _ = _neighbours(n, m, slice(start, stop))
    return slice(int(below[0]), int(above[-1]) + 1)


def _windows(n: int, m: int, side: slice, first: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """From and to where each working voxel is averaged, counted from the voxel `first`."""
    each = np.arange(side.start, side.stop)
    return each * n // m - first, -(-(each + 1) * n // m) - first


def _neighbours(n: int, m: int, side: slice) -> Neighbours:
    """Of each working voxel the voxels below and above its centre, and the share of the latter."""
    place = np.clip((np.arange(side.start, side.stop) + 0.5) * (n / m) - 0.5, 0, n - 1)
    below = place.astype(np.int64)
    return below, np.minimum(below + 1, n - 1), (place - below).astype(np.float32)


def _averaged(voxels: npt.NDArray[np.int16], fine: Shape, working: Shape, box: Box, spans: Box) -> npt.NDArray[np.float32]:
    """Means over the windows of the axes that get coarser; along the others the voxels as they are. Plane by plane along x."""
    coarser = [axis for axis in range(3) if working[axis] < fine[axis]]
    if not coarser:
        return voxels.astype(np.float32)
    largest = math.prod(fine[axis] // working[axis] + 2 for axis in coarser)
    dtype: type[np.int32 | np.int64] = np.int32 if largest <= _FITS else np.int64
    windows = {axis: _windows(fine[axis], working[axis], box[axis], spans[axis].start) for axis in coarser}
    lows, highs = windows.get(0, (np.arange(voxels.shape[0]), np.arange(voxels.shape[0]) + 1))
    means = np.empty([len(windows[axis][0]) if axis in windows else voxels.shape[axis] for axis in range(3)], np.float32)
    for number, (low, high) in enumerate(zip(lows, highs, strict=True)):
        plane = voxels[low].astype(dtype)
        for each in range(low + 1, high):
            plane += voxels[each]
        for axis in (1, 2):
            if axis in windows:
                plane = _window_sums(plane, axis - 1, *windows[axis])
        means[number] = plane
    for axis, (lows, highs) in windows.items():
        means /= _along(axis, (highs - lows).astype(np.float32))
    return means


def _window_sums(plane: Sums, axis: int, lows: npt.NDArray[np.int64], highs: npt.NDArray[np.int64]) -> Sums:
    """Sums of `plane` from `lows` to `highs` along one axis."""
    # A running sum may run over: whole numbers that wrap around have the right differences all the same.
    running = np.cumsum(plane, axis=axis, dtype=plane.dtype)
    sums = running.take(highs - 1, axis)
    later = int(np.searchsorted(lows, 1))
    inside = (slice(later, None), slice(None)) if axis == 0 else (slice(None), slice(later, None))
    sums[inside] -= running.take(lows[later:] - 1, axis)
    return sums


def _interpolated(values: npt.NDArray[np.float32], axis: int, between: Neighbours) -> npt.NDArray[np.float32]:
    below, above, share = between
    lengths = list(values.shape)
    lengths[axis] = len(below)
    mixed = np.empty(lengths, np.float32)
    for start in range(0, len(below), _AT_ONCE):
        piece = slice(start, start + _AT_ONCE)
        by = _along(axis, share[piece])
        inside = tuple(piece if each == axis else slice(None) for each in range(3))
        mixed[inside] = values.take(below[piece], axis) * (1 - by) + values.take(above[piece], axis) * by
    return mixed


def _along(axis: int, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values.reshape([-1 if each == axis else 1 for each in range(3)])
