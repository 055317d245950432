"""One slice of each of a few validation cases, with what the network sees there and the truth: a small picture to judge by eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ctlab.network import HIGH_HU, LOW_HU
from ctlab.resample import Prepared
from ctlab.viewing.overlays import Paint, painted
from ctlab.viewing.pictures import image, side_by_side
from ctlab.viewing.planes import Plane, cut
from ctlab.viewing.windows import Bytes, Window, grey

MOST = 3
"""Cases that are shown, the first ones."""
SIDE = 256
"""Pixels of a slice's longer side; they lie side by side."""
WINDOW = Window(HIGH_HU - LOW_HU, (HIGH_HU + LOW_HU) / 2)
"""What networks see of the HU."""


@dataclass(frozen=True)
class Examples:
    """Of one validation."""

    epoch: int
    """Counted from 1."""
    cases: tuple[str, ...]
    """Names, from left to right."""
    png: bytes
    """8-bit shades; areas are the prediction, outlines of the same colours the truth."""


class Gallery:
    """Gathers one slice a case while a network is judged: of the same cases the same slices each time."""

    def __init__(self) -> None:
        self._made: dict[str, Image.Image] = {}

    def look(self, case: Prepared, found: Bytes) -> None:
        """Remembers a slice of `case`, with the label values `found` in it (x, y, z), if it is one of the first."""
        if len(self._made) < MOST:
            self._made[case.name] = image(_slice(case, found))

    def examples(self, epoch: int) -> Examples:
        """What was gathered after the epoch of that number."""
        return Examples(epoch, tuple(self._made), side_by_side([each.convert("RGB") for each in self._made.values()]))


def most_labelled(labels: Bytes) -> int:
    """The axial slice of `labels` (x, y, z) with the most labelled voxels, of equal ones the lowest; the middle one of none."""
    counts = np.count_nonzero(labels, axis=(0, 1))
    return int(counts.argmax()) if counts.any() else len(counts) // 2


def _slice(case: Prepared, found: Bytes) -> Bytes:
    """(rows, columns, 4), enlarged or made smaller to SIDE; a voxel is as long as it is wide, to half a voxel over the side."""
    truth = case.labels.numpy()
    index = most_labelled(truth)
    shades = grey(cut(case.hu.numpy(), Plane.AXIAL, index), WINDOW)
    rows, columns = shades.shape
    times = SIDE / max(rows, columns)
    size = max(1, round(columns * times)), max(1, round(rows * times))

    def scaled(pixels: Bytes, how: Image.Resampling) -> Bytes:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, how))

    seen, true = (scaled(cut(each, Plane.AXIAL, index), Image.Resampling.NEAREST) for each in (found, truth))
    return painted(scaled(shades, Image.Resampling.BILINEAR), seen, true, Paint())
