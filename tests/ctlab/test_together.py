"""A training by two processes from beginning to end: killed and gone on with to the bit, stopped, held, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from ctlab import training
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort
from ctlab.errors import CrewError
from ctlab.history import read_history
from ctlab.network import Preset, find_preset
from ctlab.phantoms import make_cohort
from ctlab.trainer import Trainer
from ctlab.training import TrainingResult, train, train_in_background

from tests.ctlab.hands import alive, gone, hands
from tests.ctlab.test_resume import _same, _small, small  # noqa: F401  (a fixture)

STEPS = 32
"""Of all four epochs."""
LEFT = ["best.pt", "events.out.tfevents.ctlab", "history.json"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 2, 1, 5, (32, 32, 24))
    return Cohort(folder)


def by_two(cohort: Cohort, folder: Path, **given) -> TrainingResult:
    return train(cohort, four(), folder=folder, report=lambda _: None, **{"save_every_s": 0.0, "processes": 2, **given})


def four() -> Preset:
    """Two patches for each process, of which its passes are."""
    return replace(find_preset("vnet"), batch=4)


@pytest.fixture(scope="module")
def unbroken(cohort, tmp_path_factory) -> TrainingResult:
    with pytest.MonkeyPatch.context() as patch:
        small(patch.setattr)
        return by_two(cohort, tmp_path_factory.mktemp("unbroken"))


@pytest.fixture(autouse=True)
def _nobody_stays() -> Iterator[None]:
    yield
    assert hands() == set()


def _led(cohort: Path, folder: Path, limit: int, said: Connection) -> None:
    """Tells who computes with it after each step; makes none after the one numbered `limit`."""
    small(setattr)
    step = Trainer.step

    def heard(each: Trainer) -> torch.Tensor:
        if each.steps == limit:
            threading.Event().wait()
        loss = step(each)
        said.send((each.steps, hands()))
        return loss

    Trainer.step = heard
    by_two(Cohort(cohort), folder)


@pytest.mark.slow
def test_killed_and_gone_on_with_it_comes_to_the_same_bits_and_nobody_outlives_it(cohort, tmp_path, unbroken):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ctlab.training", __name__])
    here, there = context.Pipe(duplex=False)
    # In the middle of the second epoch.
    leader = context.Process(target=_led, args=(cohort.folder, tmp_path / "killed", 13, there))
    leader.start()
    there.close()
    others: set[int] = set()
    steps = 0
    while steps < 13:
        steps, others = here.recv()
    assert len(others) == 1
    leader.kill()
    leader.join()
    assert gone(others)

    resumed = by_two(cohort, tmp_path / "killed")

    assert _same(unbroken, resumed)
    assert [each.processes for each in resumed.history] == [2] * 4
    assert read_history(tmp_path / "killed") == resumed.history
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == LEFT


@pytest.mark.slow
def test_one_that_dies_ends_all_in_a_sentence_and_the_same_call_goes_on(cohort, tmp_path, unbroken, monkeypatch):
    step = Trainer.step

    def deadly(each: Trainer) -> torch.Tensor:
        if each.steps == 11:
            os.kill(hands().pop(), signal.SIGKILL)
        return step(each)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", deadly)
        with pytest.raises(CrewError) as ended:
            by_two(cohort, tmp_path)
    assert str(ended.value) == (
        "One of the 2 processes that compute together has ended (SIGKILL). So the training ended after 11 steps. Its state after "
        f"11 steps is kept in {tmp_path}. Train again with the same settings: it goes on from there."
    )
    assert _same(unbroken, by_two(cohort, tmp_path))


@pytest.mark.slow
def test_held_stopped_and_ended_by_time_it_reaches_all(cohort, tmp_path, unbroken):
    run = train_in_background(cohort, four(), folder=tmp_path, processes=2)
    while not (others := hands()) or run.progress is None or run.progress().step < 1:
        time.sleep(0.01)
    run.control.pause()
    while not list(tmp_path.glob("state-*")):
        time.sleep(0.01)
    (other,) = others
    before, steps = _busy(other), run.progress().step
    time.sleep(1.0)
    assert (_busy(other) - before, run.progress().step) == (pytest.approx(0, abs=2), steps), "nobody computes"
    run.control.stop()
    assert run.wait(60)
    assert run.result().stopped_early
    assert not alive(other)

    left = iter([1e6] * 12)
    assert by_two(cohort, tmp_path, seconds_left=lambda: next(left, STOP_S)).stopped_early
    assert _same(unbroken, by_two(cohort, tmp_path))


def _busy(process: int) -> int:
    """Processor time that it has taken, in clock ticks: proc_pid_stat(5), fields 14 and 15."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.slow
def test_it_goes_on_with_another_number_of_processes_to_the_same(cohort, tmp_path, capsys):
    for name, first, then in (("fewer", 2, 1), ("more", 1, 2)):
        folder, left = tmp_path / name, iter([1e6] * 12)
        assert by_two(cohort, folder, processes=first, seconds_left=lambda left=left: next(left, STOP_S)).stopped_early
        resumed = by_two(cohort, folder, processes=then)
        whole = by_two(cohort, tmp_path / f"{name}, whole", processes=first)
        for one, other in zip(resumed.history, whole.history, strict=True):
            assert one.loss == pytest.approx(other.loss, abs=1e-6)
            assert one.dice == pytest.approx(other.dice, abs=1e-6)
        weights = (each.model.network.state_dict().values() for each in (resumed, whole))
        assert all(torch.allclose(a.float(), b.float(), rtol=0, atol=1e-6) for a, b in zip(*weights, strict=True))
    assert "Of 2 processes 1 take part: the training was begun with 1 passes a step" in capsys.readouterr().out


def test_by_default_a_cpu_begins_no_process(cohort, tmp_path, monkeypatch):
    def none(*given: object, **named: object) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(subprocess, "Popen", none)
    result = train(cohort, folder=tmp_path, report=lambda _: None, epochs=1)
    assert result.history[0].processes == 1
    assert training.RUNS.find(tmp_path) is None
