"""What people measure in a slice, in mm and HU. Points are (column, row) in voxels of the picture, centres at whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctlab.errors import CtlabError
from phrases import N_

Point = tuple[float, float]


class MeasureError(CtlabError):
    """A measurement that has no result."""


@dataclass(frozen=True)
class Region:
    """HU inside a region of interest, and how large it is."""

    mean: float
    sd: float
    """Standard deviation over the region's voxels (divided by their number)."""
    lowest: int
    highest: int
    area_mm2: float
    """Of the voxels counted."""
    voxels: int


def distance_mm(start: Point, end: Point, mm: tuple[float, float]) -> float:
    """Length of a ruler; `mm` between columns and rows."""
    return math.hypot((end[0] - start[0]) * mm[0], (end[1] - start[1]) * mm[1])


def angle_degrees(first: Point, corner: Point, second: Point, mm: tuple[float, float]) -> float:
    """The angle at `corner`, 0 to 180, in the patient and not in the picture. Raises MeasureError when an arm has no length."""
    arms = [((x - corner[0]) * mm[0], (y - corner[1]) * mm[1]) for x, y in (first, second)]
    lengths = [math.hypot(*arm) for arm in arms]
    if min(lengths) < 1e-9:
        raise MeasureError(N_("An angle needs three different points. Nothing was measured; set the points again."))
    across = arms[0][0] * arms[1][1] - arms[0][1] * arms[1][0]
    along = arms[0][0] * arms[1][0] + arms[0][1] * arms[1][1]
    return math.degrees(abs(math.atan2(across, along)))


def ellipse(shape: tuple[int, int], first: Point, second: Point) -> npt.NDArray[np.bool_]:
    """The voxels (rows, columns) whose centre lies in the ellipse between two opposite corners of its box."""
    (left, top), (right, bottom) = first, second
    column, row = (left + right) / 2, (top + bottom) / 2
    wide, high = max(abs(right - left) / 2, 1e-9), max(abs(bottom - top) / 2, 1e-9)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    found: npt.NDArray[np.bool_] = ((columns - column) / wide) ** 2 + ((rows - row) / high) ** 2 <= 1
    return found


def polygon(shape: tuple[int, int], points: Sequence[Point]) -> npt.NDArray[np.bool_]:
    """The voxels (rows, columns) whose centre lies inside the closed line through `points`, by the even-odd rule."""
    inside = np.zeros(shape, bool)
    rows, columns = np.arange(shape[0], dtype=np.float64)[:, None], np.arange(shape[1], dtype=np.float64)[None, :]
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 == y1:
            continue
        crosses = (rows >= min(y0, y1)) & (rows < max(y0, y1))
        inside ^= crosses & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside


def region(hu: npt.NDArray[np.int16], mask: npt.NDArray[np.bool_], mm: tuple[float, float]) -> Region:
    """HU statistics of a slice (rows, columns) inside `mask`. Raises MeasureError when no voxel's centre is inside."""
    values = hu[mask].astype(np.float64)
    if values.size == 0:
        raise MeasureError(N_("The region holds no voxel. Nothing was measured; draw a larger one."))
    return Region(
        mean=float(values.mean()),
        sd=float(values.std()),
        lowest=int(values.min()),
        highest=int(values.max()),
        area_mm2=values.size * mm[0] * mm[1],
        voxels=values.size,
    )
