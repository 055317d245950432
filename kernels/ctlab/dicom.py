"""A CT series out of a folder of DICOM files, or the reason why it can't be used.

Slices are ordered by their position along the slice axis (Image Position and Orientation, Patient), never by file name or
instance number; the distance between slices comes from those positions, not from the thickness.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctlab.errors import DuplicateSliceError, MissingSliceError, MixedSeriesError, SpacingError, UnreadableError
from ctlab.geometry import SKEW_LIMIT_DEGREES, Geometry, Matrix, canonical, skewed
from ctlab.hounsfield import to_hounsfield
from ctlab.limits import check_size
from ctlab.slices import AT_ONCE, Slice, one_series, read_alone, read_pixels, read_slices, read_whole
from ctlab.volume import Volume
from phrases import N_

SAME_POSITION_MM = 0.01
EVEN_WITHIN = 0.05
"""A slice may lie this part of a step (or, sideways, of a pixel) from its place in an even stack."""

ROUNDED_MM = 0.1
"""... or this far, because many programs round positions to 0.1 mm: half of it for the slice, half for the stack's ends."""


@dataclass(frozen=True)
class Place:
    """Where a series lies, for label objects that were drawn on it."""

    geometry: Geometry
    series: str = ""
    """Its UID, and below that of its frame of reference; empty where nobody knows, for example on a NIfTI file."""
    frame: str = ""


@dataclass(frozen=True)
class Stack:
    """A series by its headers alone, found to be one even stack."""

    slices: Sequence[Slice]
    """In the order in which the files' volume has them along its third axis."""
    geometry: Geometry
    """Of the volume that `read_series` makes of them."""


def read_series(folder: Path, name: str, *, series: str | None = None, prefer: str = "", expect_air: bool = True) -> Volume:
    """The CT whose slices lie in `folder`; reports, scouts and other modalities beside them are left out.

    `series` names one by its UID or description; of several, the one with the UID `prefer` is taken. Raises UnreadableError,
    MixedSeriesError, DuplicateSliceError, MissingSliceError, SpacingError, SkewError or HounsfieldError.
    """
    slices = _stack_of(folder, name, series, prefer)
    affine = _affine(slices)
    rows, columns = slices[0].size
    stack = np.empty((columns, rows, len(slices)), np.float32)
    files = read_whole(slices, name)

    def fill(index: int) -> None:
        stack[:, :, index] = read_pixels(slices[index], name, files.get(slices[index].path)).T

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dicom") as pool:
        for _ in pool.map(fill, range(len(slices))):
            pass
    hu, geometry = canonical(to_hounsfield(stack, name, expect_air=expect_air), affine, name)
    return Volume(np.ascontiguousarray(hu), geometry, name)


def read_stack(folder: Path, name: str, *, series: str | None = None, prefer: str = "") -> Stack:
    """The headers of that CT. Raises as `read_series` does for what they say."""
    slices = _stack_of(folder, name, series, prefer)
    rows, columns = slices[0].size
    # One byte that seems to be a volume: only its shape is turned.
    empty = np.broadcast_to(np.uint8(0), (columns, rows, len(slices)))
    return Stack(slices, canonical(empty, _affine(slices), name)[1])


def read_place(folder: Path, name: str, *, series: str | None = None, prefer: str = "") -> Place:
    """Where that CT lies, by its headers alone. Raises as `read_series` does."""
    stack = read_stack(folder, name, series=series, prefer=prefer)
    return Place(stack.geometry, stack.slices[0].series, stack.slices[0].frame)


def read_single(path: Path, name: str) -> Volume | None:
    """The slice in a file as a volume one voxel thick, by what that file alone says; None where it holds no slice, or several.

    How thick it is nobody said: 1 mm. Raises UnreadableError, SkewError or HounsfieldError as `read_series` does.
    """
    found = read_alone(path, name)
    if found is None:
        return None
    check_size(name, path.name, (*found.size, 1))
    hu = to_hounsfield(read_pixels(found, name).T[:, :, np.newaxis], name)
    voxels, geometry = canonical(hu, _placed(found, found.normal), name)
    return Volume(np.ascontiguousarray(voxels), geometry, name)


def _stack_of(folder: Path, name: str, series: str | None, prefer: str) -> list[Slice]:
    slices = _order(one_series(read_slices(folder, name), series, name, prefer=prefer), name)
    check_size(name, folder.name, (*slices[0].size, len(slices)))
    return slices


