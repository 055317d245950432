"""RT structure sets as label images on the grid of the CT that they were drawn on.

A structure is a set of closed polygons, each in the plane of one slice; a voxel belongs to it when its centre lies inside an odd
number of them (as drawing programs mean holes: a contour inside a contour, or one that touches itself). So says DICOM PS3.3,
C.8.8.6, of what it calls CLOSED_PLANAR and CLOSEDPLANAR_XOR.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from ctlab.dicom import Place
from ctlab.errors import LabelError
from ctlab.geometry import Geometry
from ctlab.structures import Spellings, no_labels, numbers_of
from ctlab.volume import Labels
from phrases import N_

MOST_BYTES = 2**28
"""Contours are text: a planning CT with fifty structures has some ten megabytes."""
OFF_SLICE = 0.2
"""A contour lies on a slice when it is no further from it than this part of the slices' distance; programs round to 0.1 mm."""
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def read_labels(path: Path, name: str, on: Place, names: Mapping[int, str], spellings: Spellings | None) -> Labels:
    """The structures at `path` on the grid of the CT at `on`. Raises LabelError or UnreadableError."""
    if path.stat().st_size > MOST_BYTES:
        raise no_labels(path, name)
    try:
        dataset = pydicom.dcmread(path)
        rois = {int(each.ROINumber): str(each.ROIName) for each in dataset.StructureSetROISequence}
        contours = {int(each.ReferencedROINumber): list(_contours(each)) for each in dataset.ROIContourSequence}
    except Exception as error:
        raise no_labels(path, name) from error
    drawn = {number: text for number, text in sorted(rois.items()) if contours.get(number)}
    numbers = numbers_of(list(drawn.values()), spellings, name, path.name)
    voxels = np.zeros(on.geometry.shape, np.uint8)
    for number, roi in sorted((number, roi) for number, roi in zip(numbers, drawn, strict=True) if number):
        voxels[_filled(contours[roi], on.geometry, name, path.name)] = number
    known = names or {number: text for number, text in zip(numbers, drawn.values(), strict=True) if number}
    return Labels(voxels, on.geometry, name, known)


def _contours(item: Any) -> Iterator[npt.NDArray[np.float64]]:  # noqa: ANN401  (pydicom's elements have no static types)
    """Corners of each closed contour, (n, 3), mm in RAS+. Points and open lines enclose nothing and are left out."""
    for each in item.get("ContourSequence", []):
        if str(each.ContourGeometricType).upper() in _CLOSED:
            points = np.array([float(value) for value in each.ContourData]).reshape(-1, 3)
            if not np.isfinite(points).all():
                raise ValueError("a corner without a place")
            if len(points) >= 3:
                yield points * _LPS_TO_RAS


def _filled(contours: list[npt.NDArray[np.float64]], geometry: Geometry, name: str, file: str) -> npt.NDArray[np.bool_]:
    """Which voxels lie inside. Raises LabelError when a contour lies on no slice."""
    inverse = np.linalg.inv(geometry.affine)
    placed = [points @ inverse[:3, :3].T + inverse[:3, 3] for points in contours]
    # Across the slices contours are flat: that axis is the one along which they extend least.
    axis = int(np.argmin([max(float(np.ptp(points[:, each])) for points in placed) for each in range(3)]))
    mask = np.zeros(geometry.shape, bool)
    slices = np.moveaxis(mask, axis, 0)
    for points in placed:
        index = round(float(points[:, axis].mean()))
        if np.abs(points[:, axis] - index).max() > OFF_SLICE or not 0 <= index < len(slices):
            raise LabelError(
                N_("{case}: {file} has contours that lie on no slice of the CT. Use the structures that were drawn on this CT."),
                case=name, file=file,
            )  # fmt: skip
        _toggle(slices[index], np.delete(points, axis, axis=1))
    return mask


def _toggle(plane: npt.NDArray[np.bool_], corners: npt.NDArray[np.float64]) -> None:
    """Turns over every pixel of `plane` whose centre lies inside the polygon `corners`, (n, 2) in pixels."""
    from matplotlib.path import Path as Polygon  # a tenth of a second, which only those pay who read such a file

    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, plane.shape).astype(int)
    if (low >= high).any():
        return
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    centres = np.column_stack([rows.ravel(), columns.ravel()])
    inside = Polygon(corners, closed=False).contains_points(centres).reshape(rows.shape)
    plane[low[0] : high[0], low[1] : high[1]] ^= inside
