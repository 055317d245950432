"""DICOM segmentations as label images on the grid of the CT that they were drawn on. highdicom sorts their frames."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctlab.dicom import Place
from ctlab.errors import LabelError, UnreadableError
from ctlab.geometry import FIT_TOLERANCE, Geometry, canonical
from ctlab.limits import check_size
from ctlab.structures import Spellings, no_labels, numbers_of
from ctlab.volume import Labels
from phrases import N_

MOST_BYTES = 2**30
"""A segmentation is read whole: three hundred slices of 512 x 512 with a hundred segments, stored as bits, have it."""
_HALF = 0.5
"""A voxel of a fractional segmentation belongs to a structure from here."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_labels(path: Path, name: str, on: Place, names: Mapping[int, str], spellings: Spellings | None) -> Labels:
    """The segmentation at `path` on the grid of the CT at `on`. Raises LabelError or UnreadableError."""
    import highdicom  # half a second, which only those pay who read such a file

    if path.stat().st_size > MOST_BYTES:
        raise no_labels(path, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes that no voxel depends on
        try:
            segmentation = highdicom.seg.segread(path)
            described = {int(n): str(segmentation.get_segment_description(n).segment_label) for n in segmentation.segment_numbers}
            check_size(name, path.name, (int(segmentation.NumberOfFrames), int(segmentation.Rows), int(segmentation.Columns)))
            geometry = segmentation.get_volume_geometry()
            if geometry is None:
                raise ValueError("frames that are no volume")  # noqa: TRY301  (the person reads one sentence)
            # Between two frames that lie far apart there is room for any number of empty ones.
            check_size(name, path.name, geometry.spatial_shape)
        except UnreadableError:
            raise
        except Exception as error:
            raise no_labels(path, name) from error
        numbers = numbers_of(list(described.values()), spellings, name, path.name)
        voxels = np.zeros(on.geometry.shape, np.uint8)
        for number, segment in sorted((number, segment) for number, segment in zip(numbers, described, strict=True) if number):
            try:
                volume = segmentation.get_volume(segment_numbers=[segment], rescale_fractional=True)
            except Exception as error:
                raise no_labels(path, name) from error
            mask, place = canonical(volume.array[..., 0] >= _HALF, _LPS_TO_RAS @ volume.affine, name)
            _paint(voxels, mask, number, _offset(place, on.geometry, name, path.name))
    known = names or {number: text for number, text in zip(numbers, described.values(), strict=True) if number}
    return Labels(voxels, on.geometry, name, known)


def _offset(inner: Geometry, outer: Geometry, name: str, file: str) -> npt.NDArray[np.int64]:
    """Index in `outer` of the first voxel of `inner`. Raises LabelError unless each voxel of `inner` lies on one of `outer`."""
    start = np.linalg.solve(outer.affine, inner.affine[:, 3])[:3]
    first: npt.NDArray[np.int64] = np.rint(start).astype(np.int64)
    moved = outer.affine.copy()
    moved[:, 3] = outer.affine @ (*first, 1)
    misfit = Geometry(inner.shape, moved).misfit(inner)
    inside = (first >= 0).all() and (first + inner.shape <= outer.shape).all()
    if not inside or misfit > FIT_TOLERANCE * min(outer.spacing):
        raise LabelError(
            N_("{case}: {file} doesn't lie on the voxels of the CT (up to {mm:.1f} mm beside). Use the segmentation of this CT."),
            case=name, file=file, mm=misfit,
        )  # fmt: skip
    return first


def _paint(voxels: npt.NDArray[np.uint8], mask: npt.NDArray[Any], number: int, first: npt.NDArray[np.int64]) -> None:
    x, y, z = (slice(int(start), int(start) + length) for start, length in zip(first, mask.shape, strict=True))
    voxels[x, y, z][mask] = number
