"""The curve as TensorBoard's own reader finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort
from ctlab.events import EVENTS, write_events
from ctlab.files import whole
from ctlab.history import Epoch
from ctlab.phantoms import make_cohort
from ctlab.training import train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.ctlab.drafts import killed_while_writing
from tests.ctlab.test_resume import small

NAMES = {1: "lung", 5: "炎症"}


def epoch(number: int, **given) -> Epoch:
    return Epoch(number, 1.0 / number, {1: 0.25 * number, 5: float("nan")}, 2.0, 0.125, 0.5, 16.0, 1000.0 + 2 * number, **given)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def curve(found: EventAccumulator, name: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in found.Scalars(name)]


def test_tensorboard_reads_every_curve(tmp_path):
    write_events(tmp_path, [epoch(1), epoch(2)], NAMES)
    found = read(tmp_path)
    assert curve(found, "loss/training") == [(1, 1.0), (2, 0.5)]
    assert curve(found, "dice/1 lung") == [(1, 0.25), (2, 0.5)]
    assert curve(found, "dice/mean of labels") == [(1, 0.25), (2, 0.5)]
    assert curve(found, "learning rate") == [(1, 0.5), (2, 0.5)]
    assert curve(found, "speed/patches a second") == [(1, 16.0), (2, 16.0)]
    assert curve(found, "speed/waiting for data") == [(1, 0.125), (2, 0.125)]
    assert found.Scalars("loss/training")[1].wall_time == 1004.0
    assert found.FirstEventTimestamp() == 1000.0


def test_a_dice_that_no_case_has_is_no_point_of_a_curve(tmp_path):
    write_events(tmp_path, [epoch(1), Epoch(2, 0.5, {1: 0.5, 5: 0.75}, 2.0, ended=1004.0)], NAMES)
    assert curve(read(tmp_path), "dice/5 炎症") == [(2, 0.75)]


def test_who_reads_on_finds_only_what_is_new(tmp_path):
    write_events(tmp_path, [epoch(1)], NAMES)
    found, before = read(tmp_path), (tmp_path / EVENTS).read_bytes()
    write_events(tmp_path, [epoch(1), epoch(2)], NAMES)
    assert (tmp_path / EVENTS).read_bytes().startswith(before)
    assert curve(found.Reload(), "loss/training") == [(1, 1.0), (2, 0.5)]


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path, monkeypatch):
    write_events(tmp_path, [epoch(1)], NAMES)

    def full(path: Path, flags: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(f"{whole.__module__}._flush", full)
    with pytest.raises(OSError, match="Input/output"):
        write_events(tmp_path, [epoch(1), epoch(2)], NAMES)
    assert curve(read(tmp_path), "loss/training") == [(1, 1.0)]
    assert [each.name for each in tmp_path.iterdir()] == [EVENTS]


def test_a_training_that_is_broken_off_and_goes_on_has_each_epoch_once(tmp_path, monkeypatch):
    small(monkeypatch.setattr)
    make_cohort(tmp_path / "cohort", 2, 1, 5, (32, 32, 24))
    cohort, folder = Cohort(tmp_path / "cohort"), tmp_path / "run"
    left = iter([1e6] * 12)
    stopped = train(cohort, folder=folder, report=lambda _: None, seconds_left=lambda: next(left, STOP_S))
    assert stopped.stopped_early
    assert len(curve(read(folder), "loss/training")) == len(stopped.history) == 1
    killed_while_writing(folder / EVENTS)

    resumed = train(cohort, folder=folder, report=lambda _: None)

    found = read(folder)
    assert curve(found, "loss/training") == [(each.number, pytest.approx(each.loss)) for each in resumed.history]
    assert len(list(folder.glob("*tfevents*")) + list(folder.glob(".*tfevents*"))) == 1
    assert all(value > 0 for _, value in curve(found, "speed/patches a second"))
    assert curve(found, "learning rate")[0][1] > curve(found, "learning rate")[-1][1]
