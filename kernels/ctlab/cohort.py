"""A cohort: a folder of cases with their label images, divided into training and validation.

Layout: `COHORT/train/CASE/` and `COHORT/val/CASE/`, each case with a CT, `ct.nii.gz` or a folder `dicom`, and its labels,
`label.nii.gz` or `label.dcm` (DICOM segmentation, RT structure set); `.nii`, `.nrrd` and `.mha` will do too. Or
`CASE.zarr.zip`, which `ctlab.pack` makes.
`labels.json`, beside `train` or in a case, names the label values: `{"1": "lung"}` or `{"1": {"en": "lung", "ja": "肺"}}`.
The structures of a `label.dcm` are found by these names and by those that `"dicom"` lists:
`{"1": {"en": "tumour", "dicom": ["GTV-1"]}}`; where they overlap, the higher number wins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctlab.dicom import read_place, read_series
from ctlab.errors import CohortError, CtlabError, FolderMissingError, LabelError
from ctlab.packed import ENDING, PackedFile
from ctlab.readers import DICOM_ENDING, IMAGE_ENDINGS, load, load_labels, place
from ctlab.storage import reading
from ctlab.structures import read_reference, spellings_of
from ctlab.text import say
from ctlab.volume import Labels, Volume
from phrases import N_, process_language

if TYPE_CHECKING:
    from ctlab.report import Report

PARTS = ("train", "val")
_CT, _LABEL = "ct", "label"
CT_FILE, DICOM_FOLDER, LABEL_FILE, NAMES_FILE = f"{_CT}.nii.gz", "dicom", f"{_LABEL}.nii.gz", "labels.json"


@dataclass(frozen=True)
class Case:
    """One patient's folder; nothing is read before it is asked for, and nothing is kept."""

    folder: Path
    names: Mapping[int, str]
    spellings: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Names under which a DICOM object may have the structures."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def ct(self) -> Volume:
        """The CT, read now. Raises a CtlabError when it can't be used."""
        with reading(self.name):
            path = self._ct_path()
            return read_series(path, self.name, prefer=self._drawn_on()) if path.is_dir() else load(path, self.name)

    @property
    def labels(self) -> Labels:
        """The label image, read now. Raises a CtlabError when it can't be used."""
        with reading(self.name):
            path = self._label_path()
            if path.suffix != DICOM_ENDING:
                return load_labels(path, self.names, self.name)
            ct = self._ct_path()
            on = read_place(ct, self.name, prefer=self._drawn_on()) if ct.is_dir() else place(ct, self.name)
            return load_labels(path, self.names, self.name, on=on, spellings=self.spellings)

    def _ct_path(self) -> Path:
        found = self._there(DICOM_FOLDER, *(f"{_CT}{ending}" for ending in IMAGE_ENDINGS))
        return found or self.folder / CT_FILE

    def _label_path(self) -> Path:
        found = self._there(*(f"{_LABEL}{ending}" for ending in (*IMAGE_ENDINGS, DICOM_ENDING)))
        if found is None:
            raise LabelError(N_("{case}: there is no label image ({file})."), case=self.name, file=LABEL_FILE)
        return found

    def _there(self, *names: str) -> Path | None:
        """The one of `names` that is there. Raises CohortError when there are several: nobody could say which one counts."""
        found = [self.folder / name for name in names if (self.folder / name).exists()]
        if len(found) > 1:
            raise CohortError(
                N_("{case}: {one} and {other} are both there. Keep one of them."),
                case=self.name, one=found[0].name, other=found[1].name,
            )  # fmt: skip
        return found[0] if found else None

    def _drawn_on(self) -> str:
        """UID of the series that the case's DICOM labels were drawn on, if they are such and say so."""
        path = self.folder / f"{_LABEL}{DICOM_ENDING}"
        return read_reference(path, self.name).series if path.is_file() else ""

    def load(self) -> tuple[Volume, Labels]:
        """CT and label image, checked to lie on the same grid. Raises a CtlabError when they can't be used."""
        ct, labels = self.ct, self.labels
        labels.check_fits(ct)
        return ct, labels

    def files(self) -> tuple[Path, Path]:
        """The file of the CT, or the folder of its slices, and that of the label image. Raises a CtlabError when one is missing."""
        return self._ct_path(), self._label_path()


