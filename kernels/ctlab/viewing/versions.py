"""Corrected labels as numbered versions in a folder of their own: nothing that is there is ever replaced.

`FOLDER/CASE-003.nii.gz`, and beside it `CASE-003.json`: who saved it, when, and from which labels.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ctlab.errors import CtlabError
from ctlab.volume import Labels
from phrases import N_

PERSON = "CTLAB_PERSON"
"""Environment variable that names who is at work; without it the account's name."""

_NUMBER = re.compile(r"-(\d{3,})\.json")


class SaveError(CtlabError):
    """Something could not be written."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one saved version."""

    number: int
    who: str
    when: str
    """UTC, ISO 8601, to the second."""
    based_on: str
    """What the labels were called that it was made from."""
    corrections: int
    names: Mapping[str, str]
    """What each number stands for."""
    file: str
    """Name of the NIfTI file beside this."""


def person() -> str:
    """Who is at work."""
    return os.environ.get(PERSON) or getpass.getuser()


def now() -> str:
    """The time, UTC, as it is written into files."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def safe_name(case: str) -> str:
    """`case` as the name of a file: letters of any script, digits, dot, dash and underscore; others become an underscore."""
    return re.sub(r"[^\w.-]", "_", case).lstrip(".")[:80] or "case"


def save_version(folder: Path, labels: Labels, *, based_on: str, corrections: int) -> tuple[Version, Path]:
    """Writes `labels` as the next version of its case in `folder`: what is known of it, and the path of the NIfTI file.

    Raises SaveError when it can't be written; what was there before is as it was.
    """
    stem = safe_name(labels.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max(
            (int(found[1]) for path in folder.glob(f"{stem}-*.json") if (found := _NUMBER.search(path.name))), default=0
        )
        while True:
            record, image = folder / f"{stem}-{number:03d}.json", folder / f"{stem}-{number:03d}.nii.gz"
            # Making the record takes the number, whoever else saves at this moment; an image without one is not ours to replace.
            if not image.exists() and _taken(record):
                break
            number += 1
        names = {str(value): name for value, name in labels.names.items()}
        version = Version(
            number=number, who=person(), when=now(), based_on=based_on, corrections=corrections, names=names, file=image.name
        )
        try:
            labels.save(image)
            record.write_bytes(msgspec.json.format(msgspec.json.encode(version), indent=1) + b"\n")
        except OSError:
            record.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SaveError(
            N_("The corrected labels could not be saved in {folder}. They are still in this viewer: try again, or elsewhere."),
            folder=folder,
        ) from error
    return version, image


def _taken(record: Path) -> bool:
    try:
        record.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def versions(folder: Path, case: str) -> list[Version]:
    """The saved versions of `case` in `folder`, oldest first; a file that is none is left out."""
    found = []
    for path in sorted(folder.glob(f"{safe_name(case)}-*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Version))
        except (OSError, msgspec.MsgspecError):
            continue
    return sorted(found, key=lambda version: version.number)
