"""Where voxels lie, whatever way they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.errors import SkewError, UnreadableError
from ctlab.geometry import Geometry, as_stored, canonical
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """By angles in degrees about the axes, one after the other."""
    turned = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one = np.eye(3)
        a, b = (each for each in range(3) if each != axis)
        one[a, a] = one[b, b] = cos
        one[a, b], one[b, a] = -sin, sin
        turned = one @ turned
    return turned


@st.composite
def stored_grids(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """An array and an affine as any scanner or program may write them: axes in any order and direction, tilted, off centre."""
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3))
    array = draw(hnp.arrays(np.int16, shape))
    axes = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 8.0)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = rotation(*draw(st.tuples(*[st.floats(-20, 20)] * 3))) @ axes * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-2000, 2000)] * 3))
    return array, affine


@given(stored_grids())
def test_a_voxel_stays_where_it_is_in_the_patient(grid):
    array, affine = grid
    turned, geometry = canonical(array, affine, "case")

    for index in np.ndindex(array.shape):
        place = affine @ (*index, 1)
        found = np.rint(np.linalg.solve(geometry.affine, place))[:3].astype(int)
        assert turned[tuple(found)] == array[index]
        assert np.allclose(geometry.affine @ (*found, 1), place)


@given(stored_grids())
def test_axes_run_to_the_right_the_front_and_the_head(grid):
    _, geometry = canonical(*grid, "case")

    assert (np.diag(geometry.affine[:3, :3]) > 0).all()
    assert (np.abs(geometry.affine[:3, :3]).argmax(axis=0) == (0, 1, 2)).all()
    assert geometry.obliquity_degrees <= 45


@given(stored_grids())
def test_what_is_saved_lies_as_its_source_did(grid):
    array, affine = grid
    back, its_affine = as_stored(*canonical(array, affine, "case"))

    assert np.array_equal(back, array)
    assert np.allclose(its_affine, affine)


@given(stored_grids())
def test_spacing_and_volume_are_kept(grid):
    array, affine = grid
    _, geometry = canonical(array, affine, "case")

    assert sorted(geometry.spacing) == pytest.approx(sorted(np.linalg.norm(affine[:3, :3], axis=0)))
    assert geometry.voxel_ml == pytest.approx(np.prod(geometry.spacing) / 1000)


def test_the_stored_orientation_is_named_by_where_its_axes_go():
    _, geometry = canonical(np.zeros((2, 3, 4)), np.diag([-1.0, -1.0, 2.0, 1.0]), "case")

    assert geometry.stored == "LPS"


@pytest.mark.parametrize(
    "affine",
    [np.zeros((4, 4)), np.diag([1.0, 1.0, 0.0, 1.0]), np.full((4, 4), np.nan), np.diag([1.0, np.inf, 1.0, 1.0]), np.ones((4, 4))],
    ids=["nothing", "flat", "nan", "infinite", "all axes the same"],
)
def test_a_grid_without_a_place_is_refused(affine):
    with pytest.raises(UnreadableError, match="case: the file doesn't say where its voxels lie"):
        canonical(np.zeros((2, 2, 2)), affine, "case")


@pytest.mark.parametrize(("degrees", "refused"), [(0.3, False), (1.0, True), (12.0, True), (-12.0, True)])
def test_sheared_slices_are_refused(degrees, refused):
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.radians(degrees))

    if refused:
        with pytest.raises(SkewError, match=f"case: .*{abs(degrees):.1f}°"):
            canonical(np.zeros((2, 2, 2)), affine, "case")
    else:
        canonical(np.zeros((2, 2, 2)), affine, "case")


def test_grids_fit_when_no_corner_is_a_tenth_of_a_voxel_away():
    here = Geometry((100, 100, 50), np.diag([0.8, 0.8, 5.0, 1.0]))

    def moved(**changes: float) -> Geometry:
        affine = here.affine.copy()
        affine[0, 3] += changes.get("x", 0.0)
        affine[0, 0] *= changes.get("wider", 1.0)
        return Geometry(here.shape, affine)

    assert here.fits(moved(x=0.05))
    assert not here.fits(moved(x=0.1))
    assert here.misfit(moved(x=0.1)) == pytest.approx(0.1)
    assert not here.fits(moved(wider=1.01)), "the far corner is 0.8 mm away"
    assert not here.fits(Geometry((100, 100, 49), here.affine))


def test_a_geometry_can_not_be_changed_by_accident():
    affine = np.eye(4)
    geometry = Geometry((2, 2, 2), affine)
    affine[0, 3] = 100.0

    assert geometry.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 3] = 100.0
