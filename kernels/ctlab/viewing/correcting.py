"""A label image being corrected: strokes of a brush, an eraser or a lasso, each of which can be taken back."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctlab.geometry import Geometry
from ctlab.viewing.measures import Point, polygon
from ctlab.viewing.planes import Plane, cut
from ctlab.viewing.windows import Bytes

STEPS = 100
"""Corrections that can be taken back."""

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Limits:
    """Which voxels a stroke may change."""

    hu: tuple[int, int] | None = None
    """Only those with HU from the first to the second, both included."""
    only: int | None = None
    """Only those that have this label (0: none) now."""


@dataclass(frozen=True)
class Change:
    """What one correction did to a box of the array, packed."""

    box: Box
    before: bytes
    after: bytes


def brush(shape: tuple[int, int], points: Sequence[Point], radius_mm: float, mm: tuple[float, float]) -> Mask:
    """The voxels (rows, columns) whose centre is at most `radius_mm` from the line through `points` (column, row).

    Where the brush is smaller than a voxel, the voxels under the points themselves.
    """
    found = np.zeros(shape, bool)
    rows, columns = np.arange(shape[0], dtype=np.float64)[:, None] * mm[1], np.arange(shape[1], dtype=np.float64)[None, :] * mm[0]
    ends = [(x * mm[0], y * mm[1]) for x, y in points]
    for (x0, y0), (x1, y1) in zip(ends, ends[1:] or ends, strict=False):
        reach = radius_mm + max(mm)
        top, bottom = np.searchsorted(rows[:, 0], (min(y0, y1) - reach, max(y0, y1) + reach))
        left, right = np.searchsorted(columns[0], (min(x0, x1) - reach, max(x0, x1) + reach))
        row, column = rows[top:bottom], columns[:, left:right]
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip(((column - x0) * (x1 - x0) + (row - y0) * (y1 - y0)) / length, 0, 1) if length else 0.0
        away = (column - x0 - along * (x1 - x0)) ** 2 + (row - y0 - along * (y1 - y0)) ** 2
        found[top:bottom, left:right] |= away <= radius_mm**2
    for x, y in points:
        column_at, row_at = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        if 0 <= row_at < shape[0] and 0 <= column_at < shape[1]:
            found[row_at, column_at] = True
    return found


class Correction:
    """The labels of one case in the making. What is given stays as it is: the work is done on a copy."""

    def __init__(self, labels: Bytes, hu: npt.NDArray[np.int16], geometry: Geometry) -> None:
        """`labels` and `hu` are (x, y, z) of one shape."""
        self.voxels: Bytes = labels.copy()
        self._hu, self._geometry = hu, geometry
        self._done: deque[Change] = deque(maxlen=STEPS)
        self._undone: list[Change] = []
        self.count = 0
        """Corrections since the labels were as given or saved, those taken back not counted."""

    def stroke(
        self, plane: Plane, index: int, points: Sequence[Point], value: int, *, radius_mm: float, limits: Limits | None = None
    ) -> int:
        """A brush of label `value` (0: the eraser) along `points`; how many voxels changed."""
        across, down = plane.inside
        mm = self._geometry.spacing[across], self._geometry.spacing[down]
        shape = self.voxels.shape[down], self.voxels.shape[across]
        return self._lay(plane, index, brush(shape, points, radius_mm, mm), value, limits or Limits())

    def lasso(self, plane: Plane, index: int, points: Sequence[Point], value: int, *, limits: Limits | None = None) -> int:
        """Label `value` (0: none) inside the closed line through `points`; how many voxels changed."""
        across, down = plane.inside
        shape = self.voxels.shape[down], self.voxels.shape[across]
        return self._lay(plane, index, polygon(shape, points), value, limits or Limits())

    def _lay(self, plane: Plane, index: int, mask: Mask, value: int, limits: Limits) -> int:
        flat = cut(self.voxels, plane, index)
        mask = mask & (flat != value)
        if limits.only is not None:
            mask &= flat == limits.only
        if limits.hu is not None:
            hu = cut(self._hu, plane, index)
            mask &= (hu >= limits.hu[0]) & (hu <= limits.hu[1])
        full = np.zeros((1, *mask.shape), bool)
        full[0] = mask
        # From rows and columns back to the array's axes.
        turned = np.moveaxis(full[:, ::-1, ::-1], (0, 2, 1), (plane.axis, *plane.inside))
        return self.put(turned, plane.axis, index, value)

    def put(self, mask: Mask, axis: int, start: int, value: int) -> int:
        """Label `value` wherever `mask` is true, which lies at `start` along `axis` and fills the other axes."""
        places = np.nonzero(mask)
        if not len(places[0]):
            return 0
        inner = [slice(int(each.min()), int(each.max()) + 1) for each in places]
        outer = list(inner)
        outer[axis] = slice(inner[axis].start + start, inner[axis].stop + start)
        box = outer[0], outer[1], outer[2]
        part = self.voxels[box]
        before = _packed(part)
        part[mask[tuple(inner)]] = value
        self._done.append(Change(box, before, _packed(part)))
        self._undone.clear()
        self.count += 1
        return len(places[0])

    def undo(self) -> bool:
        """Takes the last correction back; false when there is none."""
        if not self._done:
            return False
        change = self._done.pop()
        self._set(change.box, change.before)
        self._undone.append(change)
        self.count -= 1
        return True

    def redo(self) -> bool:
        """Makes again what was taken back last; false when there is nothing."""
        if not self._undone:
            return False
        change = self._undone.pop()
        self._set(change.box, change.after)
        self._done.append(change)
        self.count += 1
        return True

    def saved(self) -> None:
        """Count from here."""
        self.count = 0

    def _set(self, box: Box, packed: bytes) -> None:
        part = self.voxels[box]
        part[...] = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(part.shape)


def _packed(part: Bytes) -> bytes:
    return zlib.compress(np.ascontiguousarray(part).tobytes(), 1)
