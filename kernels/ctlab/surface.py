"""How far the surfaces of two masks lie apart.

The definition is MONAI's (`compute_hausdorff_distance`, `compute_surface_dice` without subvoxels), so that numbers can be compared:

- a surface voxel belongs to the mask and has one of its six neighbours outside it; beyond the image is outside, so a structure that
  the scan cuts off has a surface at the image's border;
- distances are between the centres of surface voxels, in mm;
- every surface voxel counts once, however large its faces are. With thick slices that weighs the sides of a structure more than
  its top and bottom; DeepMind's `surface-distance` weighs by area instead, and gives somewhat other numbers there.

MONAI's own functions need scipy, which nothing else here does; SimpleITK's distance transform gives the same distances, and is the
faster one. On 60 pairs of random masks with uneven spacing both agreed within 4e-6 mm (HD95) and 3e-8 (NSD).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK

Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.float32]

ROUNDING_MM = 1e-4
"""A distance that is longer than the tolerance by less than this still lies within: distances are computed in single precision."""

QUANTILE = 95.0
"""Of HD95: a few stray voxels decide the largest distance, and say little about the rest."""


def surface(mask: Mask) -> Mask:
    """The voxels of `mask` (x, y, z) that have one of their six neighbours outside it, or lie at the array's border."""
    inner = np.zeros_like(mask)
    middle = (slice(1, -1),) * mask.ndim
    inner[middle] = mask[middle]
    for axis in range(mask.ndim):
        for beside in (slice(None, -2), slice(2, None)):
            inner[middle] &= mask[(*middle[:axis], beside, *middle[axis + 1 :])]
    return mask & ~inner


def distances(truth: Mask, prediction: Mask, spacing: tuple[float, float, float]) -> tuple[Distances, Distances]:
    """Of each surface voxel of `truth` the distance to the surface of `prediction`, and the other way round; mm, in no order.

    Both masks (x, y, z) have one shape and are not empty; `spacing` is mm along x, y, z.
    """
    box = _box(truth | prediction)
    here, there = surface(truth[box]), surface(prediction[box])
    return _to(there, spacing)[here], _to(here, spacing)[there]


def hd95_mm(from_truth: Distances, from_prediction: Distances) -> float:
    """The 95th percentile of the distances (between two voxels interpolated) in each direction, and of both the larger; mm."""
    return float(max(np.percentile(from_truth, QUANTILE), np.percentile(from_prediction, QUANTILE)))


def surface_dice(from_truth: Distances, from_prediction: Distances, tolerance_mm: float) -> float:
    """The part of both surfaces' voxels that lie within `tolerance_mm` of the other surface: NSD, from 0 to 1.

    Source: S. Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck anatomy for
    radiotherapy", 2018, counted in voxels.
    """
    limit = tolerance_mm + ROUNDING_MM
    near = np.count_nonzero(from_truth <= limit) + np.count_nonzero(from_prediction <= limit)
    return float(near / (len(from_truth) + len(from_prediction)))


def _to(marked: Mask, spacing: tuple[float, float, float]) -> Distances:
    """Of each voxel the distance to the nearest voxel of `marked`, a surface: each of its voxels has a neighbour outside it."""
    # A frame of empty voxels: a surface at the array's border has an outside too.
    image = SimpleITK.GetImageFromArray(np.pad(marked, 1).view(np.uint8))
    image.SetSpacing(spacing[::-1])  # SimpleITK counts an array's axes from the last
    apart = SimpleITK.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    inside: Distances = SimpleITK.GetArrayFromImage(apart)[(slice(1, -1),) * marked.ndim]
    return np.abs(inside, out=inside)  # on the surface itself it may be -0.0


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around `mask`: what lies outside changes no distance."""
    sides = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(sides)
