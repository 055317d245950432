"""The training's course as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ctlab import plots
from ctlab.history import Epoch
from ctlab.inference import Model
from ctlab.network import find_preset
from ctlab.plots import curves
from ctlab.training import TrainingResult
from matplotlib.text import Text
from PIL import Image
from torch import nn


def result(*, names: dict[int, str]) -> TrainingResult:
    history = tuple(Epoch(number, 2.0 / number, {1: 0.1 * number, 2: float("nan")}, 3.0, 0.02 * number) for number in (1, 2, 3))
    model = Model(nn.Identity(), find_preset("vnet"), names)
    return TrainingResult(model, history, history[1], Path("best.pt"), stopped_early=False)


def words(chart: plots.Chart) -> set[str]:
    return {text.get_text() for text in chart.findobj(Text)}


def test_loss_dice_and_waiting_are_drawn_by_epoch():
    left, right, waits = curves(result(names={1: "lung", 2: "inflammation"})).axes
    assert left.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 1.0], [3, pytest.approx(2 / 3)]]
    lung = next(line for line in right.lines if line.get_label() == "lung")
    assert lung.get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert right.get_ylim() == (0, 1)
    assert waits.lines[0].get_ydata().tolist() == pytest.approx([2, 4, 6])


def test_the_kept_epoch_is_marked():
    right = curves(result(names={})).axes[1]
    assert next(line for line in right.lines if line.get_label() == "kept").get_xdata() == [2, 2]


def test_it_shows_itself_as_png():
    assert Image.open(io.BytesIO(curves(result(names={}))._repr_png_())).size == (1200, 340)


@pytest.mark.parametrize("font", ["DejaVu Sans", None])
def test_japanese_is_written_only_with_a_font_for_it(monkeypatch, font):
    monkeypatch.setenv("LANGUAGE", "ja")
    monkeypatch.setattr(plots, "_japanese_font", lambda: font)
    found = words(curves(result(names={1: "肺", 2: "炎症"})))
    assert ("肺" in found) == bool(font)
    assert ("label 1" in found) == (not font)
    assert ("epoch" in found) == (not font)
