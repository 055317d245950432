"""NRRD and MetaImage (MHA) files, by SimpleITK, once their own headers have been found to say what it would otherwise make up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from ctlab.errors import UnreadableError
from ctlab.geometry import Matrix, unplaced
from ctlab.limits import check_size
from phrases import N_

ENDINGS = (".nrrd", ".mha")
_HEAD = 2**16
"""Bytes in which a header ends; those of scanners and drawing programs have some hundreds."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NRRD_PLACE = ("space directions", "space origin")
_MHA_PLACE = (("elementspacing",), ("offset", "position", "origin"))
_NRRD_SPACES = re.compile(r"(left|right)-(anterior|posterior)-(inferior|superior)|[lr][ap][is]")
"""Spaces of a patient; "scanner-xyz" and the like say nothing of left and right."""


def read_array(path: Path, name: str) -> tuple[npt.NDArray[Any], Matrix]:
    """The values with axes (x, y, z), and their place in mm, RAS+. Raises UnreadableError."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    fields = _nrrd_fields(head) if path.suffix.lower() == ".nrrd" else _mha_fields(head)
    if fields is None:
        raise _unreadable(path, name)
    if not _is_placed(fields, path.suffix.lower()):
        raise unplaced(name)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
    except RuntimeError as error:
        raise _unreadable(path, name) from error
    if len(size) != 3 or reader.GetNumberOfComponents() != 1:
        raise UnreadableError(
            N_("{case}: {file} has {count} axes; a volume has three. Save one time point or channel."),
            case=name,
            file=path.name,
            count=len(size) + (reader.GetNumberOfComponents() > 1),
        )
    check_size(name, path.name, size, int(np.prod(size, dtype=object)), path.stat().st_size)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    affine[:3, 3] = reader.GetOrigin()
    try:
        values = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, name) from error
    return values.transpose(2, 1, 0), _LPS_TO_RAS @ affine


def _nrrd_fields(head: bytes) -> Mapping[str, str] | None:
    """Field → value, in small letters; None for another kind of file, or one whose voxels lie in other files."""
    text, end, _ = head.replace(b"\r\n", b"\n").partition(b"\n\n")
    if not head.startswith(b"NRRD000") or not end:
        return None
    lines = [line.decode("latin-1") for line in text.split(b"\n")[1:] if not line.startswith(b"#")]
    fields = {key.strip().lower(): value.strip().lower() for key, _, value in (line.partition(":") for line in lines)}
    return None if {"data file", "datafile"} & fields.keys() else fields


def _mha_fields(head: bytes) -> Mapping[str, str] | None:
    fields = {}
    for line in head.split(b"\n"):
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            return None
        fields[key.strip().lower()] = value.strip().lower()
        if key.strip().lower() == "elementdatafile":
            return fields if value.strip() == "LOCAL" else None
    return None


def _is_placed(fields: Mapping[str, str], ending: str) -> bool:
    """Whether the header itself says where the voxels lie; else SimpleITK takes a millimetre for each and no turn at all."""
    if ending == ".nrrd":
        return bool(_NRRD_SPACES.fullmatch(fields.get("space", ""))) and all(fields.get(key) for key in _NRRD_PLACE)
    return all(any(fields.get(key) for key in keys) for keys in _MHA_PLACE)


def _unreadable(path: Path, name: str) -> UnreadableError:
    return UnreadableError(
        N_("{case}: {file} can't be read; it is damaged, incomplete, in several files or of another kind. Copy or export it "
           "again."),
        case=name,
        file=path.name,
    )  # fmt: skip
