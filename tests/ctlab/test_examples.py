"""Slices of validation cases with prediction and truth: the same each time, small, and kept out of saved notebooks on request."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from ctlab import training
from ctlab.background import Run
from ctlab.board import Board
from ctlab.cohort import Cohort
from ctlab.examples import MOST, SIDE, Examples, Gallery, most_labelled
from ctlab.phantoms import make_cohort
from ctlab.resample import Prepared
from ctlab.training import train
from PIL import Image

from tests.ctlab.test_resume import small


def case(name: str = "a", shape: tuple[int, int, int] = (20, 10, 6)) -> Prepared:
    """Label 1 fills the patient's right front quarter of slice 4."""
    labels = np.zeros(shape, np.uint8)
    labels[shape[0] // 2 :, shape[1] // 2 :, 4] = 1
    return Prepared(name, torch.full(shape, -1000, dtype=torch.int16), torch.from_numpy(labels))


def pixels(examples: Examples) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(examples.png)))


def picture(seen: Prepared, found: np.ndarray) -> np.ndarray:
    gallery = Gallery()
    gallery.look(seen, found)
    return pixels(gallery.examples(1))


def test_areas_are_the_prediction_and_outlines_the_truth():
    shown = picture(case(), np.zeros((20, 10, 6), np.uint8))
    assert shown.shape == (SIDE // 2, SIDE, 3)
    coloured = (shown != shown[..., :1]).any(-1)
    assert coloured[0, 0]
    assert not coloured[: SIDE // 4, : SIDE // 2][2:-2, 2:-2].any()

    filled = picture(case(), case().labels.numpy())
    assert (filled != filled[..., :1]).any(-1)[: SIDE // 4, : SIDE // 2].all()
    assert not (filled != filled[..., :1]).any(-1)[SIDE // 4 :].any()


def test_the_slice_is_the_one_with_most_of_the_truth_whatever_is_predicted():
    everywhere = np.ones((20, 10, 6), np.uint8)
    assert most_labelled(case().labels.numpy()) == 4
    assert most_labelled(np.zeros((3, 3, 7), np.uint8)) == 3
    assert not np.array_equal(picture(case(), everywhere), picture(case(), np.zeros_like(everywhere)))


def test_of_many_cases_the_first_are_shown_side_by_side():
    gallery = Gallery()
    for name in "abcde":
        gallery.look(case(name, (10, 20, 6)), np.zeros((10, 20, 6), np.uint8))
    examples = gallery.examples(7)
    assert (examples.epoch, examples.cases) == (7, ("a", "b", "c"))
    assert pixels(examples).shape == (SIDE, MOST * SIDE // 2 + (MOST - 1) * 4, 3)


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 700, 5), (700, 3, 5), (512, 512, 5)])
def test_any_shape_can_be_shown_and_is_small(shape):
    shown = picture(case("a", shape), np.zeros(shape, np.uint8))
    assert max(shown.shape) == SIDE


def test_a_validation_without_cases_has_an_empty_picture():
    assert pixels(Gallery().examples(1)).shape == (1, 1, 3)


def board(examples: Examples) -> Board:
    run: Run[int] = Run("this", lambda _: 1)
    run.examples = examples
    assert run.wait(60)
    return Board(run)


def test_the_board_shows_them_and_a_saved_notebook_keeps_them_as_it_keeps_the_viewers(monkeypatch):
    gallery = Gallery()
    gallery.look(case("<b>"), np.zeros((20, 10, 6), np.uint8))
    shown = board(gallery.examples(3))
    *_, slices, caption = shown.widget.children
    assert bytes(slices.value) == shown._repr_mimebundle_()["image/png"]
    assert "A slice each of &lt;b&gt;, cases to validate with, after epoch 3" in caption.value

    monkeypatch.setenv("CTLAB_STILL_PICTURES", "none")
    bundle = shown._repr_mimebundle_()
    assert "image/png" not in bundle
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_each_validation_of_a_training_shows_the_same_slices_anew(tmp_path: Path, monkeypatch):
    small(monkeypatch.setattr)
    make_cohort(tmp_path / "cohort", 2, 2, 5, (32, 32, 24))
    found: list[Examples] = []

    def report(_: object) -> None:
        run = training.RUNS.find(tmp_path / "run")
        assert run is not None
        assert run.examples is not None
        found.append(run.examples)

    cohort = Cohort(tmp_path / "cohort")
    train(cohort, folder=tmp_path / "run", report=report, epochs=3)
    assert found[-1].cases == tuple(each.name for each in cohort.val)
    assert found[-1].epoch == 3
    assert len(found[-1].png) < 100_000
