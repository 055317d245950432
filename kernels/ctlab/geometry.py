"""Where voxels lie in the patient: one convention for the whole library.

Arrays have the axes (x, y, z) and world coordinates are millimetres, both RAS+: x grows to the patient's right, y to the
front (anterior), z to the head (superior), as in NIfTI, nibabel and MONAI. Files stored otherwise are turned on reading; the
orientation they had is kept, so that what is saved beside them has their own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from ctlab.errors import SkewError, UnreadableError
from phrases import N_

Matrix = npt.NDArray[np.float64]

SKEW_LIMIT_DEGREES = 0.5
"""Axes further than this from a right angle are refused; scanners round direction cosines to far less."""

FIT_TOLERANCE = 0.1
"""Two grids are the same when no corner differs by more than this part of a voxel."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shape and place of a voxel grid in canonical orientation."""

    shape: tuple[int, int, int]
    affine: Matrix
    """4 x 4, from voxel index (x, y, z) to the voxel's centre in mm, RAS+; the array can't be written to."""
    stored: str = "RAS"
    """Orientation of the axes in the file this came from, for example "LPS"."""

    def __post_init__(self) -> None:
        affine = np.array(self.affine, np.float64)
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along x, y, z."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    @property
    def obliquity_degrees(self) -> float:
        """Largest angle between an axis of the grid and the patient's axis next to it."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(np.degrees(np.arccos(np.clip(np.diag(directions).min(), -1.0, 1.0))))

    def misfit(self, other: Geometry) -> float:
        """Largest distance in mm between the places of one corner in both grids; infinite when the shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in self.shape))], np.float64).T
        return float(np.linalg.norm(((self.affine - other.affine) @ corners)[:3], axis=0).max())

    def fits(self, other: Geometry) -> bool:
        """Whether both are the same grid."""
        return self.misfit(other) <= FIT_TOLERANCE * min(self.spacing)


def canonical(array: npt.NDArray[Any], affine: Matrix, name: str) -> tuple[npt.NDArray[Any], Geometry]:
    """`array` (three axes, any orientation) with its axes turned to RAS+, and its geometry.

    Raises UnreadableError when `affine` maps no grid at all, and SkewError when the axes aren't at right angles.
    """
    columns = np.asarray(affine, np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not np.isfinite(affine).all() or (lengths < 1e-6).any() or abs(np.linalg.det(columns / lengths)) < 1e-3:
        raise unplaced(name)
    cosines = (columns / lengths).T @ (columns / lengths) - np.eye(3)
    skew = float(np.degrees(np.arcsin(min(1.0, np.abs(cosines).max()))))
    if skew > SKEW_LIMIT_DEGREES:
        raise skewed(name, skew)
    orientation = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(array, orientation)
    moved = np.asarray(affine, np.float64) @ nib.orientations.inv_ornt_aff(orientation, array.shape)
    x, y, z = turned.shape
    return turned, Geometry((x, y, z), moved, "".join(nib.orientations.aff2axcodes(affine)))


def skewed(name: str, degrees: float) -> SkewError:
    """The refusal of a grid whose slices are shifted against each other by `degrees`."""
    return SkewError(
        N_(
            "{case}: the slices are shifted against each other by {degrees:.1f}°, probably because the scanner's gantry was "
            "tilted. Export the series with gantry tilt correction, or leave this case out."
        ),
        case=name,
        degrees=degrees,
    )


def unplaced(name: str) -> UnreadableError:
    """The refusal of a file that says nothing, or nonsense, about its voxels' place."""
    return UnreadableError(
        N_("{case}: the file doesn't say where its voxels lie in the patient. Convert it from the original DICOM again."), case=name
    )


def as_stored(array: npt.NDArray[Any], geometry: Geometry) -> tuple[npt.NDArray[Any], Matrix]:
    """The inverse of `canonical`: `array` (x, y, z in RAS+) and its affine in the orientation its file has."""
    stored = nib.orientations.axcodes2ornt(tuple(geometry.stored))
    there = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(("R", "A", "S")), stored)
    affine = geometry.affine @ nib.orientations.inv_ornt_aff(there, geometry.shape)
    return nib.orientations.apply_orientation(array, there), affine
