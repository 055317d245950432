"""The files of a folder as slices of CT series: what their headers say, and their pictures. Everything in them is distrusted."""

from __future__ import annotations

import io
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array

from ctlab.codestream import stated_size
from ctlab.errors import HounsfieldError, MixedSeriesError, UnreadableError
from ctlab.limits import check_size
from phrases import N_

AT_ONCE = 16
"""Files read at once: over a line with delay, one after the other takes minutes for a series."""
HEADERS_AT_ONCE = 64
"""Files whose beginnings are asked for at once: two round trips each, and hardly a byte."""
HEADER_BYTES = 2**14
"""What is read of a file for its header. A CT's is 2 to 8 KiB; a longer one costs more round trips."""

_TAGS = [
    "Modality", "ImageType", "SeriesInstanceUID", "SeriesDescription", "FrameOfReferenceUID", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_GROUPS = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence")
"""Where a multi-frame file says of each frame, or of all, what a file of one slice says at its top."""
_COMMON = ("SeriesInstanceUID", "SeriesDescription", "FrameOfReferenceUID", "Rows", "Columns")
_HEAD = 1024
_DEFLATED = b"1.2.840.10008.1.2.1.99"
"""Transfer syntax whose whole file is compressed: its size can't be known before it is in memory. No scanner writes it."""
_LONGER = object()
"""In place of a header that the first bytes of its file don't hold."""


@dataclass(frozen=True)
class Slice:
    """What one file's header says."""

    path: Path
    series: str
    description: str
    frame: str
    """The frame of reference: what shares it lies in the same coordinates. May be empty."""
    position: npt.NDArray[np.float64]
    """Centre of the first pixel, mm, LPS+ as in DICOM."""
    orientation: tuple[float, ...]
    """Directions of a row and of a column, six numbers."""
    pixel: tuple[float, float]
    """Distance between rows, and between columns, mm."""
    size: tuple[int, int]
    """Rows and columns."""
    slope: float
    intercept: float
    frame_number: int | None = None
    """Which frame of a multi-frame (enhanced) file this is, counted from 0; None when the slice has a file of its own."""

    @property
    def called(self) -> str:
        """What messages call it."""
        return self.path.name if self.frame_number is None else f"{self.path.name} [{self.frame_number + 1}]"

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """The direction across the slice."""
        (a, b, c), (d, e, f) = self.orientation[:3], self.orientation[3:]
        return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


@dataclass(frozen=True)
class Series:
    """One CT series of a folder."""

    uid: str
    description: str
    slices: int


def read_slices(folder: Path, name: str) -> list[Slice]:
    """Every CT slice in `folder`, in the order of file names; reports, scouts and other modalities are left out.

    Raises UnreadableError when there is none or one is damaged, or HounsfieldError when one doesn't say how it becomes HU.
    """
    paths = files_of(folder)
    headers = _headers(paths, name)
    pairs = [(path, header) for path, header in zip(paths, headers, strict=True) if _is_slice(header)]
    found = [each for path, header in pairs for each in _slices(path, header, name)]
    if not found:
        raise UnreadableError(
            N_("{case}: the folder holds no CT slices in DICOM format. Put the files of one CT series directly into it."), case=name
        )
    return found


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that may be slices, by name. Asks nobody about those that the listing itself calls files."""
    with os.scandir(folder) as entries:
        found = [
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and entry.name != "DICOMDIR"
            and (entry.is_file(follow_symlinks=False) or Path(entry.path).is_file())
        ]  # fmt: skip
    return sorted(found)


def read_alone(path: Path, name: str) -> Slice | None:
    """The CT slice that a file holds by its own header; None where it holds none, or several.

    Raises UnreadableError or HounsfieldError as `read_slices` does.
    """
    (header,) = _headers([path], name)
    found = _slices(path, header, name) if _is_slice(header) else []
    return found[0] if len(found) == 1 and found[0].frame_number is None else None


def list_series(slices: Iterable[Slice]) -> list[Series]:
    """The series that `slices` belong to, those with the most slices first."""
    slices = list(slices)
    descriptions = {each.series: each.description for each in slices}
    counts = Counter(each.series for each in slices)
    return [Series(uid, descriptions[uid], count) for uid, count in counts.most_common()]


def one_series(slices: Sequence[Slice], chosen: str | None, name: str, *, prefer: str = "") -> list[Slice]:
    """Those of the series that `chosen` names by its UID or description, else of the only one, or of several the one with the UID
    `prefer`.

    Raises MixedSeriesError when that isn't exactly one.
    """
    there = list_series(slices)
    if chosen is None and prefer in (each.uid for each in there):
        chosen = prefer
    fitting = [each for each in there if chosen is None or chosen in (each.uid, each.description)]
    listed = "; ".join(f"{each.description or each.uid} ({each.slices})" for each in there[:4])
    if not fitting:
        raise MixedSeriesError(
            N_("{case}: the folder holds no series {chosen}, but: {listed}. Name one of these."),
            case=name,
            chosen=chosen,
            listed=listed,
        )
    if len(fitting) > 1:
        raise MixedSeriesError(
            N_("{case}: the folder mixes {count} series: {listed}. Keep one series in a folder, or name it: series=…"),
            case=name,
            count=len(there),
            listed=listed,
        )
    return [each for each in slices if each.series == fitting[0].uid]


def read_whole(slices: Iterable[Slice], name: str) -> dict[Path, Dataset]:
    """The multi-frame files of `slices`, each read once for all its frames. Raises UnreadableError."""
    found = {}
    for path in {each.path for each in slices if each.frame_number is not None}:
        try:
            found[path] = pydicom.dcmread(path)
        except Exception as error:
            raise damaged(path, name) from error
    return found


def read_pixels(each: Slice, name: str, dataset: Dataset | None = None) -> npt.NDArray[np.float32]:
    """HU of one slice, (rows, columns); `dataset` is its file, if that was read. Raises UnreadableError or HounsfieldError."""
    try:
        dataset = dataset or pydicom.dcmread(each.path)
        index, count = each.frame_number or 0, int(dataset.get("NumberOfFrames") or 1)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            stated = stated_size(get_frame(dataset.PixelData, index, number_of_frames=count))
            if stated not in (None, each.size):
                raise ValueError(stated)  # noqa: TRY301  (the person reads one sentence)
        pixels: npt.NDArray[np.generic] = pixel_array(dataset, index=index)
    except OSError:
        raise  # of the storage, not of the file
    except Exception as error:
        raise damaged(each.path, name) from error
    if pixels.shape != each.size:
        raise HounsfieldError(
            N_("{case}: this is a colour picture or another kind of image, not a CT. Use the original CT."), case=name
        )
    return pixels.astype(np.float32) * np.float32(each.slope) + np.float32(each.intercept)


def refuse_deflated(stream: BinaryIO, path: Path, name: str) -> None:
    """Raises UnreadableError for a DICOM file that is compressed as a whole; else `stream` is at its beginning."""
    if _DEFLATED in stream.read(_HEAD):
        raise UnreadableError(
            N_("{case}: {file} is compressed as a whole (deflated), which isn't read. Export it without that."),
            case=name,
            file=path.name,
        )
    stream.seek(0)


def damaged(path: Path, name: str) -> UnreadableError:
    """The refusal of a file that breaks off or makes no sense."""
    return UnreadableError(
        N_("{case}: the picture in {file} can't be decoded; the file is damaged or incomplete. Copy it again."),
        case=name,
        file=path.name,
    )


def _headers(paths: Sequence[Path], name: str) -> list[Any]:
    """The header of each file; None in one that isn't DICOM: a text, a thumbnail.

    Threads do no more than wait for bytes: a header is understood in half a millisecond, for which they would wait for each other.
    """
    with ThreadPoolExecutor(HEADERS_AT_ONCE, thread_name_prefix="dicom") as pool:
        found: list[Any] = []
        for path, head in zip(paths, pool.map(_head, paths), strict=True):
            header = _short_header(path, head, name)
            found.append(pool.submit(_header, path, name) if header is _LONGER else header)
        return [each.result() if isinstance(each, Future) else each for each in found]


def _head(path: Path) -> bytes:
    """The first HEADER_BYTES of a file, in one request beside its opening."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Else a kernel that takes this for the beginning of more fetches what lies behind, too.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        return os.pread(descriptor, HEADER_BYTES, 0)
    finally:
        os.close(descriptor)


class _Head(io.BytesIO):
    """The beginning of a file. Raises _LongerError for whoever reads on: the file may have more."""

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if size is None or not 0 <= size == len(found):
            raise _LongerError
        return found


class _LongerError(Exception):
    """Not EOFError, of which pydicom makes a warning and a header without what it had read."""


def _short_header(path: Path, head: bytes, name: str) -> Any:  # noqa: ANN401  (pydicom's elements have no static types)
    """The header, when it ends in `head`, else _LONGER: also where these bytes alone make no sense."""
    stream = _Head(head)
    try:
        refuse_deflated(stream, path, name)
        return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)
    except UnreadableError:
        raise
    except Exception:  # hostile bytes make pydicom say almost anything  # noqa: BLE001
        return _LONGER


