"""A label image as a DICOM segmentation that refers to the slices it was drawn on, so that a viewer lays it over them.

It belongs to the patient's study: who and when are copied from the series, as in every object of a study. What made it is
written into it. Only the slices that carry the label image's own grid are referred to; where they aren't found, nothing is
written.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from ctlab.errors import SegmentationError
from ctlab.files import whole
from ctlab.geometry import Matrix, as_stored
from ctlab.segcodes import meaning
from ctlab.viewing.palette import colour
from ctlab.volume import Labels
from phrases import N_

BESIDE = 0.1
"""A slice may lie this part of a voxel from its place in the label image's grid."""

SERIES_NUMBER = 9000
"""Of what is made here: far from the numbers that scanners give."""

LONGEST = 64
"""Characters of a segment's label (value representation LO)."""

_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""Attributes that the standard wants to be there, empty if need be (type 2); some anonymisers remove them."""

_HAS_TO_SAY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""What a segmentation refers to; an anonymiser that empties it leaves slices that nothing can refer to."""


@dataclass(frozen=True)
class Maker:
    """What made a segmentation."""

    version: str
    """Of this library."""
    algorithm: str
    """The network's name."""
    model: str
    """The network's checksum."""


def write_seg(path: Path, labels: Labels, series: Path, maker: Maker) -> Path:
    """Writes `labels` to `path`, one segment for each label that occurs, referring to the slices in the folder `series`.

    It appears whole or not at all. Raises SegmentationError when the label image is empty, the slices don't lie on its grid, or
    their headers lack what a segmentation has to repeat.
    """
    values = labels.values()
    if not values:
        raise SegmentationError(N_("{case}: nothing was found, so there is no DICOM segmentation."), case=labels.name)
    stored, affine = as_stored(labels.voxels, labels.geometry)
    sources = _sources(series, stored.shape, affine, labels.name)
    numbers = np.zeros(256, np.uint8)
    numbers[list(values)] = np.arange(1, len(values) + 1)
    frames = numbers[np.ascontiguousarray(stored.transpose(2, 1, 0))]
    names = {value: labels.label_name(value) for value in values}
    made = _segmentation(sources, frames, names, maker, labels.name)
    with whole(path) as draft:
        pydicom.dcmwrite(draft, made, enforce_file_format=True)
    return path


def _segmentation(
    sources: list[Any], frames: npt.NDArray[np.uint8], names: Mapping[int, str], maker: Maker, case: str
) -> pydicom.Dataset:
    import highdicom  # half a second, which only those pay who write such a file

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"ctlab {maker.algorithm}", version=maker.version, family=codes.DCM.ArtificialIntelligence,
        parameters={"model_sha256": maker.model},
    )  # fmt: skip
    described = [_described(number, value, name, algorithm) for number, (value, name) in enumerate(names.items(), start=1)]
    try:
        # highdicom warns of names that it finds unusual by writing them out: a patient's name has no place in a log.
        logging.getLogger("highdicom.base").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: pydicom.Dataset = highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=frames,
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=described,
                series_instance_uid=highdicom.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="ctlab",
                manufacturer_model_name=f"ctlab {maker.algorithm}",
                software_versions=maker.version,
                device_serial_number=maker.model[:16],
                content_label="SEGMENTATION",
                content_description=f"model {maker.model[:16]}",
                series_description="ctlab segmentation",
                transfer_syntax_uid=ExplicitVRLittleEndian,
                specific_character_set="ISO_IR 192",
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _incomplete(case, str(error)) from error
    return made


def _described(number: int, value: int, name: str, algorithm: Any) -> Any:  # noqa: ANN401  (highdicom is imported late)
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription

    found = meaning(name)
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:LONGEST],
        segmented_property_category=found.category,
        segmented_property_type=found.kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*colour(value)),
    )


def _sources(series: Path, shape: tuple[int, ...], affine: Matrix, name: str) -> list[Any]:
    """The headers of the slices of a label image of `shape` (columns, rows, slices) at `affine` (RAS+), in its order."""
    to_index: Matrix = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine).astype(np.float64)
    stacks: dict[str, dict[int, Any]] = {}
    for path in sorted(series.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, ValueError):
            continue
        index = _index(header, shape, to_index)
        if index is not None:
            stacks.setdefault(str(header.get("SeriesInstanceUID", "")), {})[index] = header
    whole_stacks = [stack for stack in stacks.values() if len(stack) == shape[2]]
    if len(whole_stacks) != 1:
        raise SegmentationError(
            N_("{case}: no DICOM segmentation was written, because its slices don't lie on the grid of the CT as it was read."),
            case=name,
        )
    ordered = [whole_stacks[0][index] for index in range(shape[2])]
    missing = [keyword for keyword in _HAS_TO_SAY if not all(header.get(keyword) for header in ordered)]
    if missing:
        raise _incomplete(name, ", ".join(missing))
    return [_complete(header) for header in ordered]


def _incomplete(case: str, reason: str) -> SegmentationError:
    return SegmentationError(
        N_("{case}: no DICOM segmentation was written, because the headers of its slices are incomplete ({reason})."),
        case=case,
        reason=reason,
    )


def _index(header: Any, shape: tuple[int, ...], to_index: Matrix) -> int | None:  # noqa: ANN401  (no static types)
    """Which slice of the grid this is; None when it is none of them."""
    try:
        position = np.array([*map(float, header.ImagePositionPatient), 1.0])
        row, column = (np.array([*map(float, header.ImageOrientationPatient[part]), 0.0]) for part in (slice(3), slice(3, 6)))
        size, pixel = (int(header.Columns), int(header.Rows)), [float(each) for each in header.PixelSpacing]
        corner = to_index @ position
        far = to_index @ (position + row * pixel[1] * (size[0] - 1) + column * pixel[0] * (size[1] - 1))
    except (AttributeError, TypeError, ValueError, IndexError):
        return None
    index = round(float(corner[2])) if np.isfinite(corner).all() else -1
    expected = np.array([[0, 0, index], [size[0] - 1, size[1] - 1, index]])
    if size != shape[:2] or not 0 <= index < shape[2] or np.abs(np.stack([corner[:3], far[:3]]) - expected).max() > BESIDE:
        return None
    return index


def _complete(header: Any) -> Any:  # noqa: ANN401
    header.decode()  # names in the encoding of the series become text, whatever is written later
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    return header
