"""A prediction held against the truth: where it is wrong, by how much, and where to look first. Arrays: (x, y, z), one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK

from ctlab.geometry import Geometry
from ctlab.surface import distances, hd95_mm
from ctlab.viewing.overlays import Match, match
from ctlab.viewing.planes import Plane, Voxel
from ctlab.viewing.windows import Bytes

Box = tuple[slice, slice, slice]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """One label in both: volumes in ml, Dice (NaN where neither has it), and HD95 in mm (`ctlab.surface`)."""

    value: int
    predicted_ml: float
    true_ml: float
    dice: float
    hd95_mm: float
    """NaN where one of them hasn't the label."""


@dataclass(frozen=True)
class Mistake:
    """One connected piece of wrong voxels."""

    kind: Match
    ml: float
    voxel: Voxel
    """A voxel of the piece, in its slice with most of it: where to look."""


def box_of(mask: Mask) -> Box | None:
    """The smallest box around all true voxels; None when there is none."""
    sides = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(each for each in range(3) if each != axis)))
        if not len(found):
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return sides[0], sides[1], sides[2]


def wrong_by_slice(prediction: Bytes, truth: Bytes, plane: Plane) -> npt.NDArray[np.intp]:
    """How many voxels of each slice are wrong."""
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    counts: npt.NDArray[np.intp] = np.count_nonzero(prediction != truth, axis=others)
    return counts


def worst_slice(prediction: Bytes, truth: Bytes, plane: Plane) -> int | None:
    """The slice with most wrong voxels; None where both are the same."""
    wrong = wrong_by_slice(prediction, truth, plane)
    return int(wrong.argmax()) if wrong.any() else None


def agreement(prediction: Bytes, truth: Bytes, value: int, geometry: Geometry) -> Agreement:
    """How well `prediction` has label `value` of `truth`."""
    seen, true = prediction == value, truth == value
    counts = [int(np.count_nonzero(each)) for each in (seen, true, seen & true)]
    both = counts[0] + counts[1]
    return Agreement(
        value=value,
        predicted_ml=counts[0] * geometry.voxel_ml,
        true_ml=counts[1] * geometry.voxel_ml,
        dice=2 * counts[2] / both if both else float("nan"),
        hd95_mm=hd95_mm(*distances(true, seen, geometry.spacing)) if counts[0] and counts[1] else float("nan"),
    )


def mistakes(prediction: Bytes, truth: Bytes, geometry: Geometry, most: int = 50) -> list[Mistake]:
    """The largest connected pieces of wrong voxels (26 neighbours), largest first, at most `most`."""
    box = box_of(prediction != truth)
    if box is None:
        return []
    found = match(prediction[box], truth[box])
    pieces = [piece for kind in Match if kind is not Match.CORRECT for piece in _pieces(found == kind, kind)]
    pieces.sort(key=lambda piece: -piece[2])
    return [Mistake(kind, count * geometry.voxel_ml, _inside(mask, box, where)) for kind, mask, count, where in pieces[:most]]


def _pieces(mask: Mask, kind: Match) -> Iterator[tuple[Match, Mask, int, Box]]:
    """Kind, voxels, count and box of each connected piece of `mask`."""
    if not mask.any():
        return
    image = SimpleITK.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))
    numbered = SimpleITK.ConnectedComponent(image, True)  # noqa: FBT003  (26 neighbours; it has no name to be called by)
    shapes = SimpleITK.LabelShapeStatisticsImageFilter()
    shapes.Execute(numbered)
    numbers = SimpleITK.GetArrayFromImage(numbered).transpose(2, 1, 0)
    for label in shapes.GetLabels():
        x, y, z, wide, deep, high = shapes.GetBoundingBox(label)
        where = slice(x, x + wide), slice(y, y + deep), slice(z, z + high)
        yield kind, numbers[where] == label, shapes.GetNumberOfPixels(label), where


def _inside(mask: Mask, outer: Box, inner: Box) -> Voxel:
    """The piece's voxel nearest to its middle, in its axial slice with most of it."""
    level = int(np.count_nonzero(mask, axis=(0, 1)).argmax())
    places = np.argwhere(mask[:, :, level])
    nearest = places[int(((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    corner = [first.start + second.start for first, second in zip(outer, inner, strict=True)]
    return corner[0] + int(nearest[0]), corner[1] + int(nearest[1]), corner[2] + level
