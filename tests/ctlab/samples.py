"""A small asymmetric chest, and files of it made by other people's programs, so that ours are not their own judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from ctlab.geometry import Geometry
from ctlab.phantoms import Marking, Phantom, make_phantom
from ctlab.volume import Labels
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

REAL = Path(__file__).parents[2] / "testbed" / "data"
LPS = np.diag([-1.0, -1.0, 1.0])
"""From RAS+ to LPS+ and back."""


@cache
def chest() -> Phantom:
    """28 x 24 x 17 voxels with spacing and origin of their own on each axis; label 1 right lung, 2 left lung, 3 inflammation."""
    return make_phantom((5, 0, 1), (28, 24, 20), marking=Marking.SIDES, stored="RAS")


def image(array: np.ndarray, geometry: Geometry) -> SimpleITK.Image:
    """`array` (x, y, z in RAS+) as SimpleITK has it: axes and millimetres in LPS+."""
    made = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0).copy())
    made.SetSpacing(geometry.spacing)
    made.SetOrigin((LPS @ geometry.affine[:3, 3]).tolist())
    made.SetDirection((LPS @ geometry.affine[:3, :3] / geometry.spacing).ravel().tolist())
    return made


def write_nifti(path: Path, array: np.ndarray, geometry: Geometry, stored: str) -> Path:
    """The file as SimpleITK writes it with its axes running to `stored` ("LAS": left, anterior, superior)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image(array, geometry), stored), path)
    return path


def write_case(folder: Path, stored: str = "LPS", label: Labels | None = None) -> Path:
    """A case of a cohort."""
    label = label or chest().labels
    write_nifti(folder / "ct.nii.gz", chest().ct.voxels, chest().ct.geometry, stored)
    write_nifti(folder / "label.nii.gz", label.voxels, label.geometry, stored)
    return folder


def series(*, slope: float = 1.0, intercept: float = -1024.0) -> list[Dataset]:
    """The chest as a scanner sends it: axial slices from feet to head, rows to the back, columns to the left, patient supine."""
    voxels, geometry = chest().ct.voxels, chest().ct.geometry
    study, uid, frame = generate_uid(), generate_uid(), generate_uid()
    width, height, depth = geometry.shape
    slices = []
    for index in range(depth):
        made = Dataset()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = study, uid, frame
        made.Modality, made.ImageType, made.SeriesDescription = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "Chest 1.0"
        made.PatientName, made.PatientID, made.InstanceNumber = "Phantom", "0", depth - index
        corner = LPS @ (geometry.affine @ (width - 1, height - 1, index, 1))[:3]
        made.ImagePositionPatient = [round(float(value), 4) for value in corner]
        made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        made.PixelSpacing = [geometry.spacing[1], geometry.spacing[0]]
        made.SliceThickness = 2 * geometry.spacing[2]
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.Rows, made.Columns = height, width
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
        made.RescaleSlope, made.RescaleIntercept, made.RescaleType = slope, intercept, "HU"
        stored = (voxels[::-1, ::-1, index].T.astype(np.float64) - intercept) / slope
        made.PixelData = np.rint(stored).astype("<i2").tobytes()
        slices.append(made)
    return slices


def move(made: Dataset, *, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
    """Shift a slice, in mm along DICOM's axes."""
    made.ImagePositionPatient = [round(float(a) + b, 4) for a, b in zip(made.ImagePositionPatient, (x, y, z), strict=True)]


def write_series(folder: Path, slices: Iterable[Dataset], names: Sequence[str] = ()) -> Path:
    """One file a slice; names that don't sort as the slices lie, unless `names` says others."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, made in enumerate(slices):
        name = names[index] if names else f"I{index * 7 % 100:03d}.dcm"
        pydicom.dcmwrite(folder / name, made, enforce_file_format=True)
    return folder
