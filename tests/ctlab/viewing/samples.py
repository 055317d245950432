"""A body in which every side differs, as pictures whose right answer is known without this library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ctlab.cohort import open_case
from ctlab.geometry import Geometry
from ctlab.phantoms import Marking, make_phantom
from ctlab.volume import Labels, Volume

from tests.ctlab.samples import REAL

SHAPE, SPACING = (40, 30, 20), (2.0, 1.5, 5.0)
RIGHT, FRONT, HEAD = (36, 15, 10), (20, 27, 10), (20, 15, 18)
"""Voxels (x, y, z) near the patient's right, front and head, each with HU of its own in a cube of 3 x 3 x 1."""
HU = {RIGHT: 300, FRONT: 600, HEAD: 900}


def grid(shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = SPACING) -> Geometry:
    """Along the patient's axes."""
    return Geometry(shape, np.diag([*spacing, 1.0]))


def body() -> Volume:
    """Air with three marks."""
    voxels = np.full(SHAPE, -1000, np.int16)
    for (x, y, z), hu in HU.items():
        voxels[x - 1 : x + 2, y - 1 : y + 2, z] = hu
    return Volume(voxels, grid(), "body")


def boxes(*found: tuple[slice, slice, slice], shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Boxes numbered from 1; a later one lies over an earlier one."""
    voxels = np.zeros(shape, np.uint8)
    for value, box in enumerate(found, 1):
        voxels[box] = value
    return voxels


def labelled(*found: tuple[slice, slice, slice]) -> Labels:
    """The same on the grid of `body`."""
    return Labels(boxes(*found), grid(), "body", {1: "liver"})


def patient() -> tuple[Volume, Labels, Labels]:
    """A real chest; labels that lie two voxels too far to the patient's right; the labels that came with it."""
    case = open_case(REAL / "chest")
    truth = case.labels
    return case.ct, replace(truth, voxels=np.roll(truth.voxels, 2, axis=0)), truth


def chest() -> tuple[Volume, Labels, Labels]:
    """A chest phantom whose two lungs have labels of their own, with a block of bone at the right, in front, near the head.

    Labels that lie three voxels too far to the patient's right; the labels that came with it.
    """
    made = make_phantom((3, 0, 1), (96, 96, 64), marking=Marking.SIDES, stored="RAS")
    hu, names = made.ct.voxels.copy(), {1: "right lung", 2: "left lung", 3: "inflammation"}
    x, y, z = hu.shape
    hu[x * 5 // 8 : x * 6 // 8, y // 2 : y * 7 // 8, z // 2 : z * 6 // 8] = 1500
    truth = replace(made.labels, names=names)
    return replace(made.ct, voxels=hu), replace(truth, voxels=np.roll(truth.voxels, 3, axis=0)), truth
