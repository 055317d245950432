"""A case that is shown while it is still being read: what a viewer needs of it, and how its slices get into pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ctlab.viewing.pictures import Layers
from ctlab.viewing.planes import Plane, Slab, Voxel, slab_range, turned
from ctlab.volume import Labels, Volume

Alone = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8] | None]
"""HU and labels of one slice, in the order of the two axes along it."""


class Coming(Protocol):
    """CT and labels of which more and more is there. Safe to use from several threads.

    A voxel that has not been read is 0 in the arrays: look at slices that `need` was asked for, or at all after `whole`. Whatever
    reads raises StorageError when the storage doesn't answer, and another CtlabError rather than show a wrong voxel.
    """

    @property
    def ct(self) -> Volume:
        """The CT, filled as it comes."""
        ...

    @property
    def labels(self) -> Labels | None:
        """Its own labels, filled as they come; None where it has none."""
        ...

    @property
    def label_voxels(self) -> Mapping[int, int]:
        """Label value to how many voxels carry it."""
        ...

    @property
    def share(self) -> float:
        """How much is there, 0 to 1; 1 only when all of it is there and was found right."""
        ...

    def begin(self, tell: Callable[[], None]) -> object:
        """Reads the rest in a thread of its own, which calls `tell` now and then, and at the end."""
        ...

    def able(self, axis: int) -> bool:
        """Whether slices across `axis` can be read without nearly all the rest."""
        ...

    def there(self, axis: int, slices: range) -> bool:
        """Whether these slices across `axis` are there. Raises what was found wrong with the case."""
        ...

    def alone(self, axis: int, index: int) -> Alone:
        """One slice across `axis`, read now and not kept, sooner than by `need`. The labels are None where the case has none."""
        ...

    def need(self, axis: int, slices: range) -> None:
        """Returns when these slices across `axis` are there."""
        ...

    def whole(self) -> None:
        """Returns when everything is there."""
        ...


def show(coming: Coming, layers: Layers, voxel: Voxel, planes: Iterable[Plane], slab: Slab) -> frozenset[Plane]:
    """Returns when the slabs around `voxel` can be drawn, except in the planes that it names: these need the rest of the case.

    Thin slices that aren't there are read alone, all at once, into the cuts that pictures are made of.
    """
    late, thin = set(), []
    for plane in planes:
        slices = slab_range(plane, voxel[plane.axis], slab, layers.geometry)
        if coming.there(plane.axis, slices):
            continue
        if not coming.able(plane.axis):
            late.add(plane)
        elif len(slices) > 1:
            coming.need(plane.axis, slices)
        else:
            thin.append(plane)
    with ThreadPoolExecutor(len(Plane), thread_name_prefix="ctlab-slice") as pool:
        for _ in pool.map(lambda plane: _read_alone(coming, layers, plane, voxel[plane.axis], slab), thin):
            pass
    return frozenset(late)


def _read_alone(coming: Coming, layers: Layers, plane: Plane, index: int, slab: Slab) -> None:
    if layers.cuts.has("ct", plane, layers.ct_cut(index, slab)):
        return
    hu, marks = coming.alone(plane.axis, index)
    # Not where other labels lie over the CT than the case's own.
    if marks is not None and coming.labels is not None and layers.labels is coming.labels.voxels:
        layers.cuts.last("labels", plane, layers.label_cut(index), lambda: np.ascontiguousarray(turned(marks)))
    # Last: whoever finds the CT takes the labels to be there, too.
    layers.cuts.last("ct", plane, layers.ct_cut(index, slab), lambda: turned(hu))
