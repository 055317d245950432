"""Open a CT or a label image by its path, whatever it is stored as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctlab import dicomseg, itk, nifti, rtstruct
from ctlab.dicom import Place, read_place, read_series
from ctlab.errors import LabelError, UnreadableError
from ctlab.geometry import Matrix, canonical
from ctlab.hounsfield import to_hounsfield
from ctlab.slices import Series, list_series, read_slices
from ctlab.storage import reading
from ctlab.structures import Spellings, check_same_ct, read_reference
from ctlab.volume import Labels, Volume
from phrases import N_

NIFTI_ENDINGS = (".nii.gz", ".nii")
IMAGE_ENDINGS = (*NIFTI_ENDINGS, *itk.ENDINGS)
DICOM_ENDING = ".dcm"
"""Of a label object: a DICOM segmentation or an RT structure set."""


def load(path: str | Path, name: str | None = None, *, series: str | None = None, expect_air: bool = True) -> Volume:
    """The CT at `path`: a NIfTI, NRRD or MHA file, or a folder with DICOM files.

    `name` is what messages call it (the file's own name otherwise). `series` names one series of a folder that holds several, by
    its UID or description (`ctlab.series` lists them). `expect_air` false accepts a piece from inside a body. Raises a CtlabError
    whose text says what was found and what to do.
    """
    path = Path(path)
    called = name or stem(path)
    with reading(called):
        if path.is_dir():
            return read_series(path, called, series=series, expect_air=expect_air)
        turned, geometry = canonical(*_read_array(path, called), called)
    return Volume(np.ascontiguousarray(to_hounsfield(turned, called, expect_air=expect_air)), geometry, called)


def load_labels(
    path: str | Path,
    names: Mapping[int, str] | None = None,
    name: str | None = None,
    *,
    on: Place | None = None,
    spellings: Spellings | None = None,
) -> Labels:
    """The label image at `path`: a NIfTI, NRRD or MHA file, or a DICOM segmentation or RT structure set (.dcm).

    `names` says what its numbers stand for. The DICOM objects name structures instead: `on` says on which CT they were drawn
    (`ctlab.place`), and `spellings` which number each of their names gets; names that it doesn't have are left out, and without it
    they are numbered in the file's order. Where structures overlap, the higher number wins. Raises a CtlabError whose text says
    what was found and what to do.
    """
    path = Path(path)
    called = name or stem(path)
    with reading(called):
        if path.name.lower().endswith(DICOM_ENDING) and path.is_file():
            return _read_object(path, called, on, names or {}, spellings)
        turned, geometry = canonical(*_read_array(path, called), called)
    return Labels(as_labels(turned, called), geometry, called, names or {})


def place(path: str | Path, name: str | None = None, *, series: str | None = None) -> Place:
    """Where the CT at `path` lies, for `load_labels`. Raises a CtlabError as `load` does."""
    path = Path(path)
    with reading(name or path.name):
        if path.is_dir():
            return read_place(path, name or path.name, series=series)
    return Place(load(path, name, expect_air=False).geometry)


def series(folder: str | Path) -> Sequence[Series]:
    """The CT series whose files lie in `folder`. Raises a CtlabError when there is none, or one is damaged."""
    folder = Path(folder)
    with reading(folder.name):
        return list_series(read_slices(folder, folder.name))


def as_labels(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """`values` as label numbers. Raises LabelError when they are none."""
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise LabelError(
            N_("{case}: the label image holds fractions; labels are whole numbers. Save it without smoothing."), case=name
        )
    if values.dtype.kind not in "iufb" or values.size == 0 or values.min() < 0 or values.max() > 255:
        raise LabelError(N_("{case}: a label image holds whole numbers from 0 to 255; this one doesn't."), case=name)
    return np.ascontiguousarray(values.astype(np.uint8))


def stem(path: Path) -> str:
    """The file's name without the ending of an image."""
    lower = path.name.lower()
    return next((path.name[: -len(ending)] for ending in (*IMAGE_ENDINGS, DICOM_ENDING) if lower.endswith(ending)), path.name)


def _read_object(path: Path, name: str, on: Place | None, names: Mapping[int, str], spellings: Spellings | None) -> Labels:
    if on is None:
        raise LabelError(
            N_("{case}: {file} is drawn on a CT. Say on which one, or put it into the case's folder as {label}."),
            case=name, file=path.name, label=f"label{DICOM_ENDING}",
        )  # fmt: skip
    reference = read_reference(path, name)
    check_same_ct(on, reference, name, path.name)
    read = rtstruct.read_labels if reference.kind == "RTSTRUCT" else dicomseg.read_labels
    return read(path, name, on, names, spellings)


def _read_array(path: Path, name: str) -> tuple[npt.NDArray[Any], Matrix]:
    if not path.exists():
        raise UnreadableError(
            N_("{case}: {path} isn't there. Check the name, and whether the cloud folder is mounted."), case=name, path=path
        )
    lower = path.name.lower()
    if lower.endswith(NIFTI_ENDINGS):
        return nifti.read_array(path, name)
    if lower.endswith(itk.ENDINGS):
        return itk.read_array(path, name)
    raise UnreadableError(
        N_("{case}: {file} is of a kind that can't be read. Use NIfTI (.nii, .nii.gz), NRRD, MHA or a folder of DICOM files."),
        case=name,
        file=path.name,
    )
