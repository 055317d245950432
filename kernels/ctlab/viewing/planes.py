"""How a volume is cut: planes, slabs, and the way between a voxel and a place in the picture.

Slices are seen as radiologists see them: axial from the feet, coronal from the front (the patient's right is on the left of the
picture), sagittal from the patient's left (the front is on the left). Arrays are (x, y, z) in RAS+, so every axis of a picture runs
against its array's: row 0 is the front or the head, column 0 the patient's right or front.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctlab.geometry import Geometry

Shape = tuple[int, int, int]
Voxel = tuple[int, int, int]


class Plane(enum.Enum):
    """How the body is cut: the axis across the slice, and the letters (DICOM's) at the picture's left, right, top and bottom."""

    AXIAL = ("axial", 2, "RLAP")
    CORONAL = ("coronal", 1, "RLHF")
    SAGITTAL = ("sagittal", 0, "APHF")

    def __init__(self, key: str, axis: int, letters: str) -> None:
        self.key = key
        self.axis = axis
        self.letters = letters

    @property
    def inside(self) -> tuple[int, int]:
        """The array axes along the picture's columns and rows."""
        across, down = (axis for axis in range(3) if axis != self.axis)
        return across, down


PLANES = {plane.key: plane for plane in Plane}


class Projection(enum.StrEnum):
    """What is shown of a thick slab, along the way through it."""

    MEAN = "mean"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"


@dataclass(frozen=True)
class Slab:
    """A slice of `mm` thickness (0: one voxel) and what is shown of it."""

    mm: float = 0.0
    projection: Projection = Projection.MAXIMUM


THIN = Slab()


def cut(array: npt.NDArray[Any], plane: Plane, index: int) -> npt.NDArray[Any]:
    """Slice `index` of `array` (x, y, z in RAS+) as (rows, columns), turned as it is looked at: a copy."""
    across: list[slice | int] = [slice(None)] * 3
    across[plane.axis] = index
    # First in the array's own order: turning it on the way would jump between distant pages of memory for each pixel.
    return turned(np.ascontiguousarray(array[tuple(across)]))


def turned(flat: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A slice in the order of its two array axes as it is looked at, (rows, columns)."""
    return flat[::-1, ::-1].T


def slab_range(plane: Plane, index: int, slab: Slab, geometry: Geometry) -> range:
    """The slices of a slab around slice `index`: as many as fit into its thickness, at least one, as many before as after it."""
    beside = int((slab.mm / geometry.spacing[plane.axis] - 1) / 2 + 1e-6) if slab.mm > 0 else 0
    return range(max(0, index - beside), min(geometry.shape[plane.axis], index + beside + 1))


def project(array: npt.NDArray[np.int16], plane: Plane, index: int, slab: Slab, geometry: Geometry) -> npt.NDArray[np.int16]:
    """HU of the slab around slice `index` as (rows, columns): the thin slice, or the slab's mean, maximum or minimum."""
    inside = slab_range(plane, index, slab, geometry)
    if len(inside) == 1:
        thin: npt.NDArray[np.int16] = cut(array, plane, index)
        return thin
    window: list[slice] = [slice(None)] * 3
    window[plane.axis] = slice(inside.start, inside.stop)
    thick = array[tuple(window)]
    if slab.projection is Projection.MAXIMUM:
        flat = thick.max(axis=plane.axis)
    elif slab.projection is Projection.MINIMUM:
        flat = thick.min(axis=plane.axis)
    else:
        # A sum of int16 fits into int32 for any number of slices that a scanner makes.
        flat = np.rint(thick.sum(axis=plane.axis, dtype=np.int32) / len(inside)).astype(np.int16)
    shown: npt.NDArray[np.int16] = turned(flat)
    return shown


def pixel_mm(geometry: Geometry, plane: Plane) -> tuple[float, float]:
    """Millimetres between columns, and between rows, of the plane's picture."""
    across, down = plane.inside
    return geometry.spacing[across], geometry.spacing[down]


def picture_shape(shape: Shape, plane: Plane) -> tuple[int, int]:
    """Rows and columns of the plane's picture, in voxels."""
    across, down = plane.inside
    return shape[down], shape[across]


def place_of(voxel: Voxel, shape: Shape, plane: Plane) -> tuple[int, int]:
    """Column and row at which `voxel` is in the plane's picture."""
    across, down = plane.inside
    return shape[across] - 1 - voxel[across], shape[down] - 1 - voxel[down]


def voxel_at(plane: Plane, index: int, column: float, row: float, shape: Shape) -> Voxel | None:
    """The voxel under a place of the picture of slice `index`; a pixel's centre is at whole numbers. None beside the picture."""
    across, down = plane.inside
    found = [0, 0, 0]
    found[plane.axis] = index
    found[across] = shape[across] - 1 - int(np.floor(column + 0.5))
    found[down] = shape[down] - 1 - int(np.floor(row + 0.5))
    if any(not 0 <= each < count for each, count in zip(found, shape, strict=True)):
        return None
    return found[0], found[1], found[2]


def enlargement(geometry: Geometry, plane: Plane) -> tuple[int, int]:
    """How many times columns, and rows, are repeated where slices lie far apart, so that they show no steps.

    As often as keeps a pixel no finer than the other axis': no picture has more pixels than there is something to see in.
    """
    column, row = pixel_mm(geometry, plane)
    # A ratio like 2.0 may have come out of the file's numbers a little smaller.
    finest = min(column, row) * (1 - 1e-6)
    return int(column / finest), int(row / finest)
