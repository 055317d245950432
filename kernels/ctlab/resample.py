"""Between a scanner's grid and the coarser, even grid that a network works on.

Both grids cover exactly the same box: with n voxels of s mm the working grid has round(n * s / t) voxels for a target of t mm,
so that its spacing differs from t by less than half a voxel over the whole side, and going back loses no edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ctlab import regrid
from ctlab.geometry import Geometry
from ctlab.regrid import Box, Shape

BODY_ABOVE_HU = -500
"""Skin, muscle, bone and the table lie above, air outside below."""

MARGIN = 2
"""Voxels of air left around the body."""


def working_shape(geometry: Geometry, target_mm: float) -> Shape:
    """How many voxels of about `target_mm` cover the same box as `geometry`."""
    x, y, z = (max(1, round(n * step / target_mm)) for n, step in zip(geometry.shape, geometry.spacing, strict=True))
    return x, y, z


def resample_hu(voxels: npt.NDArray[np.int16], shape: Shape) -> torch.Tensor:
    """HU (int16, shape `shape`): averaged along axes that get coarser, interpolated linearly along the others."""
    return torch.from_numpy(regrid.hu_of(voxels, _sides(voxels), shape, regrid.everything(shape)))


def resample_labels(voxels: npt.NDArray[np.uint8], shape: Shape) -> torch.Tensor:
    """Label numbers (uint8, shape `shape`) of the nearest voxels."""
    return torch.from_numpy(regrid.labels_of(voxels, _sides(voxels), shape, regrid.everything(shape)))


def _sides(voxels: npt.NDArray[Any]) -> Shape:
    x, y, z = voxels.shape
    return x, y, z


def body_box(hu: torch.Tensor) -> Box:
    """The smallest box around everything denser than air, with a margin; the whole volume when there is nothing."""
    body = hu > BODY_ABOVE_HU
    sides = []
    for axis in range(3):
        other = [each for each in range(3) if each != axis]
        found = body.any(dim=other[1]).any(dim=other[0]).nonzero().flatten()
        first, last = (int(found[0]), int(found[-1])) if len(found) else (0, hu.shape[axis] - 1)
        sides.append(slice(max(0, first - MARGIN), min(hu.shape[axis], last + 1 + MARGIN)))
    return sides[0], sides[1], sides[2]


@dataclass(frozen=True)
class Prepared:
    """A case as the network sees it, in memory."""

    name: str
    hu: torch.Tensor
    """int16 (x, y, z), working grid, cropped to the body."""
    labels: torch.Tensor
    """uint8, same shape."""
    origin: Shape = (0, 0, 0)
    """Where its first voxel lies on the working grid."""

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.hu.nbytes + self.labels.nbytes


def prepare(name: str, hu: npt.NDArray[np.int16], labels: npt.NDArray[np.uint8], shape: Shape) -> Prepared:
    """Both arrays on the working grid of `shape`, cropped to the body."""
    coarse = resample_hu(hu, shape)
    box = body_box(coarse)
    first = (box[0].start, box[1].start, box[2].start)
    return Prepared(name, coarse[box].contiguous(), resample_labels(labels, shape)[box].contiguous(), first)


def winner(probabilities: torch.Tensor, box: Box, working: Shape, shape: Shape) -> npt.NDArray[np.uint8]:
    """The most probable class at each voxel of the full grid, uint8 of `shape`.

    `probabilities` is (class, x, y, z) inside `box` of the `working` grid; outside it class 0 is certain. Classes are brought
    to the full grid one after the other, so that memory doesn't grow with their number.
    """
    best = torch.zeros(shape)
    result = torch.zeros(shape, dtype=torch.uint8)
    for number, inside in enumerate(probabilities):
        whole = torch.full(working, 1.0 if number == 0 else 0.0)
        whole[box] = inside
        fine = functional.interpolate(whole[None, None], shape, mode="trilinear", align_corners=False)[0, 0]
        result[fine > best] = number
        best = torch.maximum(best, fine)
    return result.numpy()
