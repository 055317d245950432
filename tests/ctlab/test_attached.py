"""A training that is under way: the same call attaches to it, another is refused, and it can be held and ended."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import pytest
from ctlab import training
from ctlab.background import Run
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort
from ctlab.errors import CtlabError
from ctlab.history import Epoch
from ctlab.network import PRESETS
from ctlab.phantoms import make_cohort
from ctlab.trainer import Trainer
from ctlab.training import train, train_in_background

from tests.ctlab.test_resume import small


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 2, 1, 5, (32, 32, 24))
    return Cohort(folder)


@pytest.fixture
def held(monkeypatch) -> threading.Event:
    """No step is made before it is set."""
    small(monkeypatch.setattr)
    go, step = threading.Event(), Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda each: go.wait() and step(each))
    return go


def quietly(_: object) -> None:
    """No line for an epoch."""


def test_the_same_call_attaches_and_another_is_refused(cohort, tmp_path, held):
    results = []
    callers = [threading.Thread(target=lambda: results.append(train(cohort, folder=tmp_path, report=quietly))) for _ in range(2)]
    for each in callers:
        each.start()
    while training.RUNS.find(tmp_path) is None:
        pass
    with pytest.raises(CtlabError, match="Another training is under way"):
        train(cohort, folder=tmp_path, seed=1)
    held.set()
    for each in callers:
        each.join()
    assert results[0] is results[1]
    assert training.RUNS.find(tmp_path) is None


def test_a_training_that_is_stopped_keeps_its_state_and_goes_on_when_called_again(cohort, tmp_path, held, capsys):
    whole = []
    caller = threading.Thread(target=lambda: whole.append(train(cohort, folder=tmp_path, report=quietly)))
    caller.start()
    while (run := training.RUNS.find(tmp_path)) is None:
        pass
    run.control.stop()
    held.set()
    caller.join()
    assert whole[0].stopped_early
    assert "The training was stopped." in capsys.readouterr().out

    resumed = train(cohort, folder=tmp_path, report=quietly)
    assert "Going on with the training" in capsys.readouterr().out
    assert not resumed.stopped_early


def test_a_training_that_is_held_when_the_session_ends_is_saved(cohort, tmp_path, held):
    left = [1e6]
    whole = []
    caller = threading.Thread(
        target=lambda: whole.append(train(cohort, folder=tmp_path, report=quietly, seconds_left=lambda: left[0]))
    )
    caller.start()
    while (run := training.RUNS.find(tmp_path)) is None:
        pass
    run.control.pause()
    held.set()
    left[0] = 0.0
    run.control.wait(0.0)
    caller.join()
    assert whole[0].stopped_early
    assert list(tmp_path.glob("state-*.pt"))


def test_one_in_the_background_goes_on_by_itself_and_the_same_call_waits_for_it(cohort, tmp_path, held):
    run = train_in_background(cohort, folder=tmp_path)
    assert not run.over
    with pytest.raises(CtlabError, match="Another training is under way"):
        train_in_background(cohort, folder=tmp_path, seed=1)
    assert train_in_background(cohort, folder=tmp_path) is run
    held.set()
    result = train(cohort, folder=tmp_path, report=quietly)
    assert result is run.result()
    assert training.RUNS.find(tmp_path) is None


def test_who_hears_of_an_epoch_knows_what_its_labels_are_called(cohort, tmp_path, monkeypatch):
    small(monkeypatch.setattr)
    known, tell = [], Run.tell

    def told(run, event):
        if isinstance(event, Epoch):
            known.append(dict(run.names))
        tell(run, event)

    monkeypatch.setattr(Run, "tell", told)
    first = train(cohort, folder=tmp_path, report=quietly, seconds_left=lambda: STOP_S if known else math.inf)
    assert first.stopped_early
    result = train(cohort, folder=tmp_path, report=quietly)
    assert known == [result.model.names] * (1 + len(result.history)), "also of the epoch that the earlier training has made"


def test_presets_of_ones_own_can_be_given(cohort, tmp_path):
    own = replace(PRESETS["vnet"], spacing_mm=14.0, patch=16, steps=1, epochs=1)
    assert train(cohort, own, folder=tmp_path, report=quietly).model.preset == own
