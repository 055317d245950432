"""How good a segmentation is: Dice, surface distances and volume of each label, each with one value for every possible case.

A label that only one of truth and prediction has is as wrong as can be, and counts as that instead of falling out of a mean:
Dice 0, NSD 0, and as HD95 the diagonal of the image, which no distance exceeds. A label that neither has was rightly not marked:
there is nothing to measure, it is in no mean, and tables say how many cases that were.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ctlab.geometry import Geometry
from ctlab.surface import distances, hd95_mm, surface_dice
from ctlab.volume import Labels

TOLERANCE_MM = 2.0
"""Default of NSD: what two people differ by when they outline the same organ on CT, no less than most slices are thick."""


class Finding(StrEnum):
    """Who has a label."""

    FOUND = "found"
    MISSED = "missed"
    """Only the truth."""
    INVENTED = "invented"
    """Only the prediction."""


@dataclass(frozen=True)
class Marks:
    """How well one label of one case was segmented."""

    finding: Finding
    dice: float
    """Twice the common voxels over the sum of both, 0 to 1."""
    hd95_mm: float
    """See `ctlab.surface.hd95_mm`; the image's diagonal unless both have the label."""
    nsd: float
    """Part of the surfaces within the tolerance of each other, 0 to 1; see `ctlab.surface.surface_dice`."""
    truth_ml: float
    prediction_ml: float

    @property
    def error_ml(self) -> float:
        """Volume of the prediction less that of the truth."""
        return self.prediction_ml - self.truth_ml


def compare(truth: Labels, prediction: Labels, *, tolerance_mm: float = TOLERANCE_MM) -> dict[int, Marks]:
    """Label value to marks, for every label of either. Raises LabelError when they don't lie on the same grid."""
    prediction.check_fits(truth)
    values = sorted({*truth.values(), *prediction.values()})
    return {value: _marks(truth.voxels == value, prediction.voxels == value, truth.geometry, tolerance_mm) for value in values}


def _marks(truth: npt.NDArray[np.bool_], prediction: npt.NDArray[np.bool_], geometry: Geometry, tolerance_mm: float) -> Marks:
    here, there = int(np.count_nonzero(truth)), int(np.count_nonzero(prediction))
    volumes = here * geometry.voxel_ml, there * geometry.voxel_ml
    if not (here and there):
        diagonal = float(np.linalg.norm(np.multiply(geometry.shape, geometry.spacing)))
        return Marks(Finding.MISSED if here else Finding.INVENTED, 0.0, diagonal, 0.0, *volumes)
    overlap = 2.0 * int(np.count_nonzero(truth & prediction)) / (here + there)
    apart = distances(truth, prediction, geometry.spacing)
    return Marks(Finding.FOUND, overlap, hd95_mm(*apart), surface_dice(*apart, tolerance_mm), *volumes)


def dice(truth: Labels, prediction: Labels) -> dict[int, float]:
    """Label value to Dice, for every label of either: twice the common voxels over the sum of both.

    1 where both are the same, 0 where nothing is common. Raises LabelError when they don't lie on the same grid.
    """
    prediction.check_fits(truth)
    values = sorted({*truth.values(), *prediction.values()})
    return dice_of(truth.voxels, prediction.voxels, values)


def dice_of(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], values: list[int]) -> dict[int, float]:
    """Label value to Dice for two label arrays of one shape; NaN for a value that neither has."""
    scores = {}
    for value in values:
        here, there = truth == value, prediction == value
        marked = np.count_nonzero(here) + np.count_nonzero(there)
        scores[value] = 2.0 * int(np.count_nonzero(here & there)) / int(marked) if marked else float("nan")
    return scores
