"""A volume and its labels made small enough to be turned, a few million voxels of nearly the same length along all axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctlab.geometry import Geometry
from ctlab.viewing.planes import Shape

LARGEST = 192**3
"""Voxels of a reduced volume."""


def steps(geometry: Geometry, largest: int = LARGEST) -> Shape:
    """How many voxels along x, y and z become one, so that no more than `largest` are left, as near to cubes as may be."""
    shape, spacing = np.array(geometry.shape), np.array(geometry.spacing)
    mm = float(np.cbrt(np.prod(shape * spacing) / largest))
    while True:
        found = np.maximum(1, np.rint(mm / spacing)).astype(int)
        if np.prod(-(-shape // found)) <= largest:
            x, y, z = (int(each) for each in found)
            return x, y, z
        mm *= 1.05


def reduced(array: npt.NDArray[Any], by: Shape) -> npt.NDArray[Any]:
    """The highest value of each box of `by` voxels, those at the far ends as large as what is left.

    The highest: no maximum along a ray is lost, and no label vanishes; where labels meet in a box, the highest value stays.
    """
    found = np.empty(tuple(-(-count // step) for count, step in zip(array.shape, by, strict=True)), array.dtype)
    for place in range(len(found)):
        # One layer after the other, along rows of memory: what is on the way stays in the processor's cache.
        layer = array[place * by[0] : (place + 1) * by[0]].max(axis=0)
        rows = np.maximum.reduceat(layer, np.arange(0, layer.shape[0], by[1]), axis=0)
        found[place] = np.maximum.reduceat(rows, np.arange(0, rows.shape[1], by[2]), axis=1)
    return found