@dataclass(frozen=True)
class PackedCase(Case):
    """One patient's packed file, which `folder` names; opened when something of it is asked for, and kept open then."""

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.folder.name.removesuffix(ENDING)

    @cached_property
    def packed(self) -> PackedFile:
        """The open file, for patches. Raises a CtlabError when it can't be used."""
        return PackedFile(self.folder, self.name)

    @property
    def ct(self) -> Volume:
        """The CT, read now. Raises a CtlabError when it can't be used."""
        return self.packed.image()

    @property
    def labels(self) -> Labels:
        """The label image, read now. Raises a CtlabError when it can't be used."""
        return self.packed.labels(self._names())

    def load(self) -> tuple[Volume, Labels]:
        """CT and label image, which lie on the same grid. Raises a CtlabError when they can't be used."""
        return self.packed.load(self._names())

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file for itself."""
        return PackedCase, (self.folder, self.names, self.spellings)

    def files(self) -> tuple[Path, Path]:
        """The packed file, for both."""
        return self.folder, self.folder

    def _names(self) -> Mapping[int, str]:
        return names_of(self.packed.header.label_names) or self.names


@dataclass(frozen=True)
class Problem:
    """Why a case is left out."""

    case: str
    text: str


class Cohort:
    """The cases of a folder. A case that can't be used is reported in `problems`; the others go on."""

    def __init__(self, folder: str | Path) -> None:
        """Looks only at names. Raises FolderMissingError or CohortError when there is nothing to train on."""
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FolderMissingError(
                N_("{folder} isn't there. Check the name, and whether the cloud folder is mounted."), folder=self.folder
            )
        self.table = read_table(self.folder / NAMES_FILE)
        self.names = names_of(self.table)
        self._problems: dict[str, Problem] = {}
        self.train, self.val = (tuple(self._cases(part)) for part in PARTS)
        for part in (self.train, self.val):
            names = [case.name for case in part]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise CohortError(
                    N_("{names}: there as a folder and as a packed file. Keep one of the two in {folder}."),
                    names=", ".join(twice), folder=self.folder,
                )  # fmt: skip
        if not self.train:
            raise CohortError(
                N_("{folder} holds no training cases. Expected: {folder}/train/CASE/{ct} and {label}."),
                folder=self.folder, ct=CT_FILE, label=LABEL_FILE,
            )  # fmt: skip
        both = {case.name for case in self.train} & {case.name for case in self.val}
        if both:
            raise CohortError(
                N_("{names}: in training and in validation. A patient may be in one of them only, else the scores are too good."),
                names=", ".join(sorted(both)),
            )

    def __repr__(self) -> str:
        lines = [
            say(
                N_("{name}: {train} training and {val} validation cases; labels: {labels}"),
                name=self.folder.name, train=len(self.train), val=len(self.val),
                labels=", ".join(f"{value} {name}" for value, name in self.names.items()) or "-",
            ),
            *(say(N_("left out: {text}"), text=problem.text) for problem in self.problems),
        ]  # fmt: skip
        return "\n".join(lines)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The cases that turned out to be unusable, in the order they were met."""
        return tuple(self._problems.values())

    def loaded(self, part: tuple[Case, ...]) -> Iterator[tuple[Case, Volume, Labels]]:
        """Each usable case of `part`, read one after the other; the others go to `problems`."""
        for case in part:
            try:
                ct, labels = case.load()
            except CtlabError as error:
                self.report_problem(case, error)
            else:
                self._problems.pop(case.name, None)
                yield case, ct, labels

    def report(self) -> Report:
        """Reads every case and says what is in it: counts, spacing, HU, how much of each label, a picture of each.

        A notebook shows it as a page. It takes as long as reading the cohort.
        """
        from ctlab.report import report  # which needs this module's classes, and matplotlib

        return report(self)

    def report_problem(self, case: Case, error: CtlabError) -> None:
        """Remembers why `case` can't be used."""
        self._problems[case.name] = Problem(case.name, str(error))

    def _cases(self, part: str) -> Iterator[Case]:
        folder = self.folder / part
        for each in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (each.is_dir() or each.name.endswith(ENDING)) and not each.name.startswith("."):
                try:
                    yield open_case(each, self.table)
                except CtlabError as error:
                    self._problems[each.name] = Problem(each.name, str(error))


def open_case(folder: str | Path, table: Mapping[str, Any] | None = None) -> Case:
    """The case in `folder`, or in that packed file.

    What its label values mean says its own `labels.json` if it has one, else `table`, which is laid out like that.
    """
    folder = Path(folder)
    if folder.name.endswith(ENDING) and folder.is_file():
        return PackedCase(folder, names_of(table or {}))
    if not folder.is_dir():
        raise FolderMissingError(
            N_("{folder} isn't there. Check the name, and whether the cloud folder is mounted."), folder=folder
        )
    table = read_table(folder / NAMES_FILE) or table or {}
    return Case(folder, names_of(table), spellings_of(table))


def read_table(path: Path) -> dict[str, Any]:
    """The table in the file at `path`, in all its languages; empty when there is no such file. Raises LabelError otherwise."""
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text("utf-8"))
        names_of(table)
    except (OSError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise _no_table(path) from error
    return dict(table)


def names_of(table: Mapping[str, Any]) -> dict[int, str]:
    """The names of a table in the language of the process. Raises ValueError or KeyError when it is none."""
    return {int(value): _in_language(name) for value, name in table.items()}


def _no_table(path: Path) -> LabelError:
    return LabelError(N_('{path} isn\'t a table of label names like {{"1": "lung"}}. Correct it, or remove it.'), path=path)


def _in_language(name: object) -> str:
    if isinstance(name, str):
        return name
    if isinstance(name, dict):
        chosen = name.get(process_language()) or name["en"]
        if isinstance(chosen, str):
            return chosen
    raise ValueError(name)
