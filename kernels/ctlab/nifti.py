"""NIfTI files in and out."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from ctlab.errors import UnreadableError
from ctlab.files import whole
from ctlab.geometry import Geometry, Matrix, as_stored, unplaced
from ctlab.limits import check_size
from phrases import N_


def read_array(path: Path, name: str) -> tuple[npt.NDArray[Any], Matrix]:
    """The values with axes (x, y, z), and their place in mm, RAS+. Raises UnreadableError."""
    path.open("rb").close()  # nibabel says of a file that may not be read that it is damaged
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):
            raise ValueError(type(image).__name__)  # noqa: TRY004, TRY301  (caught below: the person reads one sentence)
        stated = int(np.prod(image.shape, dtype=object)) * int(image.get_data_dtype().itemsize)
        check_size(name, path.name, image.shape, stated, path.stat().st_size)
        values = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise UnreadableError(
            N_("{case}: {file} can't be read as a NIfTI image; it is damaged, incomplete or of another kind. Copy it again."),
            case=name,
            file=path.name,
        ) from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise UnreadableError(
            N_("{case}: {file} has {count} axes; a volume has three. Save one time point or channel."),
            case=name,
            file=path.name,
            count=values.ndim,
        )
    if not (int(image.header["sform_code"]) or int(image.header["qform_code"])):
        raise unplaced(name)
    return values, image.affine


def write(path: Path, voxels: npt.NDArray[Any], geometry: Geometry) -> Path:
    """Writes `voxels` (x, y, z in RAS+) to `path` in the orientation `geometry.stored`; returns `path`."""
    stored, affine = as_stored(voxels, geometry)
    image = nib.Nifti1Image(stored, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    with whole(path) as draft:
        nib.save(image, draft)
    return path
