"""A packed case that is shown while it is still being read: what is asked for comes first, the rest in the background."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ctlab.blocks import Shape
from ctlab.errors import CtlabError
from ctlab.middles import middle_of
from ctlab.packed import PackedFile
from ctlab.viewing.coming import Alone
from ctlab.volume import Labels, Volume

AT_ONCE = 4
"""Parts of a layer that are read and decoded at once; each asks for many blocks at once."""


class Arriving:
    """CT and labels of an open packed case; `ctlab.viewing.coming.Coming`.

    Memory: the volume (two bytes a voxel, one for the label), and the layer of blocks that is being read.
    """

    def __init__(self, file: PackedFile, name: str, names: Mapping[int, str]) -> None:
        """Reads nothing yet. `name` is the case's, `names` says what the labels' numbers stand for."""
        header = file.header
        self._file, self._shape, self._block = file, header.shape, header.block
        # Memory that nobody has written to is not taken from the machine.
        self._hu, self._marks = np.zeros(header.shape, np.int16), np.zeros(header.shape, np.uint8)
        self._there: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        """For each axis the layers of blocks across it that were read."""
        self._looked_at = header.shape[2] // 2
        """The axial slice that was asked for last."""
        self._reading = threading.Lock()
        self.ct = Volume(self._hu, header.geometry, name)
        self.labels = Labels(self._marks, header.geometry, name, names) if header.label_voxels else None
        self.label_voxels = {value: voxels for value, voxels in header.label_voxels.items() if 0 < value < 256}
        """Label value to how many voxels carry it, as the file says."""

    def begin(self, tell: Callable[[], None]) -> threading.Thread:
        """Reads the rest in a thread of its own, first what lies near the axial slice that was asked for last.

        What it can't read is tried again when it is needed.
        """
        thread = threading.Thread(target=self._rest, args=(tell,), name="ctlab-arriving", daemon=True)
        thread.start()
        return thread

    def there(self, axis: int, slices: range) -> bool:
        """Whether these slices across `axis` were read."""
        return self.complete or self._there[axis].issuperset(self._layers(axis, slices))

    def able(self, axis: int) -> bool:
        """Slices across every axis can be read without the rest."""
        return axis in range(3)

    def alone(self, axis: int, index: int) -> Alone:
        """HU and labels of one slice across `axis`, in the order of the other two axes; read now, and not kept.

        Far sooner than `need`: nothing beside the slice is decoded, and the volume's memory, of which an axial slice touches
        every page, isn't asked for. Raises as `need` does.
        """
        start, size = [0, 0, 0], list(self._shape)
        start[axis], size[axis] = index, 1
        self._look(axis, index)
        kept = self._file.middle(axis) if index == middle_of(self._shape, axis) else None
        hu, marks = kept or self._file.patch((start[0], start[1], start[2]), (size[0], size[1], size[2]))
        return hu.squeeze(axis), marks.squeeze(axis)

    def need(self, axis: int, slices: range) -> None:
        """Returns when these slices across `axis` are there.

        Raises StorageError, and DamagedError rather than show a wrong voxel.
        """
        if self.complete:
            return
        self._look(axis, slices[len(slices) // 2])
        for layer in self._layers(axis, slices):
            self._read(axis, layer)

    def whole(self) -> None:
        """Returns when everything is there. Raises as `need` does."""
        while (layer := self._next()) is not None:
            self._read(2, layer)

    @property
    def share(self) -> float:
        """How much is there, 0 to 1."""
        return len(self._there[2]) / self._axial_layers

    @property
    def complete(self) -> bool:
        """Whether everything is there."""
        return len(self._there[2]) == self._axial_layers

    @property
    def _axial_layers(self) -> int:
        return -(-self._shape[2] // self._block[2])

    def _layers(self, axis: int, slices: range) -> range:
        return range(slices.start // self._block[axis], (slices.stop - 1) // self._block[axis] + 1)

    def _look(self, axis: int, index: int) -> None:
        if axis == 2:
            self._looked_at = index

    def _next(self) -> int | None:
        """The axial layer that is read next; None when all are there."""
        near = self._looked_at / self._block[2] - 0.5
        missing = [layer for layer in range(self._axial_layers) if layer not in self._there[2]]
        return min(missing, key=lambda layer: abs(layer - near), default=None)

    def _read(self, axis: int, layer: int) -> None:
        if layer in self._there[axis]:
            return
        with self._reading:
            if layer in self._there[axis]:
                return
            start, size = [0, 0, 0], list(self._shape)
            start[axis] = layer * self._block[axis]
            size[axis] = min(self._block[axis], self._shape[axis] - start[axis])
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ctlab-layer") as pool:
                for _ in pool.map(self._fetch, self._parts(axis, start, size)):
                    pass
            self._there[axis].add(layer)

    def _parts(self, axis: int, start: list[int], size: list[int]) -> list[tuple[Shape, Shape]]:
        """Start and size of the boxes, of whole blocks, that a layer across `axis` is read by at once."""
        along = max((each for each in range(3) if each != axis), key=lambda each: size[each] // self._block[each])
        blocks = -(-size[along] // self._block[along])
        step = -(-blocks // AT_ONCE) * self._block[along]
        parts = []
        for first in range(0, size[along], step):
            begin, count = list(start), list(size)
            begin[along], count[along] = first, min(step, size[along] - first)
            parts.append(((begin[0], begin[1], begin[2]), (count[0], count[1], count[2])))
        return parts

    def _fetch(self, part: tuple[Shape, Shape]) -> None:
        start, size = part
        box = tuple(slice(first, first + count) for first, count in zip(start, size, strict=True))
        self._hu[box], self._marks[box] = self._file.patch(start, size)

    def _rest(self, tell: Callable[[], None]) -> None:
        # Whoever needs a slice that is missing reads it again, and is told what is wrong.
        with contextlib.suppress(CtlabError):
            self.whole()
        tell()