def _order(slices: list[Slice], name: str) -> list[Slice]:
    """The slices from one end to the other, when they are one even stack."""
    first = slices[0]
    others = [each for each in slices if not _same_plane(each, first)]
    if others:
        raise MixedSeriesError(
            N_(
                "{case}: {file} differs from the other slices in size, pixel spacing or orientation. Keep one stack of slices in "
                "a folder."
            ),
            case=name,
            file=(others[0] if 2 * len(others) <= len(slices) else first).called,
        )
    if len(slices) < 2:
        raise UnreadableError(N_("{case}: there is only one slice; a volume needs at least two. Copy the whole series."), case=name)
    across = first.normal
    ordered = sorted(slices, key=lambda each: float(each.position @ across))
    _check_gaps(ordered, name)
    _check_line(ordered, name)
    return ordered


def _same_plane(one: Slice, other: Slice) -> bool:
    # In plain numbers: arrays of six take longer to make than to compare.
    turned = max(abs(a - b) for a, b in zip(one.orientation, other.orientation, strict=True)) > 1e-3
    enlarged = any(abs(a - b) > 1e-3 * b for a, b in zip(one.pixel, other.pixel, strict=True))
    return one.size == other.size and not turned and not enlarged


def _check_gaps(ordered: Sequence[Slice], name: str) -> None:
    across = ordered[0].normal
    places = [float(each.position @ across) for each in ordered]
    gaps = np.diff(places)
    twice = np.flatnonzero(gaps < SAME_POSITION_MM)
    if len(twice):
        raise DuplicateSliceError(
            N_(
                "{case}: {one} and {other} lie at the same place ({count} such pairs). Remove the copies, or keep one "
                "reconstruction in the folder."
            ),
            case=name,
            one=ordered[twice[0]].called,
            other=ordered[twice[0] + 1].called,
            count=len(twice),
        )
    steps = np.rint(gaps / np.median(gaps))
    if steps.min() < 1 or _unevenness(places, steps) > 1:
        raise SpacingError(
            N_("{case}: the distances between slices differ ({low:.2f} to {high:.2f} mm). Export the series with even spacing."),
            case=name,
            low=float(gaps.min()),
            high=float(gaps.max()),
        )
    holes = np.flatnonzero(steps > 1)
    if len(holes):
        raise MissingSliceError(
            N_(
                "{case}: slices are missing ({count}); the first gap lies between {one} and {other}. Copy or export the series "
                "again."
            ),
            case=name,
            count=int((steps[holes] - 1).sum()),
            one=ordered[holes[0]].called,
            other=ordered[holes[0] + 1].called,
        )


def _unevenness(places: Sequence[float], steps: npt.NDArray[np.float64]) -> float:
    """How far the worst slice lies from where `steps` equal steps put it, in parts of what is allowed.

    Measured against the whole stack: small differences between neighbours could add up to centimetres.
    """
    step = (places[-1] - places[0]) / steps.sum()
    expected = places[0] + np.concatenate([[0.0], np.cumsum(steps)]) * step
    return float(np.abs(places - expected).max() / max(EVEN_WITHIN * step, ROUNDED_MM))


def _check_line(ordered: Sequence[Slice], name: str) -> None:
    """Refuses slices that are shifted sideways, all of them evenly (a tilted gantry) or one of them."""
    first, normal = ordered[0].position, ordered[0].normal
    way = ordered[-1].position - first
    tilt = float(np.degrees(np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1.0, 1.0))))
    if tilt > SKEW_LIMIT_DEGREES:
        raise skewed(name, tilt)
    away = np.cross([each.position - first for each in ordered], way)
    for each, beside in zip(ordered, np.linalg.norm(away, axis=1) / np.linalg.norm(way), strict=True):
        if beside > max(EVEN_WITHIN * min(each.pixel), 1.5 * ROUNDED_MM):
            raise MixedSeriesError(
                N_("{case}: {file} lies {mm:.1f} mm beside the other slices. Keep one stack of slices in a folder."),
                case=name,
                file=each.called,
                mm=float(beside),
            )


def _affine(ordered: Sequence[Slice]) -> Matrix:
    """Voxel index (column, row, slice) to mm in RAS+."""
    first, last = ordered[0], ordered[-1]
    return _placed(first, (last.position - first.position) / (len(ordered) - 1))


def _placed(first: Slice, step: npt.NDArray[np.float64]) -> Matrix:
    """The same for slices that begin with `first`, each a `step` (mm, LPS+) behind the one before it; DICOM speaks LPS+."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.orientation[:3]) * first.pixel[1]
    affine[:3, 1] = np.array(first.orientation[3:]) * first.pixel[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
