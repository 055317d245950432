"""The tutorials: one program in two languages, which runs from top to bottom and does what its text says."""

import json
import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from ctlab import Cohort, dice, load_labels, load_model
from ctlab.phantoms import Marking, make_cohort
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))
LONGEST_S = 600
"""What a cell may take here, where other tests may run beside it; a session by itself is to end in 300 s (docs/benchmarks.md)."""


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


@pytest.fixture
def ct_kernel(monkeypatch, tmp_path):
    """The project's CT kernel, and nothing of the machine's own Jupyter."""
    shared = tmp_path / "jupyter"
    (shared / "kernels").mkdir(parents=True)
    (shared / "kernels" / "ct").symlink_to(ROOT / "kernels" / "ct")
    monkeypatch.setenv("JUPYTER_PATH", str(shared))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "kernels"))))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("ct_kernel")
def test_run_all_trains_scores_shows_and_keeps(monkeypatch, tmp_path):
    data, work = tmp_path / "datasets", tmp_path / "work"
    make_cohort(data / "phantom-chest", 8, 3, 1, marking=Marking.LUNGS)
    (data / "real-ct").symlink_to(ROOT / "testbed" / "data")
    monkeypatch.setenv("CTLAB_DATA", str(data))
    monkeypatch.setenv("CTLAB_WORK", str(work))
    monkeypatch.setenv("LANGUAGE", "ja")
    notebook = _read("ja", "01_vnet_tutorial.ipynb")

    NotebookClient(notebook, timeout=LONGEST_S, kernel_name="ct").execute()

    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells], ensure_ascii=False)
    assert "肺" in outputs
    assert "image/png" in outputs
    model = load_model(work / "training" / "best.pt")
    for case in Cohort(data / "phantom-chest").val:
        ct, truth = case.load()
        prediction = load_labels(work / "training" / "predictions" / f"{case.name}.nii.gz", model.names)
        prediction.check_fits(ct)
        assert np.allclose(prediction.geometry.affine, ct.geometry.affine)
        assert dice(truth, prediction)[1] >= 0.9
