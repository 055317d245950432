"""A label drawn in a few slices, filled in between them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import SimpleITK

from ctlab.errors import LabelError
from ctlab.geometry import Geometry
from ctlab.viewing.planes import Plane
from ctlab.viewing.windows import Bytes
from phrases import N_


def filled_between(labels: Bytes, plane: Plane, value: int, geometry: Geometry) -> tuple[npt.NDArray[np.bool_], int]:
    """Where `value` belongs between the slices that have it: a mask along `plane.axis`, and the slice at which it begins.

    In every gap the outline goes over from one side to the other: where the signed distances (mm) to both outlines, weighted by
    how near each is, are inside (S. P. Raya, J. K. Udupa, "Shape-based interpolation of multidimensional objects", 1990).
    Only voxels without a label are taken. Raises LabelError when there is no gap.
    """
    stack = np.moveaxis(labels, plane.axis, 0)
    drawn = [int(index) for index in np.flatnonzero((stack == value).any(axis=(1, 2)))]
    gaps = [(low, high) for low, high in pairwise(drawn) if high - low > 1]
    if not gaps:
        raise LabelError(
            N_("There is no gap to fill: the label has to be drawn in two slices with empty ones between. Nothing was changed.")
        )
    first, last = gaps[0][0], gaps[-1][1]
    found = np.zeros((last - first + 1, *stack.shape[1:]), bool)
    across, down = plane.inside
    spacing = geometry.spacing[down], geometry.spacing[across]
    for low, high in gaps:
        one, other = (_inside_mm(stack[index] == value, spacing) for index in (low, high))
        for index in range(low + 1, high):
            near = (index - low) / (high - low)
            found[index - first] = ((1 - near) * one + near * other > 0) & (stack[index] == 0)
    return np.moveaxis(found, 0, plane.axis), first


def _inside_mm(mask: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Millimetres to the outline, positive inside; `spacing` along the last axis, and along the first."""
    # The filter measures to the border's own voxels: from both sides, the outline is between them.
    inside, outside = (_to_border(part, spacing) for part in (mask, ~mask))
    return (inside - outside) / 2


def _to_border(mask: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    away = SimpleITK.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    distances: npt.NDArray[np.float64] = SimpleITK.GetArrayFromImage(away).astype(np.float64)
    return distances
