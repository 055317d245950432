"""The tutorials: one program in two languages, which runs from top to bottom and does what its text says."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import ctlab
import nbformat
import numpy as np
import pytest
from ctlab import Cohort, dice, load_labels, open_case
from ctlab.batch import Batch, Predicted
from ctlab.cohort import Problem
from ctlab.phantoms import Marking, make_cohort
from nbclient import NotebookClient

RunAll = Callable[[str, str, Path], str]
ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))
LONGEST_S = 600
"""What a cell may take here, where other tests may run beside it; a session by itself is to end in 300 s (docs/benchmarks.md)."""

MINE = (
    "my-cohort/train/case-001/ct.nii.gz",
    "my-cohort-packed/labels.json",
    "long-run/best.pt",
    "lungs/report.csv",
    "link/large",
    "IMG0040.dcm",
)
"""What a person may well call files of their own in the folder for results; no tutorial touches one."""

pytestmark = pytest.mark.timeout(1500)


def _read(language: str, name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "notebooks" / language / name, as_version=4)


def _code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_both_languages_have_the_same_tutorials():
    assert NAMES
    assert sorted(path.name for path in (ROOT / "notebooks" / "ja").glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_run_the_same_code_and_differ_in_every_text(name):
    english, japanese = _read("en", name), _read("ja", name)
    assert _code(english) == _code(japanese)
    assert [cell.cell_type for cell in english.cells] == [cell.cell_type for cell in japanese.cells]
    texts = [(a.source, b.source) for a, b in zip(english.cells, japanese.cells, strict=True) if a.cell_type == "markdown"]
    assert all(a != b for a, b in texts)
    assert all(any("ぁ" <= letter <= "ヿ" for letter in b) for _, b in texts)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_is_about_ten_short_cells_for_the_ct_kernel(language, name):
    notebook = _read(language, name)
    assert notebook.metadata.kernelspec.name == "ct"
    code = _code(notebook)
    assert len(code) <= 12
    assert all(len(cell.splitlines()) <= 6 for cell in code)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Data sets as the testbed's cloud has them."""
    folder = tmp_path_factory.mktemp("datasets")
    make_cohort(folder / "phantom-chest", 8, 3, 1, marking=Marking.LUNGS)
    (folder / "real-ct").symlink_to(ROOT / "testbed" / "data")
    return folder


@pytest.fixture
def work(tmp_path) -> Iterator[Path]:
    """A folder for results in which files of the person's own lie, and must lie afterwards as they were."""
    for name in MINE:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    yield tmp_path
    assert {name: (tmp_path / name).read_text() for name in MINE if (tmp_path / name).is_file()} == {name: name for name in MINE}


@pytest.fixture(scope="module")
def run_all(tmp_path_factory, data) -> Iterator[RunAll]:
    """`run_all(name, language, work)`: what the notebook's code cells printed and showed, with the project's CT kernel alone."""
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "kernels").mkdir()
    (folder / "kernels" / "ct").symlink_to(ROOT / "kernels" / "ct")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "kernels"))))
        patch.setenv("CTLAB_DATA", str(data))

        def run(name: str, language: str, work: Path) -> str:
            patch.setenv("CTLAB_WORK", str(work))
            patch.setenv("LANGUAGE", language)
            notebook = _read(language, name)
            NotebookClient(notebook, timeout=LONGEST_S, kernel_name="ct").execute()
            return json.dumps([cell.get("outputs", []) for cell in notebook.cells], ensure_ascii=False)

        yield run


ENGLISH, JAPANESE = (pytest.mark.parametrize("language", [each]) for each in ("en", "ja"))
"""Each runs in one language here, in the other in the browser (tests/e2e/test_journey.py), as do 01 and what needs its network."""