def _header(path: Path, name: str) -> Any:  # noqa: ANN401
    """What pydicom finds in the whole file."""
    with path.open("rb", buffering=HEADER_BYTES) as stream:
        refuse_deflated(stream, path, name)
        try:
            return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)
        except Exception as error:  # hostile bytes make pydicom say almost anything
            if path.suffix.lower() == ".dcm":  # left out at an end of the stack, nobody would miss it
                raise damaged(path, name) from error
    return None


def _is_slice(header: Any) -> bool:  # noqa: ANN401
    return header is not None and header.get("Modality") == "CT" and "LOCALIZER" not in (header.get("ImageType") or ())


def _slices(path: Path, header: Any, name: str) -> list[Slice]:  # noqa: ANN401
    """The slice of a file, or the slices of a multi-frame one."""
    try:
        count, groups = int(header.get("NumberOfFrames") or 1), header.get("PerFrameFunctionalGroupsSequence")
        if groups is None and count == 1:
            frames = [header]
        else:
            check_size(name, path.name, (int(header.Rows), int(header.Columns), count))
            frames = [_flat(header, header.SharedFunctionalGroupsSequence[0], each) for each in groups]
            if len(frames) != count:
                raise ValueError(count)  # noqa: TRY301  (the person reads one sentence)
    except UnreadableError:
        raise
    except Exception as error:
        raise damaged(path, name) from error
    if groups is None:
        return [_slice(path, header, name, None)]
    return [_slice(path, frame, name, number) for number, frame in enumerate(frames)]


