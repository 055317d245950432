"""The CT that the viewer's figures are for, as people have it, and how soon it is seen when it lies far away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from ctlab.geometry import Geometry
from ctlab.packed import ENDING, write_packed
from ctlab.phantoms import Marking, make_phantom
from ctlab.volume import Labels, Volume
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from bench.report import say

TIMES, SLICES = 4, 600
"""A small phantom is enlarged this many times, to this many slices."""
LONG_SLICES = 1200
"""Of the longest that a viewer has to open."""
SPACING = (0.75, 0.75, 0.5)


def case(slices: int = SLICES, times: int = TIMES) -> tuple[Volume, Labels]:
    """A chest of the size that the figures are for, with noise in each voxel and five labels; smaller by fewer `times`."""
    small = make_phantom((5, 0, 1), (128, 128, 150), marking=Marking.SIDES, stored="RAS")
    along = np.arange(slices) * small.ct.geometry.shape[2] // slices

    def enlarged(voxels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(voxels.repeat(times, 0).repeat(times, 1)[:, :, along])

    ct, marks = enlarged(small.ct.voxels), enlarged(small.labels.voxels)
    noise = np.random.default_rng(2).integers(-25, 26, (*ct.shape[:2], 64), np.int16)
    for start in range(0, slices, 64):
        part = ct[:, :, start : start + 64]
        part += noise[:, :, : part.shape[2]]
    for value, box, among in (4, (60, 67, 30, 37), slice(None)), (5, (50, 75, 82, 87), slice(100, 500)):
        left, right, back, front = (times * each for each in box)
        part = marks[left:right, back:front, among]
        part[part == 0] = value
    spacing = (SPACING[0] * TIMES / times, SPACING[1] * TIMES / times, SPACING[2])
    geometry = Geometry((ct.shape[0], ct.shape[1], slices), np.diag([*spacing, 1.0]))
    return Volume(ct, geometry, "bench"), Labels(marks, geometry, "bench")


def packed(folder: Path, slices: int = SLICES) -> Path:
    """The case as `ctlab.pack` writes it."""
    path = folder / f"case-{slices}{ENDING}"
    write_packed(path, *case(slices), {"1": "lung"}, ())
    return path


def series(folder: Path, ct: Volume | None = None) -> Path:
    """The CT, or another, as a scanner sends it: a file for each axial slice, from feet to head."""
    ct = ct or case()[0]
    made, path = _header(ct), folder / "dicom"
    path.mkdir()
    for index in range(ct.geometry.shape[2]):
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        made.InstanceNumber, made.ImagePositionPatient = index + 1, [0.0, 0.0, index * ct.geometry.spacing[2]]
        made.PixelData = ct.voxels[::-1, ::-1, index].T.tobytes()
        pydicom.dcmwrite(path / f"{index + 1:04d}.dcm", made, enforce_file_format=True)
    return path


def _header(ct: Volume) -> Dataset:
    """What all slices have in common: patient supine, rows to the back, columns to the left."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    made.PatientName, made.PatientID = "Phantom", "0"
    made.Modality, made.ImageType, made.SeriesDescription = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "Chest 0.5"
    across, down, along = ct.geometry.spacing
    made.ImageOrientationPatient, made.PixelSpacing, made.SliceThickness = [1, 0, 0, 0, 1, 0], [down, across], along
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Columns, made.Rows = ct.geometry.shape[:2]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, 0, "HU"
    return made


def compressed(folder: Path, ct: Volume | None = None) -> Path:
    """The CT, or another, as ipyniivue takes it."""
    ct = ct or case()[0]
    path = folder / "ct.nii.gz"
    nib.save(nib.Nifti1Image(ct.voxels, ct.geometry.affine), path)
    return path


def first_pictures(packages: Path | None) -> dict[str, dict[str, object]]:
    """Each kind of case opened from far away by `bench.viewer_first`, in a process of its own; what that prints.

    `packages` is where ipyniivue is, if anywhere.
    """
    kinds: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
        f"packed, {SLICES} slices": (packed, []),
        f"packed, {LONG_SLICES} slices": (lambda folder: packed(folder, LONG_SLICES), []),
        f"DICOM, {SLICES} files": (series, []),
    }
    if packages is not None:
        kinds[f"ipyniivue, {SLICES} slices, kernel's half alone"] = (compressed, ["--ipyniivue"])
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{packages or ''}"}
    found: dict[str, dict[str, object]] = {}
    for name, (write, options) in kinds.items():
        with tempfile.TemporaryDirectory(prefix="renkei-viewer-") as folder:
            argv = [sys.executable, "-m", "bench.viewer_first", *options, str(write(Path(folder)))]
            found[name] = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=environment).stdout)
        say(f"{name}, from far away: {found[name]}")
    return found