@pytest.mark.slow
@ENGLISH
def test_the_welcome_says_where_things_are_and_shows_a_ct(run_all, data, work, language):
    outputs = run_all("00_welcome.ipynb", language, work)
    assert str(data) in outputs
    assert str(work) in outputs
    assert "MB/s" in outputs
    assert {"en": "CPU, which is slower", "ja": "CPUで計算します"}[language] in outputs or "GPU" in outputs
    assert "image/png" in outputs


@pytest.mark.slow
@ENGLISH
def test_a_correction_becomes_a_version_of_its_own(run_all, data, work, language):
    run_all("02_look_and_correct.ipynb", language, work)
    truth = open_case(data / "real-ct" / "chest").labels
    (saved,) = (work / "labels").glob("*.nii.gz")
    corrected = load_labels(saved)
    assert dice(truth, corrected)[1] > 0.99
    assert (corrected.voxels[:, :, 60:66] == 1).any()
    assert [place["note"] for place in json.loads((work / "bookmarks" / "chest.json").read_text())["places"]] == ["tutorial 02"]


@pytest.mark.slow
@ENGLISH
def test_what_can_not_be_used_is_named_mended_and_packed(run_all, work, language):
    outputs = run_all("03_own_dicom.ipynb", language, work)
    said = {
        "en": (
            "0 training and 1 validation cases can be used, 2 can't.",
            "1 training and 1 validation cases can be used, 0 can't.",
        ),
        "ja": ("学習用 0、検証用 1。使用できない症例：2。", "学習用 1、検証用 1。使用できない症例：0。"),
    }
    assert all(sentence in outputs for sentence in said[language])
    assert not (work / "tutorial-03" / "IMG0040.dcm").exists(), "the lost slice is back in its place"
    assert all(refused in outputs for refused in ("IMG0040.dcm", "155 × 111 × 127"))
    packed = Cohort(work / "tutorial-03-packed")
    assert [case.name for case in (*packed.train, *packed.val)] == ["case-001", "case-002"]
    assert packed.train[0].labels.values() == (1, 2, 4)
    assert packed.val[0].labels.values() == (5,)


def test_a_case_that_could_not_be_segmented_gives_its_place_in_the_report_to_no_other(data, tmp_path):
    cells = {cell.id: cell.source for cell in _read("en", "05_lungs_report.ipynb").cells}
    refused, *others = Cohort(data / "phantom-chest").val
    paths = {case.name: case.labels.save(tmp_path / f"{case.name}.nii.gz") for case in others}
    done = tuple(Predicted(name, path, None, "", before=False) for name, path in paths.items())
    known = {
        "np": np, "ctlab": ctlab, "work": tmp_path, "model": SimpleNamespace(names={1: "lung"}), "cases": [refused, *others],
        "batch": Batch(tmp_path, done, (Problem(refused.name, "can't be used"),)),
    }  # fmt: skip
    (tmp_path / "tutorial-05").mkdir()
    for cell in ("code-07", "code-09", "code-10"):
        exec(cells[cell], known)  # noqa: S102  (what the notebook runs)

    found = {each.case: each.both.lung_ml for each in known["table"].reports}
    assert found == {case.name: ctlab.lung_report(case.ct, case.labels).both.lung_ml for case in others}
    assert known["worst"] in found


@pytest.mark.slow
@JAPANESE
def test_a_long_run_is_stopped_by_hand_and_by_time_and_goes_on(run_all, work, language):
    outputs = run_all("04_long_runs.ipynb", language, work)
    assert outputs.count("True ") >= 2
    assert "False 2" in outputs
    assert not list((work / "tutorial-04").glob("state-*.pt")), "a finished training leaves no state"


@pytest.mark.slow
@JAPANESE
def test_the_link_is_measured_and_nothing_stays(run_all, work, language):
    outputs = run_all("06_link.ipynb", language, work)
    assert re.search(r"cloud: [\d.]+ / [\d.]+ / [\d.]+ ms", outputs)
    assert {path.name for path in work.iterdir()} == {Path(name).parts[0] for name in MINE}
