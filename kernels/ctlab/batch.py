"""A whole cohort segmented: what is done stays done, what fails is told in a sentence, and the rest goes on.

Each case gives `CASE.nii.gz`, for a case that came as DICOM also `CASE.seg.dcm`, and last `CASE.json`, its provenance. Called
again, after a cut, a crash or the session's end, it does what is missing: a case is finished when its provenance speaks of this
network, these parameters and these files, and its results have the checksums that stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import torch

from ctlab import provenance
from ctlab.clock import STOP_S
from ctlab.clock import seconds_left as session_seconds_left
from ctlab.cohort import DICOM_FOLDER, NAMES_FILE, PARTS, Case, Cohort, Problem, open_case
from ctlab.errors import CohortError, CtlabError, FolderMissingError, SegmentationError
from ctlab.folders import work_folder
from ctlab.inference import Model, load_model, predict
from ctlab.readers import load
from ctlab.seg_writer import Maker, write_seg
from ctlab.text import say
from ctlab.volume import Labels, Volume
from ctlab.windows import OVERLAP
from phrases import N_

SEG_ENDING = ".seg.dcm"

IMAGE, TRUTH = "ct.", ("label.", NAMES_FILE)
"""How the files of a case begin that hold its CT, and those that a prediction knows nothing of."""

Line = Callable[[str], None]


@dataclass(frozen=True)
class Predicted:
    """One case that is finished."""

    case: str
    path: Path
    """NIfTI, on the grid of the case's CT."""
    seg: Path | None
    """DICOM segmentation, where there is one."""
    remark: str
    """Why there is no DICOM segmentation, where there could have been one."""
    before: bool
    """Whether it was finished already."""


@dataclass(frozen=True, repr=False)
class Batch:
    """What came out of a batch run."""

    folder: Path
    done: tuple[Predicted, ...]
    problems: tuple[Problem, ...]
    waiting: tuple[str, ...] = ()
    """Cases for which there was no time."""

    def __repr__(self) -> str:
        before = sum(each.before for each in self.done)
        lines = [
            say(
                N_("{folder}: {done} cases are segmented ({before} of them before), {failed} failed, {waiting} are waiting."),
                folder=self.folder, done=len(self.done), before=before, failed=len(self.problems), waiting=len(self.waiting),
            ),
            *(problem.text for problem in self.problems),
            *(each.remark for each in self.done if each.remark),
        ]  # fmt: skip
        if self.waiting:
            lines.append(say(N_("The session's time is nearly up. Run the same line again to go on from here.")))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in repr(self).splitlines())


def predict_cohort(
    model: Model | str | Path,
    cohort: Cohort | Sequence[Case] | str | Path,
    folder: str | Path | None = None,
    *,
    mirror: str = "",
    report: Line = print,
    seconds_left: Callable[[], float] | None = None,
) -> Batch:
    """Segments every case of `cohort` and keeps the results in `folder` (default: `predictions` in the work folder).

    `cohort` is a cohort (all its cases), some cases, or a folder with a folder for each patient: `ct.nii.gz`, a folder `dicom`,
    or the slices themselves. `mirror` is that of `ctlab.predict`. `report` hears a line for each case. When `seconds_left`
    (default: the session's clock) says that time is nearly up, no further case is begun.

    Raises CheckpointError when `model` is a path that holds none, FolderMissingError and CohortError when there is nothing to
    segment.
    """
    if not isinstance(model, Model):
        model = load_model(model)
    cases = _cases(cohort)
    target = Path(folder) if folder is not None else work_folder() / "predictions"
    target.mkdir(parents=True, exist_ok=True)
    run = _Run(model, target, mirror)
    done: list[Predicted] = []
    problems: list[Problem] = []
    left = seconds_left or session_seconds_left
    for index, case in enumerate(cases):
        if left() <= STOP_S:
            return Batch(target, tuple(done), tuple(problems), tuple(each.name for each in cases[index:]))
        try:
            found = run.case(case)
        except Exception as error:  # noqa: BLE001  (whatever one case meets, the others are still worth doing)
            problems.append(Problem(case.name, _sentence(case.name, error)))
            said = problems[-1].text
        else:
            done.append(found)
            said = say(N_("{case}: was segmented before") if found.before else N_("{case}: segmented"), case=case.name)
        report(f"{index + 1}/{len(cases)}  {said}")
    return Batch(target, tuple(done), tuple(problems))


