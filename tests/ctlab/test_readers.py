"""Files in, files out: left stays left, and what isn't a CT is named."""

from __future__ import annotations

import gzip
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from ctlab.errors import LabelError, SkewError, UnreadableError
from ctlab.readers import load, load_labels
from ctlab.volume import Labels

from tests.ctlab.samples import chest, write_nifti

ORIENTATIONS = ["".join(codes) for order in permutations(("RL", "AP", "SI")) for codes in product(*order)]


@pytest.mark.parametrize("stored", ORIENTATIONS)
def test_left_stays_left_however_a_file_is_stored(tmp_path, stored):
    there = chest().ct
    ct = load(write_nifti(tmp_path / "ct.nii.gz", there.voxels, there.geometry, stored))

    assert ct.geometry.stored == stored
    assert np.array_equal(ct.voxels, there.voxels)
    assert ct.geometry.fits(there.geometry)


@pytest.mark.parametrize("stored", ["RAS", "LPS", "LAS", "PIR"])
def test_a_saved_label_image_has_the_grid_of_the_file_that_the_ct_came_from(tmp_path, stored):
    there = chest()
    path = write_nifti(tmp_path / "ct.nii.gz", there.ct.voxels, there.ct.geometry, stored)
    drawn = write_nifti(tmp_path / "drawn.nii.gz", there.labels.voxels, there.labels.geometry, stored)
    saved = Labels(there.labels.voxels, load(path).geometry, "case").save(tmp_path / "results" / "label.nii.gz")

    ours, theirs = SimpleITK.ReadImage(saved), SimpleITK.ReadImage(drawn)
    assert np.array_equal(SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(theirs))
    assert ours.GetPixelID() == SimpleITK.sitkUInt8
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, what)() == pytest.approx(getattr(theirs, what)(), abs=1e-3), what


def test_what_was_saved_is_read_back(tmp_path):
    there = chest().labels
    back = load_labels(there.save(tmp_path / "label.nii.gz"), {1: "right lung"})

    assert np.array_equal(back.voxels, there.voxels)
    assert back.geometry.fits(there.geometry)
    assert back.label_name(1) == "right lung"


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path, monkeypatch):
    def breaks(image: object, path: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    chest().labels.save(tmp_path / "label.nii.gz")
    before = (tmp_path / "label.nii.gz").read_bytes()
    monkeypatch.setattr(nib, "save", breaks)

    with pytest.raises(OSError, match="no space"):
        chest().labels.save(tmp_path / "label.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["label.nii.gz"]
    assert (tmp_path / "label.nii.gz").read_bytes() == before


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_a_volume_is_called_like_its_file(tmp_path, ending):
    path = write_nifti(tmp_path / f"Tanaka 2024-01{ending}", chest().ct.voxels, chest().ct.geometry, "LPS")

    assert load(path).name == "Tanaka 2024-01"
    assert load(path, "case 7").name == "case 7"


def save(path, array, affine=None, *, placed=True, slope=None):
    """By nibabel, for what SimpleITK wouldn't write."""
    image = nib.Nifti1Image(array, np.diag([2.0, 2.0, 5.0, 1.0]) if affine is None else affine)
    if not placed:
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nib.save(image, path)
    return path


def values(dtype="int16"):
    return np.linspace(-1000, 1000, 60).reshape(5, 4, 3).astype(dtype)


def test_scaled_values_become_hu(tmp_path):
    image = nib.Nifti1Image(np.linspace(-1000, 1000, 60).reshape(5, 4, 3), np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scaled.nii.gz")  # nibabel picks slope and intercept
    assert nib.load(tmp_path / "scaled.nii.gz").dataobj.slope != 1

    assert np.abs(load(tmp_path / "scaled.nii.gz").voxels - values("float64")).max() <= 1


def test_one_time_point_counts_as_a_volume(tmp_path):
    assert load(save(tmp_path / "ct.nii.gz", values()[..., None])).geometry.shape == (5, 4, 3)


BROKEN = {
    "not there": (lambda path: path, "isn't there"),
    "empty": (lambda path: path.write_bytes(b""), "can't be read as a NIfTI image"),
    "cut": (lambda path: path.write_bytes(gzip.compress(bytes(352 + 120))[:40]), "can't be read as a NIfTI image"),
    "another kind": (lambda path: path.write_bytes(gzip.compress(b"patient;date\n" * 99)), "can't be read as a NIfTI image"),
    "several time points": (lambda path: save(path, np.stack([values()] * 2, axis=3)), "has 4 axes; a volume has three"),
    "a picture": (lambda path: save(path, values()[..., 0]), "has 2 axes"),
    "without a place": (lambda path: save(path, values(), placed=False), "doesn't say where its voxels lie"),
}


@pytest.mark.parametrize(("make", "words"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_holds_no_volume_is_refused(tmp_path, make, words):
    make(tmp_path / "ct.nii.gz")

    with pytest.raises(UnreadableError, match=f"^case 7: .*{words}"):
        load(tmp_path / "ct.nii.gz", "case 7")


def test_a_file_cut_off_in_the_middle_is_refused(tmp_path):
    path = write_nifti(tmp_path / "ct.nii.gz", chest().ct.voxels, chest().ct.geometry, "LPS")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    with pytest.raises(UnreadableError, match="damaged, incomplete or of another kind"):
        load(path)


def test_a_skewed_file_is_refused(tmp_path):
    affine = np.eye(4)
    affine[1, 2] = 0.3

    with pytest.raises(SkewError):
        load(save(tmp_path / "ct.nii.gz", values(), affine))


@pytest.mark.parametrize("name", ["ct.mhd", "report.pdf", "ct"])
def test_other_kinds_of_files_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")

    with pytest.raises(UnreadableError, match=f"{name} is of a kind that can't be read"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2, 2), 0.5), "holds fractions"),
        (np.full((2, 2, 2), np.nan), "holds fractions"),
        (np.full((2, 2, 2), 256, np.int16), "whole numbers from 0 to 255"),
        (np.full((2, 2, 2), -1, np.int16), "whole numbers from 0 to 255"),
    ],
    ids=["smoothed", "nan", "too large", "negative"],
)
def test_what_is_no_label_image_is_refused(tmp_path, array, words):
    with pytest.raises(LabelError, match=f"^label: .*{words}"):
        load_labels(save(tmp_path / "label.nii.gz", array))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_labels_may_be_stored_as_any_kind_of_number(tmp_path, dtype):
    array = np.zeros((3, 3, 3), dtype)
    array[1, 1, 1] = 255

    assert load_labels(save(tmp_path / "label.nii.gz", array)).values() == (255,)
