"""Files that are not open to somebody: a sentence about the case, and the rest of the cohort goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import ctlab
import pytest
from ctlab.cohort import Cohort, open_case
from ctlab.errors import StorageError, UnreadableError
from ctlab.packed import ENDING
from ctlab.packing import pack
from ctlab.readers import load, series
from ctlab.storage import reading

from tests.ctlab.samples import series as slices
from tests.ctlab.samples import write_case, write_series
from tests.somebody import another_person


@pytest.fixture
def folder() -> Iterator[Path]:
    """A cohort that everybody may enter, where pytest's own folders may be entered by their maker alone."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        lungs = Path(name) / "lungs"
        for case in ("a", "b"):
            write_case(lungs / "train" / case)
        write_series(lungs / "train" / "c" / "dicom", slices())
        yield lungs


def test_a_case_that_is_not_open_to_somebody_is_left_out_with_the_reason(folder):
    (folder / "train" / "b" / "ct.nii.gz").chmod(0)
    cohort = Cohort(folder)
    with another_person():
        assert [case.name for case, _ct, _labels in cohort.loaded(cohort.train)] == ["a"]

    assert cohort.problems[0].text == "b: you may not read this case's files. Ask the data owner whether they are open to you."


def test_nor_are_slices_or_packed_files(folder):
    next((folder / "train" / "c" / "dicom").iterdir()).chmod(0)
    pack(Cohort(folder), folder.parent / "packed", show=lambda _: None)
    packed = folder.parent / "packed" / "train" / f"a{ENDING}"
    packed.chmod(0)
    with another_person():
        for opens in (lambda: load(folder / "train" / "c" / "dicom"), lambda: series(folder / "train" / "c" / "dicom")):
            with pytest.raises(UnreadableError, match=r"^dicom: you may not read"):
                opens()
        with pytest.raises(UnreadableError, match=r"^a: you may not read"):
            open_case(packed).load()


def rates() -> str:
    return "Storage: 1.2 GB read"


@pytest.mark.parametrize(
    ("named", "said"), [("", ""), ("no_such_module:storage", ""), (f"{__name__}:rates", "Storage: 1.2 GB read")]
)
def test_how_the_storage_does_is_told_where_somebody_knows(named, said, monkeypatch):
    monkeypatch.setenv("CTLAB_STORAGE", named)
    assert ctlab.storage_status() == said


def test_a_storage_that_does_not_answer_is_said():
    words = r"^a: the storage doesn't answer \(Input/output error\)\. Nothing was changed"
    with pytest.raises(StorageError, match=words), reading("a"):
        raise OSError(5, "Input/output error")
