"""A DICOM series before its headers are known: one slice out of the middle of the file names, shown as what it is.

What is said of it, its sides, its shades and the size of a pixel, is in its own file. Nothing is said that takes the others:
where it lies among them, how far they are apart, or whether they are one series at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctlab.dicom import read_single
from ctlab.errors import CtlabError
from ctlab.slices import files_of
from ctlab.text import say
from ctlab.viewing import words
from ctlab.viewing.oblique import is_oblique
from ctlab.viewing.pictures import Layers, Look
from ctlab.viewing.planes import Plane
from ctlab.viewing.still import still
from ctlab.volume import Volume
from phrases import N_

FEW = 32
"""Files whose headers are read before anything is shown: they take no longer than a second at 8 ms."""
HIGH = 480
"""Pixels of the picture's height."""
_TRIED = (0.5, 0.4, 0.6)
"""Where among the file names a slice is looked for: beside the middle there may be a report or a scout."""
_NUMBER = re.compile(r"(\d+)")


class EarlyError(CtlabError):
    """What was asked for takes a series that is known."""


@dataclass(frozen=True)
class Early:
    """A slice that stands for its series until that is known."""

    slice: Volume
    """One voxel thick."""
    plane: Plane
    """The files' own."""
    file: str
    count: int
    """Files in the folder."""

    def picture(self, look: Look) -> bytes:
        """A PNG of it, with the patient's sides."""
        return still(Layers(self.slice), (0, 0, 0), look, [self.plane], HIGH)

    def told(self) -> dict[str, object]:
        """What a view shows in place of a case, as JSON."""
        plane = say(words.PLANES[self.plane.key])
        return {
            "is": "early", "name": self.slice.name, "title": say(words.CONTROLS["viewer"]), "refused": "",
            "label": say(N_("Preliminary: {file}, {plane}"), file=self.file, plane=plane),
            "text": say(
                N_(
                    "Preliminary: one slice, {file}, from the middle of the file names. The headers of {count} files are still "
                    "being read and checked; slices, other planes, labels and measuring follow by themselves."
                ),
                file=self.file, count=self.count,
            ),
        }  # fmt: skip


def find_early(folder: Path, name: str) -> Early | None:
    """A slice to begin with, of a folder with more than FEW files. None where the headers decide before anything is shown.

    Raises OSError when the folder can't be read.
    """
    paths = in_order(files_of(folder))
    if len(paths) <= FEW:
        return None
    for part in _TRIED:
        path = paths[int(part * len(paths))]
        try:
            found = read_single(path, name)
        except CtlabError:
            # Whether that is the series' fault is for whoever reads all of it to say.
            return None
        if found is not None:
            oblique = is_oblique(found.geometry)
            return None if oblique else Early(found, _plane(found), path.name, len(paths))
    return None


def in_order(paths: Sequence[Path]) -> list[Path]:
    """By name, with numbers in them by their size: IM9 before IM10."""
    return sorted(paths, key=_key)


def _key(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER.split(path.name)]


def _plane(found: Volume) -> Plane:
    axis = "RLAPSI".index(found.geometry.stored[2]) // 2
    return next(plane for plane in Plane if plane.axis == axis)
