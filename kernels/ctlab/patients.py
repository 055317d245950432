"""Whose case is it: two scans of one person must never lie on both sides of a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from ctlab.cohort import DICOM_FOLDER, Case
from ctlab.errors import CohortError
from phrases import N_

PATIENTS_FILE = "patients.json"
"""Beside `train`: `{"case-001": "A", "case-002": "A"}`, a case to any word that stands for its patient."""


def patients_of(folder: Path, cases: Sequence[Case]) -> dict[str, str]:
    """Case name to patient, for all `cases` of the cohort in `folder`.

    PATIENTS_FILE says it; where it doesn't name a case, the DICOM files' Patient ID does, else the case is a patient's only one.
    Raises CohortError when the file can't be read.
    """
    told = _told(folder / PATIENTS_FILE)
    return {case.name: told.get(case.name) or _patient_id(case.folder / DICOM_FOLDER) or f"case {case.name}" for case in cases}


def _told(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        table = {case: _word(patient) for case, patient in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CohortError(
            N_('{path} isn\'t a table of cases and patients like {{"case-001": "A"}}. Correct it, or remove it.'), path=path
        ) from error
    return table


def _word(patient: object) -> str:
    if isinstance(patient, str) and patient:
        return patient
    raise ValueError(patient)


def _patient_id(series: Path) -> str | None:
    """The Patient ID of the first file in `series` that has one."""
    for path in sorted(series.iterdir()) if series.is_dir() else ():
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]).get("PatientID")
        except (InvalidDicomError, OSError, EOFError, ValueError):
            continue
        if found:
            return f"id {found}"
    return None
