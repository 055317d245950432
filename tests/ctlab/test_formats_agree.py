"""One volume, written as NIfTI, NRRD, MHA and DICOM by other programs: every reader finds the same voxels at the same places."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import SimpleITK
from ctlab.geometry import Geometry, canonical
from ctlab.readers import load
from ctlab.volume import Volume
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from tests.ctlab.samples import LPS, series, write_series
from tests.ctlab.test_geometry import rotation


@st.composite
def grids(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """HU (x, y, z as stored), and their affine in mm, LPS+, as DICOM and ITK have it: turned, mirrored, tilted, off centre."""
    shape = draw(st.tuples(*[st.integers(2, 7)] * 3))
    hu = np.random.default_rng(draw(st.integers(0, 999))).integers(-1000, 1000, shape, np.int16, endpoint=True)
    hu.flat[0], hu.flat[-1] = -1000, 400
    turn = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    directions = rotation(*draw(st.tuples(*[st.floats(-20, 20)] * 3))) @ turn
    if np.linalg.det(directions) < 0:  # DICOM's third axis is the right-handed one
        directions[:, 2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = directions * draw(st.tuples(*[st.sampled_from((0.5, 0.75, 1.25, 3.0))] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.integers(-500, 500)] * 3))
    return hu, affine


def by_itk(path: Path, hu: np.ndarray, affine: np.ndarray) -> Path:
    image = SimpleITK.GetImageFromArray(hu.transpose(2, 1, 0).copy())
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    SimpleITK.WriteImage(image, path)
    return path


def by_pydicom(folder: Path, hu: np.ndarray, affine: np.ndarray) -> Path:
    template, uid = series()[0], generate_uid()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    slices = []
    for index in range(hu.shape[2]):
        made = deepcopy(template)
        made.SeriesInstanceUID = uid
        made.Rows, made.Columns = hu.shape[1], hu.shape[0]
        made.PixelSpacing = [spacing[1], spacing[0]]
        made.ImageOrientationPatient = [f"{value:.12f}" for value in (affine[:3, :2] / spacing[:2]).T.ravel()]
        made.ImagePositionPatient = [f"{value:.6f}" for value in (affine @ (0, 0, index, 1))[:3]]
        made.PixelData = (hu[:, :, index].T.astype(np.int32) + 1024).astype("<i2").tobytes()
        slices.append(made)
    return write_series(folder, slices)


@settings(max_examples=25, deadline=None)
@given(grids())
def test_every_format_gives_the_same_voxels_at_the_same_places(tmp_path_factory, grid):
    hu, affine = grid
    folder = tmp_path_factory.mktemp("formats")
    turned, geometry = canonical(hu, np.diag([*np.diag(LPS), 1.0]) @ affine, "case")
    wanted = Volume(np.ascontiguousarray(turned), Geometry(geometry.shape, geometry.affine, geometry.stored), "case")
    paths = [by_itk(folder / name, hu, affine) for name in ("ct.nii.gz", "ct.nrrd", "ct.mha")]

    for path in (*paths, by_pydicom(folder / "dicom", hu, affine)):
        found = load(path, expect_air=False)
        assert np.array_equal(found.voxels, wanted.voxels), path.name
        assert found.geometry.fits(wanted.geometry), path.name
        assert found.geometry.stored == wanted.geometry.stored, path.name
