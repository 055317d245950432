"""A training on three tiny phantoms with the real network: it learns, repeats itself, keeps the best, and stops in time."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from ctlab import network
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort
from ctlab.errors import CheckpointError, CohortError, CtlabError
from ctlab.inference import Model, load_model, predict
from ctlab.phantoms import make_cohort
from ctlab.trainer import Trainer
from ctlab.training import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 2, 1, 5, (32, 32, 24))
    return Cohort(folder)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """The V-Net itself on a coarse grid: a step takes a fraction of a second."""
    small = replace(network.PRESETS["vnet"], spacing_mm=14.0, patch=16, steps=2, epochs=2)
    monkeypatch.setitem(network.PRESETS, "vnet", small)


def _train(cohort, folder, **given):
    heard = []
    return train(cohort, folder=folder, report=heard.append, **given), heard


def test_the_loss_falls_and_every_epoch_is_reported(cohort, tmp_path):
    result, heard = _train(cohort, tmp_path, epochs=4)
    assert tuple(heard) == result.history
    assert [epoch.number for epoch in heard] == [1, 2, 3, 4]
    assert heard[-1].loss < heard[0].loss
    assert set(heard[0].dice) == {1, 2}
    assert not result.stopped_early


def test_two_trainings_with_one_seed_are_equal_and_with_another_differ(cohort, tmp_path):
    one, two, other = (_train(cohort, tmp_path / name, seed=seed)[0] for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert [epoch.loss for epoch in one.history] == [epoch.loss for epoch in two.history]
    weights, same = one.model.network.state_dict(), two.model.network.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert [epoch.loss for epoch in other.history] != [epoch.loss for epoch in one.history]


def test_the_checkpoint_predicts_what_the_result_predicts_on_the_grid_of_the_ct(cohort, tmp_path):
    result, _ = _train(cohort, tmp_path)
    ct = cohort.val[0].ct
    from_memory, from_file = predict(result.model, ct), predict(result.checkpoint, ct)
    assert np.array_equal(from_memory.voxels, from_file.voxels)
    from_file.check_fits(ct)
    assert from_file.names == result.model.names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "events.out.tfevents.ctlab", "history.json"]


def test_training_does_not_begin_an_epoch_that_it_could_not_end(cohort, tmp_path, capsys):
    # Asked for the forecast, before the second step of the first epoch, and before the second epoch.
    left = iter([1e6, 1e6, STOP_S + 0.001])
    result, heard = _train(cohort, tmp_path, epochs=5, seconds_left=lambda: next(left, STOP_S))
    assert len(heard) == 1
    assert result.stopped_early
    assert load_model(result.checkpoint).names == result.model.names
    assert "time is nearly up" in capsys.readouterr().out


def test_in_its_first_epoch_training_keeps_what_it_has_before_it_validates(cohort, tmp_path, monkeypatch, capsys):
    saved, before = threading.Event(), []
    save, validate = Model.save, Trainer.validate
    monkeypatch.setattr(Model, "save", lambda each, path: (save(each, path), saved.set()))
    monkeypatch.setattr(Trainer, "validate", lambda each: before.append(saved.wait(60)) or validate(each))
    result, heard = _train(cohort, tmp_path, epochs=5, seconds_left=lambda: STOP_S)
    assert (before, len(heard)) == ([True], 1)
    assert result.stopped_early
    assert load_model(result.checkpoint).names == result.model.names
    assert f"saved in {result.checkpoint}" in capsys.readouterr().out


def test_an_epoch_that_is_broken_off_leaves_the_best_one_before_it(cohort, tmp_path):
    # Asked for the forecast, before the second step of the first epoch, before the second epoch, and before its second step.
    left = iter([1e6, 1e6, 1e6, STOP_S])
    result, heard = _train(cohort, tmp_path, epochs=5, seconds_left=lambda: next(left, STOP_S))
    assert (len(heard), result.best.number, result.stopped_early) == (1, 1, True)


def test_a_training_asks_the_session_when_it_has_to_stop(cohort, tmp_path, monkeypatch):
    monkeypatch.setenv("CTLAB_DEADLINE", f"{__name__}:_soon")
    result, heard = _train(cohort, tmp_path, epochs=5)
    assert len(heard) == 1
    assert result.stopped_early


def _soon() -> float:
    return time.time() + STOP_S


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "best.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.pt is no checkpoint"):
        load_model(path)


def test_an_unknown_preset_and_empty_labels_are_refused(cohort, tmp_path):
    with pytest.raises(CtlabError, match="vnet"):
        train(cohort, preset="magic", folder=tmp_path)
    make_cohort(tmp_path / "c", 1, 1, 1, (16, 16, 16))
    empty = Cohort(tmp_path / "c")
    for case in (*empty.train, *empty.val):
        labels = case.labels
        replace(labels, voxels=np.zeros_like(labels.voxels)).save(case.folder / "label.nii.gz")
    with pytest.raises(CohortError, match="all empty"):
        train(empty, folder=tmp_path / "w")
