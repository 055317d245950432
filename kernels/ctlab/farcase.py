"""A case of a cohort as a training reads it again: on the working grid, cropped to the body, whole or a patch of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from ctlab import regrid
from ctlab.cohort import Case, PackedCase
from ctlab.packed import Header, PackedFile
from ctlab.regrid import Box, Shape
from ctlab.resample import Prepared, prepare, working_shape
from ctlab.tiers import Patch, changed, framed

MOST_OPEN = 256
"""Packed files that are open at once: an open one answers sooner, and a process may have 1024 files."""


@dataclass(frozen=True)
class FarCase:
    """One case, and how the network sees it."""

    case: Case
    spacing_mm: float
    """Of the working grid."""
    shape: Shape = (0, 0, 0)
    """Of the part around the body; known when it was read once."""
    origin: Shape = (0, 0, 0)
    """Where that begins on the working grid."""
    identity: str = ""
    """Of its packed file, as `_identity` tells it."""

    @property
    def packed(self) -> bool:
        """Whether a patch can be read without the rest."""
        return isinstance(self.case, PackedCase)

    def seen(self, case: Case, made: Prepared) -> FarCase:
        """The same, when `case` was read and `made` came of it."""
        x, y, z = made.hu.shape
        identity = _identity(case.packed.header) if isinstance(case, PackedCase) else ""
        return replace(self, shape=(x, y, z), origin=made.origin, identity=identity)

    def whole(self) -> Prepared:
        """All of it, read now. Raises a CtlabError when it can't be used."""
        # A copy of the case, which doesn't keep its file open.
        ct, labels = replace(self.case).load()
        return prepare(self.case.name, ct.voxels, labels.voxels, working_shape(ct.geometry, self.spacing_mm))

    def patch(self, start: Shape, side: int) -> Patch:
        """A patch of a packed case as `ctlab.tiers.cut` has it: only the blocks that it touches are read, now."""
        file = _open(self.case.folder, self.case.name, self.identity)
        fine, working = file.header.shape, working_shape(file.header.geometry, self.spacing_mm)
        box = self._on_working_grid(start, side)
        part = regrid.needed(fine, working, box)
        hu, labels = file.patch(*_corner(part))
        found = (regrid.hu_of(hu, fine, working, box), regrid.labels_of(labels, fine, working, box))
        return framed(torch.from_numpy(found[0]), torch.from_numpy(found[1]), start, side)

    def _on_working_grid(self, start: Shape, side: int) -> Box:
        sides = zip(start, self.shape, self.origin, strict=True)
        x, y, z = (slice(first + max(0, at), first + min(at + side, length)) for at, length, first in sides)
        return x, y, z


def _corner(box: Box) -> tuple[Shape, Shape]:
    x, y, z = box
    return (x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start)


@lru_cache(MOST_OPEN)
def _open(path: Path, name: str, identity: str) -> PackedFile:
    file = PackedFile(path, name)
    if _identity(file.header) != identity:
        raise changed(name)
    return file


def _identity(header: Header) -> str:
    """What its patches come from: the SHA-256 of its voxels, as the file says it, and the place of each in the patient."""
    return repr((header.sha256, header.shape, header.affine))


def forget() -> None:
    """Closes the files that nobody reads."""
    _open.cache_clear()
