"""`ctlab.view`: a CT in a notebook cell. What it does is in `ctlab.viewing`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ctlab.cohort import names_of
from ctlab.dicom import read_stack
from ctlab.errors import DamagedError, LabelError, UnreadableError
from ctlab.packed import ENDING, PackedFile
from ctlab.readers import load, load_labels, stem
from ctlab.storage import reading
from ctlab.text import say
from ctlab.viewing.arriving import Arriving
from ctlab.viewing.desk import Desk
from ctlab.viewing.early import find_early
from ctlab.viewing.stacking import Stacking
from ctlab.viewing.widget import Viewer
from ctlab.viewing.windows import WINDOWS
from ctlab.volume import Labels, Volume
from phrases import N_


def view(
    ct: Volume | str | Path,
    labels: Labels | str | Path | None = None,
    compare: Labels | str | Path | None = None,
    window: str = "lung",
    *,
    folder: str | Path | None = None,
) -> Viewer:
    """A widget that shows `ct` in three planes, `labels` over it, and `compare`, the truth, as outlines.

    Volumes, or paths of files that hold them. A packed case (`ctlab.pack`) shows its middle slices at once, with its own labels
    unless others are given, and is read while it is looked at. So is a folder with a DICOM series: the middle one of its own
    slices at once, the other planes when all are there; a line says so where such a series has to be read first, as other files
    are. Of a folder with many files a slice from the middle of the file names is shown, marked as preliminary, until all headers
    were read and checked; whatever is wrong with the series or the labels is then told in its place, and raised by whatever asks
    the viewer for more. `window` is the first Hounsfield window,
    a key of `ctlab.viewing.windows.WINDOWS`. Corrected labels and bookmarks are saved below `folder`, by default the folder for
    results. Only 8-bit pictures of what is shown go to the browser, and the HU of single voxels that a person points at.

    Raises UnreadableError for what is no volume, LabelError for what is no label image or doesn't lie on the grid of `ct`,
    DamagedError for a packed case that isn't what was written, ObliqueError for a scan that can't be shown upright, ValueError for
    an unknown window.
    """
    if window not in WINDOWS:
        raise ValueError(say(N_("There is no window {name}. Choose one of: {names}."), name=window, names=", ".join(WINDOWS)))
    results = Path(folder) if folder is not None else None
    if isinstance(ct, str | Path) and str(ct).endswith(ENDING):
        return Viewer(_packed(Path(ct), labels, compare, results), window)
    if not isinstance(ct, str | Path):
        return Viewer(_desk(ct, labels, compare, results), window)
    path = Path(ct)
    with reading(stem(path)):
        early = find_early(path, stem(path)) if path.is_dir() else None
    if early is None:
        return Viewer(_desk(_opened(path, print), labels, compare, results), window)
    viewer = Viewer(early, window)

    def read() -> None:
        viewer.settle(lambda: _desk(_opened(path, viewer.tell), labels, compare, results))

    threading.Thread(target=read, name="ctlab-opening", daemon=True).start()
    return viewer


def _packed(path: Path, labels: object, compare: object, results: Path | None) -> Desk:
    """A packed case, to be shown while it is read."""
    name = path.name.removesuffix(ENDING)
    file = PackedFile(path, name)
    try:
        names = names_of(file.header.label_names)
    except (ValueError, KeyError) as error:
        raise DamagedError(
            N_(
                "{case}: the packed file {file} is damaged: what was read isn't what was written, and nothing of it was used. "
                "Remove it and pack the case again."
            ),
            case=name,
            file=path.name,
        ) from error
    return _desk(Arriving(file, name, names), labels, compare, results)


def _opened(path: Path, tell: Callable[[str], None]) -> Stacking | Volume:
    """What lies at `path`: of a DICOM series only the headers and a slice were read, where that will do; else all of it.

    `tell` hears why a series is read whole.
    """
    name = stem(path)
    with reading(name):
        coming = Stacking(path, read_stack(path, name), name) if path.is_dir() else None
    if coming is not None:
        if not (reason := coming.why_not()):
            return coming
        tell(say(N_("{case}: all of it is read before it is shown, because {reason}."), case=name, reason=say(reason)))
    return load(path, name)


def _desk(found: object, labels: object, compare: object, results: Path | None) -> Desk:
    """What a viewer shows of `found`: a CT, or one that is still being read, with its own labels unless others are given."""
    coming = found if isinstance(found, Arriving | Stacking) else None
    ct = _volume(found if coming is None else coming.ct)
    own = coming.labels if coming is not None and labels is None else None
    marked, truth = own or _labels(labels, ct), _labels(compare, ct)
    if marked is None:
        marked, truth = truth, None
    return Desk(ct, marked, truth, results, coming)


def _volume(ct: object) -> Volume:
    if not isinstance(ct, Volume):
        raise UnreadableError(
            N_("A {kind} can't be shown: it doesn't say where its voxels lie in the patient. Use ctlab.load, or a case's ct."),
            kind=type(ct).__name__,
        )
    if not ct.voxels.size:
        raise UnreadableError(N_("{case}: the volume is empty, so there is nothing to show."), case=ct.name)
    return ct


def _labels(labels: object, ct: Volume) -> Labels | None:
    if isinstance(labels, str | Path):
        labels = load_labels(labels, name=ct.name)
    if labels is None or isinstance(labels, Labels):
        return labels
    if isinstance(labels, np.ndarray) and labels.dtype == np.uint8 and labels.shape == ct.geometry.shape:
        return Labels(labels, ct.geometry, ct.name)
    kind = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
    raise LabelError(
        N_(
            "{case}: {kind} is no label image of this CT. Use ctlab.load_labels, or whole numbers (uint8) in an array of the "
            "CT's own shape, {shape}."
        ),
        case=ct.name,
        kind=kind,
        shape=" × ".join(map(str, ct.geometry.shape)),
    )
