"""Places in a case that somebody wants to find again: voxel, plane, window and a note, kept as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from ctlab.errors import CtlabError
from ctlab.files import whole
from ctlab.viewing.planes import PLANES, Shape
from phrases import N_

NOTE_LENGTH = 500

Count = Annotated[int, msgspec.Meta(ge=0)]


class BookmarkError(CtlabError):
    """Bookmarks that can't be read or written."""


class Bookmark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place."""

    voxel: tuple[Count, Count, Count]
    """x, y, z in RAS+, counted from 0."""
    plane: str
    width: float
    level: float
    note: Annotated[str, msgspec.Meta(max_length=NOTE_LENGTH)]
    who: str = ""
    when: str = ""


class Bookmarks(msgspec.Struct, frozen=True, kw_only=True):
    """All of one case."""

    case: str
    shape: tuple[Count, Count, Count]
    """Voxels of the CT: another CT's bookmarks would lead elsewhere."""
    places: list[Bookmark]


def write(path: Path, case: str, shape: Shape, places: list[Bookmark]) -> Path:
    """Writes all bookmarks of a case. Raises BookmarkError when that fails; then the file is as it was."""
    text = msgspec.json.format(msgspec.json.encode(Bookmarks(case=case, shape=shape, places=places)), indent=1)
    try:
        with whole(path) as draft:
            draft.write_bytes(text + b"\n")
    except OSError as error:
        raise BookmarkError(
            N_("The bookmarks could not be saved as {path}. They are still in this viewer; try again, or name another folder."),
            path=path,
        ) from error
    return path


def read(path: Path, shape: Shape) -> list[Bookmark]:
    """The bookmarks in `path`, none when there is no such file.

    Raises BookmarkError when it holds none, or those of another CT than one of `shape`.
    """
    if not path.exists():
        return []
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Bookmarks)
    except (OSError, msgspec.MsgspecError) as error:
        raise BookmarkError(
            N_("{path} holds no bookmarks. Nothing was changed; move the file away to begin anew."), path=path
        ) from error
    inside = all(voxel < count for each in found.places for voxel, count in zip(each.voxel, shape, strict=True))
    if found.shape != shape or not inside or any(each.plane not in PLANES for each in found.places):
        raise BookmarkError(
            N_("The bookmarks in {path} belong to another CT. Nothing was changed; move the file away to begin anew."), path=path
        )
    return found.places
