"""What a report says of one case: numbers, and one small picture to see at a glance what it is. Pure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ctlab.viewing.palette import colour
from ctlab.viewing.planes import Plane, cut
from ctlab.viewing.windows import Window, grey
from ctlab.volume import Labels, Volume

BIN_HU, LOWEST_HU, HIGHEST_HU = 25, -1100, 1600
"""Bins of the histogram. What lies beyond, padding or metal, counts in the bin at that end."""
BINS = (HIGHEST_HU - LOWEST_HU) // BIN_HU
THUMBNAIL = 128
"""Pixels of a picture's longer side."""
_WINDOW = Window(1600, -150)
"""From inside a lung to bone: wider than for reading, because one picture has to show that all is there."""
_OPACITY = 0.45
_SHADES = 64
"""Colours of a thumbnail: a cohort's pictures travel to the browser together."""


@dataclass(frozen=True, eq=False)
class Facts:
    """One case."""

    name: str
    part: str
    """`train` or `val`."""
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    """Millimetres."""
    stored: str
    lowest: int
    highest: int
    """HU."""
    histogram: npt.NDArray[np.float64]
    """Part of the voxels in each of BINS bins of BIN_HU from LOWEST_HU on."""
    ml: Mapping[int, float]
    """Label value → volume, for the labels that it has."""
    thumbnail: bytes
    """PNG."""


def facts_of(part: str, ct: Volume, labels: Labels) -> Facts:
    """What a report says of the case whose CT and label image, on one grid, these are."""
    counts = np.bincount(labels.voxels.ravel(), minlength=256)
    return Facts(
        ct.name,
        part,
        ct.geometry.shape,
        ct.geometry.spacing,
        ct.geometry.stored,
        int(ct.voxels.min()),
        int(ct.voxels.max()),
        histogram(ct.voxels),
        {int(value): float(counts[value]) * ct.geometry.voxel_ml for value in np.flatnonzero(counts) if value},
        thumbnail(ct, labels),
    )


def histogram(voxels: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Part of `voxels` (HU) in each bin."""
    counts = np.zeros(BINS, np.int64)
    for plane in voxels:  # one at a time: numbers of bins take eight bytes each
        bins = (np.clip(plane, LOWEST_HU, HIGHEST_HU - 1).astype(np.int32) - LOWEST_HU) // BIN_HU
        counts += np.bincount(bins.ravel(), minlength=BINS)
    return counts / voxels.size


def thumbnail(ct: Volume, labels: Labels) -> bytes:
    """The coronal slice with most of the labels, else the middle one, as a PNG."""
    plane = Plane.CORONAL
    marked = np.count_nonzero(labels.voxels, axis=(0, 2))
    index = int(marked.argmax()) if marked.any() else ct.geometry.shape[1] // 2
    pixels = np.repeat(grey(cut(ct.voxels, plane, index), _WINDOW)[..., None], 3, axis=2).astype(np.float64)
    marks = cut(labels.voxels, plane, index)
    for value in np.unique(marks[marks > 0]):
        inside = marks == value
        pixels[inside] = (1 - _OPACITY) * pixels[inside] + _OPACITY * np.array(colour(int(value)))
    width, _, height = (count * step for count, step in zip(ct.geometry.shape, ct.geometry.spacing, strict=True))
    scale = THUMBNAIL / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    image.quantize(_SHADES).save(stream, "PNG", optimize=True)
    return stream.getvalue()
