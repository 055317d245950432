"""Which voxels of a mask of both lungs are the right one's, and which the left one's."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import SimpleITK

from ctlab.geometry import Matrix

Mask = npt.NDArray[np.bool_]
Sides = npt.NDArray[np.uint8]

RIGHT, LEFT = 1, 2

STEP_MM = 2.5
"""Fine enough for what parts two lungs, and a hundredth of a thin-slice CT's voxels."""

DEPTHS_MM = (2.0, 4.0, 6.0, 9.0, 12.0)
"""How deep a mask is peeled until its two lungs part: where they touch (in front of the heart, behind it), the bridge is thin."""

LEAST_SHARE = 0.15
"""A lung is at least this part of both: one that is half collapsed still is, a pocket of air is not."""

ALONE = 0.85
"""Whoever has this part of the marked voxels on one side of the body's middle has one lung."""

LARGEST = 4
"""Parts that may be a lung; anything beyond the four largest is a crumb."""


def sides(mask: Mask, affine: Matrix, middle_mm: float) -> Sides:
    """RIGHT, LEFT or 0 for each voxel of `mask` (x, y, z); `affine` leads to mm in RAS+, `middle_mm` is x of the body's middle.

    The two lungs are the largest parts of the mask that lie beside each other; where they are joined, the mask is peeled until
    they part, and then flooded again from both, the deepest voxels first, so that they meet where the bridge is thinnest. When no
    peeling parts them, and nearly all lies on one side of the middle, there is one lung; else the body's middle plane divides them.

    Decided on every n-th voxel, about STEP_MM apart: where the lungs touch, the border between them may be off by as much.
    """
    result = np.zeros(mask.shape, np.uint8)
    if not mask.any():
        return result
    box = tuple(slice(int(found[0]), int(found[-1]) + 1) for found in _occupied(mask))
    inside = mask[box]
    steps = np.maximum(1, np.rint(STEP_MM / np.linalg.norm(affine[:3, :3], axis=0))).astype(int)
    if not _every(inside, steps).any():
        steps = np.ones(3, int)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ ([side.start for side in box] + steps // 2)
    moved[:3, :3] *= steps
    decided = _decided(_every(inside, steps), moved, middle_mm)
    nearest = (np.minimum(np.arange(n) // step, m - 1) for n, step, m in zip(inside.shape, steps, decided.shape, strict=True))
    result[box] = decided[np.ix_(*nearest)] * inside
    return result


def _every(mask: Mask, steps: npt.NDArray[np.int64]) -> Mask:
    """Of every `steps` voxels the middle one; the first of an axis that is shorter."""
    middle = (slice(min(int(step) // 2, length - 1), None, int(step)) for length, step in zip(mask.shape, steps, strict=True))
    return mask[tuple(middle)]


def _decided(mask: Mask, affine: Matrix, middle_mm: float) -> Sides:
    """RIGHT or LEFT for every voxel, of the mask or not."""
    seeds = _seeds(mask, affine)
    return _flooded(mask, *seeds, affine) if seeds else _divided(mask, affine, middle_mm)


def _occupied(mask: Mask) -> list[npt.NDArray[np.int64]]:
    return [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]


def _seeds(mask: Mask, affine: Matrix) -> tuple[Mask, Mask] | None:
    """Parts of the right and of the left lung, that don't touch; None when there are none."""
    found = _beside(mask, affine)
    if found:
        return found
    depth = _depth(mask, affine)
    return next((parts for least in DEPTHS_MM if (parts := _beside(depth > least, affine))), None)


def _beside(mask: Mask, affine: Matrix) -> tuple[Mask, Mask] | None:
    """The two largest parts of `mask` that are large enough and lie beside each other, right one first."""
    parts = SimpleITK.GetArrayFromImage(SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(mask.view(np.uint8))))
    sizes = np.bincount(parts.ravel())[1:]
    largest = [int(index) + 1 for index in np.argsort(-sizes, kind="stable")[:LARGEST] if sizes[index] >= LEAST_SHARE * sizes.sum()]
    centres = {part: affine[:3, :3] @ np.argwhere(parts == part).mean(axis=0) for part in largest}
    for one, other in combinations(largest, 2):
        apart = centres[one] - centres[other]
        if abs(apart[0]) >= np.abs(apart[1:]).max():
            right, left = (one, other) if apart[0] > 0 else (other, one)
            return parts == right, parts == left
    return None


def _flooded(mask: Mask, right: Mask, left: Mask, affine: Matrix) -> Sides:
    """Every voxel to the seed from which it is reached without crossing anything shallower."""
    seeds = np.where(right, RIGHT, np.where(left, LEFT, 0)).astype(np.uint8)
    height = SimpleITK.GetImageFromArray(-_depth(mask, affine))
    flooded = SimpleITK.MorphologicalWatershedFromMarkers(height, SimpleITK.GetImageFromArray(seeds), markWatershedLine=False)
    found: Sides = SimpleITK.GetArrayFromImage(flooded)
    return found


def _divided(mask: Mask, affine: Matrix, middle_mm: float) -> Sides:
    """By the body's middle plane, unless nearly all lies on one side of it."""
    x, y, z = (np.arange(length) * step for length, step in zip(mask.shape, affine[0, :3], strict=True))
    right = x[:, None, None] + y[:, None] + z + affine[0, 3] > middle_mm
    share = float(np.count_nonzero(right & mask)) / max(1, int(np.count_nonzero(mask)))
    if share >= ALONE or share <= 1 - ALONE:
        return np.full(mask.shape, RIGHT if share >= ALONE else LEFT, np.uint8)
    return np.where(right, RIGHT, LEFT).astype(np.uint8)


def _depth(mask: Mask, affine: Matrix) -> npt.NDArray[np.float32]:
    """How deep each voxel lies in `mask`, mm; negative outside it."""
    image = SimpleITK.GetImageFromArray(np.pad(mask, 1).view(np.uint8))
    image.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0)[::-1].tolist())  # SimpleITK counts an array's axes from the last
    apart = SimpleITK.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    found: npt.NDArray[np.float32] = SimpleITK.GetArrayFromImage(apart)[1:-1, 1:-1, 1:-1]
    return found
