"""One case on the desk: CT, labels, truth, corrections and bookmarks, and what can be known of them. No widget, no browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctlab.errors import CtlabError, LabelError
from ctlab.folders import WORK
from ctlab.text import say
from ctlab.viewing import bookmarks, comparison, measures, oblique, versions
from ctlab.viewing.between import filled_between
from ctlab.viewing.bookmarks import Bookmark
from ctlab.viewing.coming import Coming, show
from ctlab.viewing.comparison import Agreement, Mistake
from ctlab.viewing.correcting import Correction, Limits
from ctlab.viewing.pictures import Cuts, Layers
from ctlab.viewing.planes import THIN, Plane, Slab, Voxel, pixel_mm, project, slab_range, voxel_at
from ctlab.viewing.solid import Solid
from ctlab.viewing.versions import Version
from ctlab.viewing.windows import Bytes
from ctlab.volume import Labels, Volume
from phrases import N_

Counts = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Voxels of each of 256 label values."""


@dataclass(frozen=True)
class Found:
    """What is at one voxel."""

    voxel: Voxel
    mm: tuple[float, float, float]
    """Patient coordinates, RAS+."""
    hu: int
    label: int | None
    truth: int | None


class Desk:
    """What a viewer shows and changes. Given volumes stay as they are."""

    def __init__(
        self,
        ct: Volume,
        labels: Labels | None,
        truth: Labels | None,
        folder: Path | None = None,
        arriving: Coming | None = None,
    ) -> None:
        """`folder` takes what is saved: `folder/labels`, `folder/bookmarks`; by default the folder for results.

        `arriving` is what `ct`, and `labels` if they are its own, are still being read from.

        Raises LabelError when a label image doesn't lie on the grid of `ct`, ObliqueError for a scan that can't be shown upright.
        """
        for each in (labels, truth):
            if each is not None:
                each.check_fits(ct)
        self._arriving = arriving
        self.turned_degrees = ct.geometry.obliquity_degrees if oblique.is_oblique(ct.geometry) else 0.0
        if self.turned_degrees:
            self.whole()
            self._arriving = None
            ct = oblique.upright(ct)
            labels, truth = (each and oblique.upright_labels(each) for each in (labels, truth))
        self.ct, self._labels, self.truth = ct, labels, truth
        self.folder = folder or Path(os.environ.get(WORK, "work"))
        self.names: Mapping[int, str] = {**(truth.names if truth else {}), **(labels.names if labels else {})}
        self.correction: Correction | None = None
        self.revision = 0
        """Grows with every change of the labels."""
        self.bookmarks: list[Bookmark] = []
        self.solid = Solid()
        self._cuts = Cuts()
        self._volumes: tuple[int, dict[int, tuple[float, float]]] | None = None

    def begin(self, tell: Callable[[], None]) -> None:
        """Reads what isn't there yet in a thread of its own, which calls `tell` now and then, and at the end."""
        if self._arriving is not None:
            self._arriving.begin(tell)

    def show(self, voxel: Voxel, planes: Iterable[Plane], slab: Slab = THIN) -> frozenset[Plane]:
        """Returns when the slabs around `voxel` can be drawn in `planes`, but for those that it names: they come later.

        Raises a CtlabError when one can't be read.
        """
        return frozenset() if self._arriving is None else show(self._arriving, self.layers, voxel, planes, slab)

    @property
    def share(self) -> float:
        """How much of the case is there, 0 to 1."""
        return 1.0 if self._arriving is None else self._arriving.share

    @property
    def refusal(self) -> str:
        """Why a case that was being read may not be shown after all; empty while nothing is known against it."""
        try:
            if self._arriving is not None:
                self._arriving.there(0, range(0))
        except CtlabError as error:
            return str(error)
        return ""

    def need(self, plane: Plane, index: int, slab: Slab = THIN) -> None:
        """Returns when the voxels of the slab around slice `index` are there. Raises a CtlabError when they can't be read."""
        if self._arriving is not None:
            self._arriving.need(plane.axis, slab_range(plane, index, slab, self.ct.geometry))

    def whole(self) -> None:
        """Returns when all of the case is there. Raises a CtlabError when it can't be read."""
        if self._arriving is not None:
            self._arriving.whole()

    @property
    def layers(self) -> Layers:
        """What there is to draw."""
        labels = self.correction.voxels if self.correction else self._labels.voxels if self._labels else None
        return Layers(self.ct, labels, self.truth.voxels if self.truth else None, self.revision, self._cuts)

    @property
    def labels(self) -> Labels | None:
        """The labels as they are now; what was given, while nothing was corrected."""
        if self.correction is None:
            self.whole()
            return self._labels
        return Labels(self.correction.voxels.copy(), self.ct.geometry, self.ct.name, self.names)

    def name_of(self, value: int) -> str:
        """What a label value stands for."""
        return self.names.get(value) or say(N_("label {number}"), number=value)

    def first_voxel(self) -> Voxel:
        """Where to begin: the middle of the slice with most of the truth, else of the labels, else of the volume.

        The middle of the volume, too, while it is still being read.
        """
        x, y, z = (count // 2 for count in self.ct.geometry.shape)
        marked = None if self._arriving is not None else self.truth or self._labels
        if marked is not None and (counts := np.count_nonzero(marked.voxels, axis=(0, 1))).any():
            z = int(counts.argmax())
            places = np.argwhere(marked.voxels[:, :, z])
            x, y = (int(each) for each in places[int(((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin())])
        return x, y, z

    def volumes_ml(self) -> dict[int, tuple[float, float]]:
        """Label value to its millilitres in the labels and in the truth, for every value of either or with a name."""
        if self._volumes is None or self._volumes[0] != self.revision:
            here, there = self._counted(), _counts(self.layers.truth)
            values = sorted({*self.names, *(int(value) for value in np.flatnonzero(here + there)[:255])} - {0})
            ml = self.ct.geometry.voxel_ml
            self._volumes = self.revision, {value: (float(here[value]) * ml, float(there[value]) * ml) for value in values}
        return self._volumes[1]

    def _counted(self) -> Counts:
        """Voxels of each label value; of labels as they were packed, by what the file says."""
        if self._arriving is None or self.correction is not None or self._labels is not self._arriving.labels:
            return _counts(self.layers.labels)
        counts = np.zeros(256, np.int64)
        for value, voxels in self._arriving.label_voxels.items():
            counts[value] = voxels
        return counts

    def found_at(self, plane: Plane, index: int, point: measures.Point) -> Found | None:
        """What is under a place of a slice; None beside it."""
        voxel = voxel_at(plane, index, *point, self.ct.geometry.shape)
        if voxel is None:
            return None
        self.need(plane, index)
        x, y, z = (float(each) for each in (self.ct.geometry.affine @ (*voxel, 1))[:3])
        layers = self.layers
        return Found(
            voxel,
            (x, y, z),
            int(self.ct.voxels[voxel]),
            None if layers.labels is None else int(layers.labels[voxel]),
            None if layers.truth is None else int(layers.truth[voxel]),
        )

    def region(self, plane: Plane, index: int, corners: tuple[measures.Point, measures.Point], slab: Slab) -> measures.Region:
        """HU in an ellipse of what is shown, the slab's projection included. Raises MeasureError when it holds no voxel."""
        self.need(plane, index, slab)
        hu = project(self.ct.voxels, plane, index, slab, self.ct.geometry)
        return measures.region(hu, measures.ellipse((hu.shape[0], hu.shape[1]), *corners), pixel_mm(self.ct.geometry, plane))

    def corrected(self) -> Correction:
        """The labels to be corrected, a copy from the first time on; empty where there were none.

        Raises LabelError where the scan is shown turned: its voxels are not those of the file.
        """
        if self.turned_degrees:
            raise LabelError(
                N_(
                    "{case}: the scan is turned by {degrees:.0f}° and shown upright, so its labels can't be corrected here. "
                    "Nothing was changed. Export the scan along the patient's axes to correct its labels."
                ),
                case=self.ct.name,
                degrees=self.turned_degrees,
            )
        if self.correction is None:
            self.whole()
            start = self._labels.voxels if self._labels else np.zeros(self.ct.geometry.shape, np.uint8)
            self.correction = Correction(start, self.ct.voxels, self.ct.geometry)
        return self.correction

    def draw(
        self, kind: str, plane: Plane, index: int, points: list[measures.Point], value: int, *, radius_mm: float, limits: Limits
    ) -> int:
        """A stroke or lasso (`kind`); how many voxels changed."""
        if not 0 <= index < self.ct.geometry.shape[plane.axis]:
            return 0
        made = self.corrected()
        if kind == "lasso":
            changed = made.lasso(plane, index, points, value, limits=limits)
        else:
            changed = made.stroke(plane, index, points, value, radius_mm=radius_mm, limits=limits)
        self.revision += changed > 0
        return changed

    def fill(self, plane: Plane, value: int) -> int:
        """Label `value` between the slices of `plane` that have it; how many voxels changed. Raises LabelError without a gap."""
        made = self.corrected()
        mask, start = filled_between(made.voxels, plane, value, self.ct.geometry)
        changed = made.put(mask, plane.axis, start, value)
        self.revision += changed > 0
        return changed

    def undo(self) -> bool:
        """The last correction back."""
        done = self.correction is not None and self.correction.undo()
        self.revision += done
        return done

    def redo(self) -> bool:
        """And again."""
        done = self.correction is not None and self.correction.redo()
        self.revision += done
        return done

    def save(self) -> tuple[Version, Path]:
        """The corrected labels as a new version below `folder/labels`. Raises LabelError when there is nothing new, SaveError."""
        labels = self.labels
        if labels is None or self.correction is None or not self.correction.count:
            raise LabelError(N_("Nothing was corrected since the last version, so none was saved."))
        given = self._labels.name if self._labels else ""
        found = versions.save_version(self.folder / "labels", labels, based_on=given, corrections=self.correction.count)
        self.correction.saved()
        return found

    def agreements(self) -> list[Agreement]:
        """How well each label fits the truth; none without a truth."""
        self.whole()
        layers = self.layers
        if layers.labels is None or layers.truth is None:
            return []
        values = [value for value, (here, there) in self.volumes_ml().items() if here or there]
        return [comparison.agreement(layers.labels, layers.truth, value, self.ct.geometry) for value in values]

    def mistakes(self) -> list[Mistake]:
        """The largest connected mistakes; none without a truth."""
        self.whole()
        layers = self.layers
        if layers.labels is None or layers.truth is None:
            return []
        return comparison.mistakes(layers.labels, layers.truth, self.ct.geometry)

    def worst_slice(self, plane: Plane) -> int | None:
        """The slice with most wrong voxels; None where there is none."""
        self.whole()
        layers = self.layers
        if layers.labels is None or layers.truth is None:
            return None
        return comparison.worst_slice(layers.labels, layers.truth, plane)

    @property
    def bookmark_file(self) -> Path:
        """Where this case's bookmarks are."""
        return self.folder / "bookmarks" / f"{versions.safe_name(self.ct.name)}.json"

    def read_bookmarks(self) -> None:
        """From their file. Raises BookmarkError when it holds none of this CT."""
        self.bookmarks = bookmarks.read(self.bookmark_file, self.ct.geometry.shape)

    def keep_bookmarks(self, places: list[Bookmark]) -> None:
        """Instead of those that are there. Raises BookmarkError when they can't be written; then both are as before."""
        bookmarks.write(self.bookmark_file, self.ct.name, self.ct.geometry.shape, places)
        self.bookmarks = places


def _counts(labels: Bytes | None) -> Counts:
    counts = np.zeros(256, np.int64)
    for slab in labels if labels is not None else ():
        counts += np.bincount(slab.ravel(), minlength=256)
    return counts
