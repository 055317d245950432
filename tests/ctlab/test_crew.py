"""Several processes come to what one comes to with as many passes; none outlives the training, none is waited for without end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ctlab import crew, passes
from ctlab.beforehand import prepared
from ctlab.crew import Crew
from ctlab.errors import CrewError
from ctlab.network import Preset
from ctlab.passes import Passes, Step
from ctlab.precision import PLAIN
from ctlab.trainer import Trainer
from torch import nn

from tests.ctlab.hands import alive, gone, hands
from tests.ctlab.test_trainer import PRESET, _kinds, made, weights  # noqa: F401  (a fixture)


@pytest.fixture
def together() -> Iterator[list[Trainer]]:
    """Trainers that are closed at the end; then nobody is left who computed with them."""
    trainers: list[Trainer] = []
    before = hands()
    yield trainers
    for each in trainers:
        each.close()
    assert hands() == before


def joined(trainer: Trainer, processes: int) -> Trainer:
    """`trainer`, whose passes are made by so many."""
    trainer.join(Crew(trainer.network, PLAIN, trainer.where, processes=processes, seed=trainer.seed))
    return trainer


def alone(preset: Preset) -> Trainer:
    """One that draws dropout as several do."""
    trainer = made(preset)
    trainer.seeded = True
    return trainer


def same(one: Trainer, other: Trainer) -> bool:
    """Whether weights, running statistics and their average are equal to 1e-6."""
    states = (each.state() for each in (one, other))
    found = [{**state["network"], **state["averaged"]} for state in states]
    return all(torch.allclose(found[0][name].float(), found[1][name].float(), rtol=0, atol=1e-6) for name in found[0])


@pytest.mark.parametrize(("processes", "accumulate"), [(2, 2), (3, 6)])
def test_they_come_to_what_one_process_comes_to_with_as_many_passes(together, processes, accumulate):
    preset = replace(PRESET, kind="with dropout", batch=1, accumulate=accumulate, augment=True, average=0.9)
    together.append(joined(made(preset), processes))
    many, one = together[0], alone(preset)
    before = weights(one).clone()
    for _ in range(PRESET.steps):
        assert float(many.step()) == pytest.approx(float(one.step()), abs=1e-6)
    assert same(many, one)
    assert not torch.allclose(weights(one), before, atol=1e-3), "it has learnt"
    assert [each.num_batches_tracked.item() for each in many.network.modules() if isinstance(each, nn.BatchNorm3d)] == [
        PRESET.steps * accumulate
    ]
    judged = many.validate(), one.validate()
    assert judged[0].dice == pytest.approx(judged[1].dice, abs=1e-6)
    assert [each.processes for each in judged] == [processes, 1]


def test_short_memory_of_one_makes_smaller_parts_for_all(together, monkeypatch):
    told: list[str] = []
    preset = replace(PRESET, kind="with dropout", batch=2, accumulate=2)
    together.append(joined(made(preset, told=told), 2))
    many, one = together[0], alone(replace(preset, batch=1, accumulate=4))
    right = passes.dice_ce

    def memory_for_one(logits, truth):
        if len(logits) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return right(logits, truth)

    monkeypatch.setattr(passes, "dice_ce", memory_for_one)
    for _ in range(2):
        assert float(many.step()) == pytest.approx(float(one.step()), abs=1e-6)
    assert same(many, one)
    assert (many.preset.batch, many.preset.accumulate) == (1, 4)
    assert len(told) == 1


def test_a_row_of_somebody_whose_memory_is_short_says_that_and_nothing_else(monkeypatch):
    row = Passes(nn.Conv3d(1, 2, 1), PLAIN, rank=1, processes=2, seed=0)
    images, truth = torch.randn(2, 1, 4, 4, 4), torch.zeros(2, 4, 4, 4, dtype=torch.uint8)
    row.make(images, truth, Step(0, 1, 2, 4, 1.0))
    assert row.row[:-1].count_nonzero() > 0
    assert row.row[-1] == 0

    def none(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(passes, "dice_ce", none)
    row.make(images, truth, Step(0, 1, 2, 4, 1.0))
    assert row.row.tolist() == [0.0] * (len(row.row) - 1) + [1.0]


@pytest.mark.parametrize(("number", "why"), [(signal.SIGKILL, r"has ended \(SIGKILL\)"), (signal.SIGSTOP, "has not answered for")])
def test_one_that_dies_or_says_nothing_ends_it_in_a_sentence(together, monkeypatch, number, why):
    monkeypatch.setattr(crew, "WAIT_S", 1.0)
    monkeypatch.setattr(crew, "TIMES", 2.0)
    before = hands()
    together.append(joined(made(replace(PRESET, batch=2, accumulate=2)), 2))
    together[0].step()
    (other,) = hands() - before
    os.kill(other, number)
    begun = time.monotonic()
    with pytest.raises(CrewError, match=f"One of the 2 processes that compute together {why}"):
        together[0].step()
    together[0].close()
    assert not alive(other)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("kind", ["with dropout", "tiny"])
def test_who_goes_on_with_what_one_began_hears_of_dropout(together, kind):
    told: list[str] = []
    together.append(made(replace(PRESET, kind=kind, batch=2, accumulate=2)))
    together[0].step()
    prepared(together[0], 2, fresh=False, tell=told.append, seconds_left=lambda: 1e9)
    together[0].step()
    assert together[0].processes == 2
    assert sum("Dropout draws other numbers" in each for each in told) == (kind == "with dropout")


def test_one_that_can_not_begin_is_a_sentence_with_its_last_words(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    opened = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(CrewError, match=r"has ended \(no such library\)"):
        joined(made(), 2)
    assert len(list(Path("/proc/self/fd").iterdir())) <= opened + 1, "but for the place where all meet"


BEGINNER = """
import sys
from ctlab.crew import _Hand
print(_Hand().process.pid, flush=True)
sys.stdin.read()
"""
"""Begins a process that it then never tells anything."""


def test_one_that_has_only_begun_goes_with_who_began_it():
    argv = [sys.executable, "-c", BEGINNER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as beginner:
        other = int(beginner.stdout.readline())
        # It loads torch long after its first lines; stopped there, it can't look for itself any more.
        while "libtorch" not in Path(f"/proc/{other}/maps").read_text():
            time.sleep(0.01)
        os.kill(other, signal.SIGSTOP)
        beginner.kill()
    assert gone({other})
