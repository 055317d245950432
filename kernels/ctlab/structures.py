"""Structures that a DICOM object names, and the label numbers that they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from ctlab.dicom import Place
from ctlab.errors import LabelError, UnreadableError
from ctlab.slices import refuse_deflated
from phrases import N_

Spellings = Mapping[int, Sequence[str]]
"""Label number → every name under which programs write that structure; capital and small letters count the same."""
_TAGS = ["Modality", "FrameOfReferenceUID", "ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence"]
MOST = 255
"""Structures of one object: what a label image can number."""


@dataclass(frozen=True)
class Reference:
    """What a label object says of itself and of the CT that it was drawn on; empty where it doesn't say."""

    kind: str
    """RTSTRUCT or SEG."""
    series: str
    """UID of the series, when it refers to exactly one."""
    frame: str
    """UID of the frame of reference."""


def read_reference(path: Path, name: str) -> Reference:
    """The head of the label object at `path`. Raises UnreadableError when it is none."""
    try:
        with path.open("rb") as stream:
            refuse_deflated(stream, path, name)
            head = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)
        frame, series = str(head.get("FrameOfReferenceUID") or ""), list(head.get("ReferencedSeriesSequence") or [])
        for reference in head.get("ReferencedFrameOfReferenceSequence") or []:
            frame = str(reference.get("FrameOfReferenceUID") or "")
            for study in reference.get("RTReferencedStudySequence") or []:
                series += study.get("RTReferencedSeriesSequence") or []
        kind, uids = str(head.get("Modality")), {str(each.SeriesInstanceUID) for each in series}
    except (OSError, UnreadableError):
        raise
    except Exception as error:
        raise no_labels(path, name) from error
    if kind not in ("RTSTRUCT", "SEG"):
        raise no_labels(path, name)
    return Reference(kind, uids.pop() if len(uids) == 1 else "", frame)


def no_labels(path: Path, name: str) -> UnreadableError:
    """The refusal of a DICOM file that holds no labels that can be read."""
    return UnreadableError(
        N_("{case}: {file} is no DICOM segmentation or structure set that can be read; it is damaged or of another kind. Export it "
           "again."),
        case=name,
        file=path.name,
    )  # fmt: skip


def numbers_of(found: Sequence[str], spellings: Spellings | None, case: str, file: str) -> list[int | None]:
    """The label number of each structure that a file names, None for one that isn't wanted.

    Without `spellings` they are numbered from 1 in the file's order. Raises LabelError when none is wanted, or there are too many.
    """
    if spellings is None:
        if len(found) > MOST:
            raise LabelError(
                N_("{case}: {file} has {count} structures, more than a label image can number. Say which ones you want."),
                case=case, file=file, count=len(found),
            )  # fmt: skip
        return list(range(1, len(found) + 1))
    wanted = {_plain(spelling): number for number, names in spellings.items() for spelling in names}
    numbers = [wanted.get(_plain(each)) for each in found]
    if not any(number is not None for number in numbers):
        raise LabelError(
            N_('{case}: {file} names {found}, of which labels.json knows none. Add them there: {{"1": {{"en": "tumour", "dicom": '
               '["GTV-1"]}}}}.'),
            case=case, file=file, found=", ".join(found[:8]) or "-",
        )  # fmt: skip
    return numbers


def check_same_ct(on: Place, reference: Reference, case: str, file: str) -> None:
    """Raises LabelError when a label object says that it was drawn in other coordinates than those of the CT."""
    other_frame = on.frame and reference.frame and on.frame != reference.frame
    other_series = on.series and reference.series and on.series != reference.series
    if other_frame or (other_series and not reference.frame):
        raise LabelError(
            N_("{case}: {file} was drawn on another CT series than the one in the case's folder. Put the two that belong together "
               "into one folder."),
            case=case, file=file,
        )  # fmt: skip


def spellings_of(table: Mapping[str, Any]) -> dict[int, tuple[str, ...]]:
    """Every spelling in a `labels.json`: the names in all languages, and those that its `dicom` lists."""
    found: dict[int, tuple[str, ...]] = {}
    for value, name in table.items():
        words = [name] if isinstance(name, str) else [word for each in name.values() for word in _listed(each)]
        found[int(value)] = tuple(word for word in words if isinstance(word, str))
    return found


def _listed(word: object) -> Sequence[object]:
    return word if isinstance(word, list) else [word]


def _plain(name: str) -> str:
    return name.strip().casefold()
