"""A training that is killed again and again comes to what an unbroken one comes to, bit for bit."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from ctlab import files, inference, network, trainer, training
from ctlab.checkpoints import KEEP, Keeper, State, snapshot
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort
from ctlab.errors import CheckpointError
from ctlab.history import read_history
from ctlab.inference import load_model
from ctlab.phantoms import make_cohort
from ctlab.training import TrainingResult, train
from ctlab.writer import Writer
from torch import nn

from tests.ctlab.drafts import killed_while_writing

EPOCHS, STEPS, KILLS = 4, 8, 8


def tiny(classes: int, kind: str = "vnet") -> nn.Module:
    """All that a network may carry from step to step: weights, running means, and dropout, which draws."""
    return nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6), nn.PReLU(), nn.Dropout3d(0.3), nn.Conv3d(6, classes, 1))


def small(patch: Callable[[object, str, object], None]) -> None:
    patch(trainer, "build", tiny)
    patch(inference, "build", tiny)
    preset = replace(network.PRESETS["vnet"], spacing_mm=14.0, patch=16, steps=STEPS, epochs=EPOCHS)
    patch(network, "PRESETS", {"vnet": preset})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 2, 1, 5, (32, 32, 24))
    return Cohort(folder)


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    small(monkeypatch.setattr)


def _train(cohort: Cohort, folder: Path, **given) -> TrainingResult:
    return train(cohort, folder=folder, report=lambda _: None, save_every_s=0.0, **given)


def _weights(result: TrainingResult) -> dict[str, torch.Tensor]:
    return result.model.network.state_dict()


def _same(one: TrainingResult, other: TrainingResult) -> bool:
    curves = ([(each.loss, each.dice) for each in result.history] for result in (one, other))
    return next(curves) == next(curves) and all(
        torch.equal(a, b) for a, b in zip(_weights(one).values(), _weights(other).values(), strict=True)
    )


def _child(cohort: Path, folder: Path, limit: int, said: Connection) -> None:
    """Tells each step that it has made and each state that it has saved; makes no step after the one numbered `limit`."""
    small(setattr)
    step, save, lock = trainer.Trainer.step, Keeper.save, threading.Lock()

    def heard(each: trainer.Trainer) -> torch.Tensor:
        if each.steps == limit:
            threading.Event().wait()
        loss = step(each)
        with lock:
            said.send(("made", each.steps))
        return loss

    def saved(keeper: Keeper, steps: int, state: State, taken: float) -> Path:
        path = save(keeper, steps, state, taken)
        with lock:
            said.send(("saved", steps))
        return path

    trainer.Trainer.step, Keeper.save = heard, saved
    _train(Cohort(cohort), folder)


def _hear(child: Connection) -> Iterator[tuple[str, int]]:
    """What a child says until it is dead."""
    with suppress(EOFError):
        while True:
            yield child.recv()


@pytest.mark.slow
def test_killed_at_random_steps_it_comes_to_the_same_losses_and_weights(cohort, tmp_path):
    unbroken = _train(cohort, tmp_path / "unbroken")
    draw, context = np.random.default_rng(11), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ctlab.training", __name__])
    saved = 0
    for _ in range(KILLS):
        before, made, last = saved, [], min(EPOCHS * STEPS - 2, saved + int(draw.integers(1, 5)))
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(cohort.folder, tmp_path / "killed", last + 1, there))
        child.start()
        there.close()
        said = _hear(here)
        for what, steps in said:
            saved, made = (steps, made) if what == "saved" else (saved, [*made, steps])
            if made and made[-1] >= last and saved > before:
                break
        # Also in the middle of a step, of writing a state, or of a validation.
        time.sleep(draw.uniform(0, 0.02))
        child.kill()
        child.join()
        saved = max([saved, *(steps for what, steps in said if what == "saved")])
        assert made[0] > before, "what was saved was lost"
        assert saved > before
    assert saved > STEPS, "the kills reach beyond an epoch"

    resumed = _train(cohort, tmp_path / "killed")

    assert _same(unbroken, resumed)
    assert read_history(tmp_path / "killed") == resumed.history
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["best.pt", "events.out.tfevents.ctlab", "history.json"]


def test_what_a_kill_left_half_written_is_gone_after_the_next_training(cohort, tmp_path):
    """As a process leaves it that is killed between opening the file and renaming it."""
    for name in ("history.json", "events.out.tfevents.ctlab", "best.pt", f"state-{7:09d}-{'0' * 32}.pt"):
        killed_while_writing(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 4

    _train(cohort, tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "events.out.tfevents.ctlab", "history.json"]


def test_stopped_by_the_sessions_end_in_the_middle_of_an_epoch_it_goes_on(cohort, tmp_path, capsys):
    left = iter([1e6] * 12)
    stopped = _train(cohort, tmp_path / "stopped", seconds_left=lambda: next(left, STOP_S))
    assert stopped.stopped_early

    resumed = _train(cohort, tmp_path / "stopped")

    assert "Going on with the training" in capsys.readouterr().out
    assert not resumed.stopped_early
    assert _same(_train(cohort, tmp_path / "unbroken"), resumed)


def test_a_storage_that_takes_nothing_costs_nothing_that_is_in_memory(cohort, tmp_path, monkeypatch, capsys):
    def full(path: Path, flags: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "Writer", partial(Writer, wait_s=0.0, retry_s=0.0))
    unbroken = _train(cohort, tmp_path / "unbroken")
    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", full)
        result = _train(cohort, tmp_path / "full")

    assert _same(unbroken, result)
    assert result.unsaved == (
        "the best network (best.pt)",
        f"the curve up to epoch {EPOCHS}",
        "the mark that the training is finished",
        f"the log for TensorBoard up to epoch {EPOCHS}",
    )
    assert list((tmp_path / "full").iterdir()) == []
    told = capsys.readouterr().out
    assert told.count("The storage took nothing 3 times over ([Errno 28] No space left on device)") == 1
    assert "Not saved" in told
    assert _same(unbroken, replace(result, model=load_model(result.model.save(tmp_path / "elsewhere.pt"))))


def test_an_epoch_judged_before_its_end_is_no_part_of_what_goes_on(cohort, tmp_path):
    stopped = _train(cohort, tmp_path / "stopped", seconds_left=lambda: STOP_S, epochs=1)
    assert (len(stopped.history), stopped.stopped_early) == (1, True)

    assert _same(_train(cohort, tmp_path / "unbroken", epochs=1), _train(cohort, tmp_path / "stopped", epochs=1))


def test_an_unfinished_training_of_other_settings_is_neither_mixed_nor_removed(cohort, tmp_path):
    _train(cohort, tmp_path, seconds_left=lambda: STOP_S)
    kept = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="other settings or cases"):
        _train(cohort, tmp_path, seed=1)
    assert sorted(tmp_path.iterdir()) == kept
    assert _same(_train(cohort, tmp_path, seed=1, resume=False), _train(cohort, tmp_path / "other", seed=1))


def test_the_newest_states_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    keeper = Keeper(tmp_path)
    for steps in (1, 2, 30):
        newest = keeper.save(steps, {"steps": steps}, 0.0)
    assert keeper.load() == {"steps": 30}
    assert len(list(tmp_path.iterdir())) == KEEP

    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert keeper.load() == {"steps": 2}
    newest.write_bytes(content[:100])
    assert keeper.load() == {"steps": 2}

    keeper.clear()
    assert keeper.load() is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    keeper = Keeper(tmp_path)
    keeper.save(1, {"steps": 1}, 0.0)
    write = Path.write_bytes

    def broken(path: Path, content: bytes) -> int:
        write(path, content[:10])
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", broken)
        with pytest.raises(OSError, match="Input/output"):
            keeper.save(2, {"steps": 2}, 0.0)
    assert keeper.load() == {"steps": 1}
    keeper.save(3, {"steps": 3}, 0.0)
    assert keeper.load() == {"steps": 3}


def test_a_snapshot_does_not_change_with_what_it_was_taken_of():
    weights = torch.ones(2)
    state = {"network": {"weights": weights}, "losses": [0.5], "groups": [(weights, 1)]}
    kept = snapshot(state)
    weights.zero_()
    state["losses"].append(0.25)
    assert kept["losses"] == [0.5]
    assert [kept["network"]["weights"].tolist(), kept["groups"][0][0].tolist()] == [[1, 1], [1, 1]]


def due_s(keeper: Keeper, now: list[float], every_s: float = 1.0) -> float:
    """After which time it is due, asked as often as that: a step is over then."""
    begun = now[0]
    while not keeper.due():
        now[0] += every_s
    return now[0] - begun


def test_a_state_is_due_when_its_time_has_passed_but_for_one_step(tmp_path):
    now = [0.0]
    keeper = Keeper(tmp_path, every_s=60, clock=lambda: now[0])
    keeper.save(1, {}, keeper.taken())
    assert due_s(keeper, now) == 59.0
    keeper.taken()
    assert due_s(keeper, now, every_s=13.0) == 52.0
    keeper.taken()
    assert not keeper.due()


def test_the_first_state_is_due_after_half_the_time_because_nobody_knows_how_long_it_takes(tmp_path):
    now = [0.0]
    keeper = Keeper(tmp_path, every_s=60, clock=lambda: now[0])
    assert due_s(keeper, now) == 29.0


def test_a_state_is_due_before_a_validation_that_would_outlast_the_period(tmp_path):
    now = [0.0]
    keeper = Keeper(tmp_path, every_s=60, clock=lambda: now[0])
    keeper.save(1, {}, keeper.taken())
    now[0] += 15.0
    assert not keeper.due(44.0)
    assert keeper.due(45.0)


@pytest.mark.parametrize(("writing_s", "after_s"), [(10.0, 39.0), (45.0, 29.0)])
def test_a_state_is_due_earlier_by_twice_the_time_that_the_last_took(tmp_path, monkeypatch, writing_s, after_s):
    now = [0.0]
    keeper = Keeper(tmp_path, every_s=60, clock=lambda: now[0])
    write = Path.write_bytes

    def slow(path: Path, content: bytes) -> int:
        now[0] += writing_s
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", slow)
    keeper.save(1, {}, keeper.taken())
    keeper.taken()
    assert due_s(keeper, now) == after_s
