"""A scan that lies askew in the scanner is shown upright."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.geometry import Geometry
from ctlab.viewing import oblique
from ctlab.viewing.oblique import ObliqueError, is_oblique, upright, upright_grid, upright_labels
from ctlab.viewing.planes import Plane, cut
from ctlab.volume import Labels, Volume

SHAPE, SPACING = (56, 52, 44), (2.0, 1.5, 2.5)

PLACES = {"right": (25.0, 0.0, 0.0), "front": (0.0, 15.0, 0.0), "head": (0.0, 0.0, 35.0)}
"""Where in the patient (mm, RAS+) there is a ball of 8 mm radius, and of which label: 1, 2, 3."""


def turned(degrees: float) -> tuple[Volume, Labels]:
    """Three balls in the patient, scanned on a grid that is turned about two axes."""
    angle = np.radians(degrees)
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(SPACING)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    hu, labels = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)
    for value, centre in enumerate(PLACES.values(), 1):
        inside = np.linalg.norm(places - centre, axis=-1) < 8
        hu[inside], labels[inside] = 200 * value, value
    geometry = Geometry(SHAPE, affine)
    return Volume(hu, geometry, "turned"), Labels(labels, geometry, "turned")


@pytest.mark.parametrize("degrees", [8.0, 25.0])
def test_the_patients_sides_are_where_the_letters_say(degrees):
    ct, labels = (upright(turned(degrees)[0]), upright_labels(turned(degrees)[1]))
    labels.check_fits(ct)
    assert not is_oblique(ct.geometry)
    assert ct.voxels.dtype == np.int16
    for value, centre in enumerate(PLACES.values(), 1):
        found = np.argwhere(labels.voxels == value).mean(axis=0)
        place = ct.geometry.affine[:3, :3] @ found + ct.geometry.affine[:3, 3]
        assert place == pytest.approx(centre, abs=1.5)
        assert ct.voxels[tuple(np.round(found).astype(int))] == 200 * value
    axial = cut(labels.voxels, Plane.AXIAL, round(float(np.argwhere(labels.voxels == 1).mean(axis=0)[2])))
    assert np.nonzero(axial == 1)[1].mean() < axial.shape[1] / 2


def test_the_upright_grid_holds_all_that_was_scanned():
    geometry = turned(25)[0].geometry
    grid = upright_grid(geometry)
    assert grid.spacing == pytest.approx(geometry.spacing)
    inverse = np.linalg.inv(grid.affine)
    for x in (0, SHAPE[0] - 1):
        for y in (0, SHAPE[1] - 1):
            for z in (0, SHAPE[2] - 1):
                place = (inverse @ geometry.affine @ (x, y, z, 1))[:3]
                assert (place > -0.01).all()
                assert (place < np.array(grid.shape) - 0.99).all()


def test_a_scan_along_the_patient_is_left_alone():
    assert not is_oblique(Geometry(SHAPE, np.diag([*SPACING, 1.0])))
    assert not is_oblique(turned(0.5)[0].geometry)
    assert is_oblique(turned(8)[0].geometry)


def test_what_would_be_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(oblique, "LARGEST", 1000)
    with pytest.raises(ObliqueError, match="too large to be turned back"):
        upright(turned(8)[0])
