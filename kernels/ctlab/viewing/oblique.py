"""Scans that don't run along the patient's axes, resampled so that the patient's sides are where the letters say."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from ctlab.errors import CtlabError
from ctlab.geometry import Geometry
from ctlab.volume import Labels, Volume
from phrases import N_

STRAIGHT_DEGREES = 1.0
"""Up to here a scan is shown as it is: over 300 mm the edge of a slice lies 5 mm off."""

AIR = -1024
"""HU outside of what was scanned."""

LARGEST = 2**31
"""Voxels: what is turned by 45 degrees fills a box up to nearly three times its own size."""

_LPS = np.diag([-1.0, -1.0, 1.0])


class ObliqueError(CtlabError):
    """A scan that can't be shown upright."""


def is_oblique(geometry: Geometry) -> bool:
    """Whether the scan's axes lie too far from the patient's to be shown as they are."""
    return geometry.obliquity_degrees > STRAIGHT_DEGREES


def upright_grid(geometry: Geometry) -> Geometry:
    """A grid along the patient's axes with the same spacing, around all that was scanned."""
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in geometry.shape))], np.float64)
    places = (corners @ geometry.affine.T)[:, :3]
    low, high = places.min(axis=0), places.max(axis=0)
    x, y, z = (int(np.ceil(side / step - 1e-6)) + 1 for side, step in zip(high - low, geometry.spacing, strict=True))
    affine = np.diag([*geometry.spacing, 1.0])
    affine[:3, 3] = low
    return Geometry((x, y, z), affine)


def upright(ct: Volume) -> Volume:
    """`ct` on `upright_grid`, interpolated linearly, int16. Raises ObliqueError when that would be too large."""
    grid = upright_grid(ct.geometry)
    if np.prod(grid.shape, dtype=np.int64) > LARGEST:
        raise ObliqueError(
            N_(
                "{case}: the scan is turned by {degrees:.0f}° against the patient's axes, and too large to be turned back here. "
                "Export it along the patient's axes."
            ),
            case=ct.name,
            degrees=ct.geometry.obliquity_degrees,
        )
    return Volume(_resampled(ct.voxels, ct.geometry, grid, SimpleITK.sitkLinear, AIR), grid, ct.name)


def upright_labels(labels: Labels) -> Labels:
    """`labels` on the same grid, each voxel with the label of the nearest one."""
    grid = upright_grid(labels.geometry)
    return Labels(
        _resampled(labels.voxels, labels.geometry, grid, SimpleITK.sitkNearestNeighbor, 0), grid, labels.name, labels.names
    )


def _resampled(voxels: npt.NDArray[Any], geometry: Geometry, grid: Geometry, how: int, outside: float) -> npt.NDArray[Any]:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    _place(image, geometry)
    wanted = SimpleITK.ResampleImageFilter()
    wanted.SetSize(grid.shape)
    wanted.SetOutputSpacing(grid.spacing)
    wanted.SetOutputOrigin((_LPS @ grid.affine[:3, 3]).tolist())
    wanted.SetOutputDirection((_LPS @ grid.affine[:3, :3] / grid.spacing).ravel().tolist())
    wanted.SetInterpolator(how)
    wanted.SetDefaultPixelValue(outside)
    return np.ascontiguousarray(SimpleITK.GetArrayViewFromImage(wanted.Execute(image)).transpose(2, 1, 0))


def _place(image: SimpleITK.Image, geometry: Geometry) -> None:
    image.SetSpacing(geometry.spacing)
    image.SetOrigin((_LPS @ geometry.affine[:3, 3]).tolist())
    image.SetDirection((_LPS @ geometry.affine[:3, :3] / geometry.spacing).ravel().tolist())