def _sentence(case: str, error: Exception) -> str:
    if isinstance(error, CtlabError):
        return str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return say(
            N_("{case}: there is not enough memory for this CT. Ask for a session with more, or leave this case out."), case=case
        )
    if isinstance(error, OSError):
        return say(
            N_("{case}: reading or writing failed ({reason}). Nothing half done was kept; run the same line again."),
            case=case, reason=error.strerror or error,
        )  # fmt: skip
    return say(
        N_("{case}: something unexpected went wrong ({reason}). Nothing half done was kept; tell your administrator."),
        case=case, reason=f"{type(error).__name__}: {error}",
    )  # fmt: skip


class _Run:
    """One network and its parameters, over some cases."""

    def __init__(self, model: Model, folder: Path, mirror: str) -> None:
        self._model, self._folder, self._mirror = model, folder, mirror
        self._checksum = provenance.of_model(model)
        self._parameters: dict[str, str | int | float] = {
            "preset": model.preset.name, "spacing_mm": model.preset.spacing_mm, "window": model.preset.patch,
            "overlap": OVERLAP, "mirror": mirror,
        }  # fmt: skip

    def case(self, case: Case) -> Predicted:
        """Segments `case`, unless that is done. Raises whatever reading, predicting and writing raise."""
        story = self._folder / f"{case.name}{provenance.ENDING}"
        wanted = {
            "model": self._checksum, "parameters": self._parameters,
            "source": provenance.of_source(case.folder, leave_out=TRUTH),
        }  # fmt: skip
        found = provenance.read(story)
        if found is not None and provenance.still_true(found, self._folder, wanted):
            return self._predicted(found, before=True)
        series = _series(case)
        ct = _ct(case, series)
        labels = predict(self._model, ct, mirror=self._mirror)
        files = [labels.save(self._path(case.name))]
        remark = ""
        if series is not None:
            seg, remark = self._seg(case.name, labels, series)
            files += [seg] if seg else []
        made = provenance.Provenance(
            case=case.name, made=provenance.now(), ctlab=provenance.version(), model=self._checksum, parameters=self._parameters,
            labels={str(value): name for value, name in self._model.names.items()}, source=str(wanted["source"]),
            ct=provenance.of_ct(ct), files={path.name: provenance.of_file(path) for path in files}, remark=remark,
        )  # fmt: skip
        provenance.write(story, made)
        return self._predicted(made, before=False)

    def _seg(self, name: str, labels: Labels, series: Path) -> tuple[Path | None, str]:
        """The DICOM segmentation, or why there is none."""
        path = self._folder / f"{name}{SEG_ENDING}"
        maker = Maker(provenance.version(), self._model.preset.name, self._checksum)
        try:
            return write_seg(path, labels, series, maker), ""
        except SegmentationError as error:
            path.unlink(missing_ok=True)  # of an earlier run: it would speak of another label image
            return None, str(error)

    def _predicted(self, told: provenance.Provenance, *, before: bool) -> Predicted:
        seg = self._folder / f"{told.case}{SEG_ENDING}"
        return Predicted(told.case, self._path(told.case), seg if seg.name in told.files else None, told.remark, before)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.nii.gz"


def _cases(cohort: Cohort | Sequence[Case] | str | Path) -> tuple[Case, ...]:
    if isinstance(cohort, Cohort):
        return (*cohort.train, *cohort.val)
    if not isinstance(cohort, str | Path):
        return tuple(cohort)
    folder = Path(cohort)
    if not folder.is_dir():
        raise FolderMissingError(
            N_("{folder} isn't there. Check the name, and whether the cloud folder is mounted."), folder=folder
        )
    if (folder / PARTS[0]).is_dir():
        return _cases(Cohort(folder))
    cases = [open_case(each) for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    if not cases:
        raise CohortError(N_("{folder} holds no cases. Expected: a folder for each patient, with its CT in it."), folder=folder)
    return tuple(cases)


def _series(case: Case) -> Path | None:
    """Where the DICOM files of `case` lie; None when it came as a file of another kind."""
    if (case.folder / DICOM_FOLDER).is_dir():
        return case.folder / DICOM_FOLDER
    if not case.folder.is_dir():
        return None
    files = [path for path in sorted(case.folder.iterdir()) if path.is_file() and not path.name.startswith((".", *TRUTH))]
    if any(path.name.startswith(IMAGE) for path in files):
        return None
    return case.folder if any(_is_dicom(path) for path in files) else None


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _ct(case: Case, series: Path | None) -> Volume:
    """The CT of `case`, read now; also of a folder that holds nothing but slices."""
    return load(series, case.name) if series == case.folder else case.ct
