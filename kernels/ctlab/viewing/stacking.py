"""A DICOM series that is shown while its slices are still being read: those asked for first, the rest in the background."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctlab.dicom import Stack, read_series
from ctlab.errors import CtlabError, HounsfieldError, StorageError
from ctlab.geometry import Geometry, as_stored
from ctlab.hounsfield import check_body, to_hounsfield
from ctlab.slices import AT_ONCE, read_pixels
from ctlab.storage import reading
from ctlab.viewing.coming import Alone
from ctlab.viewing.oblique import is_oblique
from ctlab.volume import Labels, Volume
from phrases import N_

TELL_S = 0.5
"""Between two words of how far the reading is."""
_INT16 = np.iinfo(np.int16)


class Stacking:
    """A CT out of `stack`, whose headers were read and checked as those of every series; `ctlab.viewing.coming.Coming`.

    Each slice is checked on its own, and all of them together at the end, by what `read_series` checks. Whatever looks wrong is
    read again by `read_series` itself: what it refuses is refused in its words from then on, also what was shown before.
    Memory: the volume, two bytes a voxel, and the slices that are being read.
    """

    def __init__(self, folder: Path, stack: Stack, name: str) -> None:
        """Reads nothing yet."""
        self._folder, self._stack, self._name = folder, stack, name
        geometry = stack.geometry
        # Memory that nobody has written to is not taken from the machine.
        self._hu = np.zeros(geometry.shape, np.int16)
        self._stored: npt.NDArray[np.int16] = as_stored(self._hu, geometry)[0]
        """The same memory as the files have it: columns, rows, slices."""
        self._axis, self._backwards = "RLAPSI".index(geometry.stored[2]) // 2, geometry.stored[2] in "LPI"
        self._count = geometry.shape[self._axis]
        self._looked_at = self._count // 2
        self._first: dict[int, npt.NDArray[np.float32]] = {}
        """HU of the slice that `why_not` read, until it is in the volume."""
        self._there: set[int] = set()
        self._refusal: CtlabError | None = None
        self._found_right = False
        """What `read_series` said of it, if it was asked."""
        self._complete = False
        self._reading, self._asking = threading.Lock(), threading.Lock()
        self.ct = Volume(self._hu, geometry, name)
        self.labels: Labels | None = None
        self.label_voxels: Mapping[int, int] = {}

    def why_not(self) -> str:
        """Why this series has to be read whole before it is shown, as part of a sentence; empty when it hasn't to be.

        The middle slice is read for it. Raises a CtlabError as `read_series` does.
        """
        if any(each.frame_number is not None for each in self._stack.slices):
            return N_("all slices lie in one file")
        if is_oblique(self._stack.geometry):
            return N_("the scan is turned")
        with reading(self._name):
            pixels = read_pixels(self._stack.slices[self._number(self._looked_at)], self._name)
        self._first[self._looked_at] = pixels
        try:
            to_hounsfield(pixels, self._name)
        except HounsfieldError:
            return N_("one slice alone doesn't show whether its values are HU")
        return ""

    def begin(self, tell: Callable[[], None]) -> threading.Thread:
        """Reads the rest in a thread of its own, first what lies near the slice that was asked for last."""
        thread = threading.Thread(target=self._rest, args=(tell,), name="ctlab-arriving", daemon=True)
        thread.start()
        return thread

    @property
    def share(self) -> float:
        """How much is there, 0 to 1; 1 only when all of it was found right."""
        return 1.0 if self._complete else min(0.99, len(self._there) / self._count)

    def able(self, axis: int) -> bool:
        """Whether slices across `axis` are the files' own; all others need every file."""
        return axis == self._axis

    def there(self, axis: int, slices: range) -> bool:
        """Whether these slices across `axis` are there. Raises what was found wrong with the series."""
        self._check_refused()
        return self._complete or (axis == self._axis and self._there.issuperset(slices))

    def alone(self, axis: int, index: int) -> Alone:
        """One slice across `axis`, read now. Raises ValueError for an axis along the files' slices."""
        if axis != self._axis:
            raise ValueError(axis)
        self._looked_at = index
        geometry, shape = self._stack.geometry, list(self._stack.geometry.shape)
        shape[axis] = 1
        hu = np.empty(shape, np.int16)
        as_stored(hu, Geometry((shape[0], shape[1], shape[2]), geometry.affine, geometry.stored))[0][:, :, 0] = self._slice(index)
        return hu.squeeze(axis), None

    def need(self, axis: int, slices: range) -> None:
        """Returns when these slices across `axis` are there; along the files' slices that is when all are."""
        if self.there(axis, slices):
            return
        if axis != self._axis:
            self.whole()
            return
        self._looked_at = slices[len(slices) // 2]
        self._read([index for index in slices if index not in self._there])

    def whole(self) -> None:
        """Returns when everything is there and was found right."""
        self._whole(lambda: None)

    def _whole(self, tell: Callable[[], None]) -> None:
        with self._reading:
            self._check_refused()
            if self._complete:
                return
            told = time.monotonic()
            while missing := self._next():
                self._read(missing)
                if time.monotonic() - told >= TELL_S:
                    told = time.monotonic()
                    tell()
            try:
                check_body(self._hu, self._name)
            except HounsfieldError:
                self._refuse()
            self._complete = True

    def _rest(self, tell: Callable[[], None]) -> None:
        # Whoever needs what is missing reads it again, or is told what is wrong.
        with contextlib.suppress(CtlabError):
            self._whole(tell)
        tell()

    def _next(self) -> list[int]:
        """The slices that are read next, those near the one that was asked for last first."""
        near = self._looked_at
        return sorted(set(range(self._count)) - self._there, key=lambda index: abs(index - near))[: 2 * AT_ONCE]

    def _number(self, index: int) -> int:
        """Which of the files holds slice `index` across the axis."""
        return self._count - 1 - index if self._backwards else index

    def _read(self, missing: list[int]) -> None:
        def fill(index: int) -> None:
            self._stored[:, :, self._number(index)] = self._slice(index)
            self._there.add(index)
            self._first.pop(index, None)

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dicom") as pool:
            for _ in pool.map(fill, missing):
                pass

    def _slice(self, index: int) -> npt.NDArray[np.int16]:
        """HU of one file as `read_series` would have them, (columns, rows)."""
        try:
            pixels = self._first.get(index)
            if pixels is None:
                with reading(self._name):
                    pixels = read_pixels(self._stack.slices[self._number(index)], self._name)
        except StorageError:
            raise
        except CtlabError as error:
            self._refusal = error
            raise
        rounded = np.rint(pixels)
        # Also false for what is not a number.
        if not (rounded.min() >= _INT16.min and rounded.max() <= _INT16.max):
            self._refuse()
            return self._stored[:, :, self._number(index)].copy()
        found: npt.NDArray[np.int16] = rounded.astype(np.int16).T
        return found

    def _check_refused(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _refuse(self) -> None:
        """Has the whole series read by the reader whose word counts. Raises what it says; keeps what it reads when it is right.

        It is asked once: of many slices that look wrong, as many are found at the same time as are read at once.
        """
        with self._asking:
            self._check_refused()
            if self._found_right:
                return
            try:
                with reading(self._name):
                    self._hu[...] = read_series(self._folder, self._name).voxels
            except StorageError:
                raise
            except CtlabError as error:
                self._refusal = error
                raise
            self._there.update(range(self._count))
            self._found_right = True