def _flat(header: Any, shared: Any, own: Any) -> Dataset:  # noqa: ANN401
    """What a file of this frame alone would say at its top."""
    made = Dataset()
    for group in _GROUPS:
        for items in (shared.get(group), own.get(group)):
            if items:
                made.update(items[0])
    for word in _COMMON:
        if word in header:
            made[word] = header[word]
    return made


def _slice(path: Path, header: Any, name: str, frame_number: int | None) -> Slice:  # noqa: ANN401
    try:
        rescale = header.get("RescaleSlope"), header.get("RescaleIntercept")
        kind, size = header.get("RescaleType") or "HU", (int(header.Rows), int(header.Columns))
    except Exception as error:
        raise damaged(path, name) from error
    if None in rescale or kind not in ("HU", "US") or not _finite(*rescale) or not float(rescale[0]):
        raise HounsfieldError(
            N_("{case}: {file} doesn't say how its values become HU (rescale slope and intercept). Export the original CT again."),
            case=name,
            file=path.name,
        )
    check_size(name, path.name, size)
    try:
        pixel = (float(header.PixelSpacing[0]), float(header.PixelSpacing[1]))
        orientation = tuple(float(value) for value in header.ImageOrientationPatient)
        position = np.array([float(value) for value in header.ImagePositionPatient])
        made = Slice(
            path, str(header.SeriesInstanceUID), str(header.get("SeriesDescription", "")),
            str(header.get("FrameOfReferenceUID", "")), position, orientation, pixel, size, float(rescale[0]), float(rescale[1]),
            frame_number,
        )  # fmt: skip
    except Exception as error:
        raise _no_position(path, name) from error
    if len(position) != 3 or len(orientation) != 6 or not _finite(*position, *orientation, *pixel) or min(pixel) <= 0:
        raise _no_position(path, name)
    lengths = (math.hypot(*each) for each in (orientation[:3], orientation[3:], made.normal))
    if not all(abs(each - 1) <= 1e-2 for each in lengths):
        raise _no_position(path, name)
    return made


def _finite(*values: Any) -> bool:  # noqa: ANN401
    try:
        return all(math.isfinite(float(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        return False


def _no_position(path: Path, name: str) -> UnreadableError:
    return UnreadableError(
        N_(
            "{case}: {file} doesn't say where its slice lies in the patient (position, orientation, pixel spacing). Export the "
            "series again."
        ),
        case=name,
        file=path.name,
    )
