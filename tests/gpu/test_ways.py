"""On a GPU the way to compute is chosen by trying, and several GPUs come to what one comes to."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch
from ctlab.cohort import Cohort
from ctlab.crew import Crew
from ctlab.errors import CrewError
from ctlab.network import PRESETS, build
from ctlab.phantoms import make_cohort
from ctlab.precision import checked
from ctlab.tiers import Tiers
from ctlab.trainer import Trainer
from ctlab.training import train
from ctlab.ways import WAYS, Way
from ctlab.waytrial import tried

from tests.ctlab.hands import hands
from tests.ctlab.test_trainer import case

CUDA = torch.device("cuda")


def test_every_way_is_timed_or_says_why_not_and_random_numbers_stay():
    network = build(3).to(CUDA)
    before = torch.cuda.get_rng_state(CUDA)
    found = tried(network, replace(PRESETS["vnet"], patch=48), CUDA, checked(CUDA)[0])
    assert set(found.times) | set(found.failed) == set(WAYS)
    assert {Way(), Way(channels_last=True)} <= set(found.times)
    assert found.way is not None
    assert torch.equal(torch.cuda.get_rng_state(CUDA), before)


def test_a_training_tells_its_way_and_writes_it_down(tmp_path, capsys):
    make_cohort(tmp_path / "cohort", 2, 1, 5, (48, 48, 32))
    result = train(Cohort(tmp_path / "cohort"), folder=tmp_path / "training", epochs=1, processes=1)
    assert result.history[0].way in map(str, WAYS)
    assert f"fastest as {result.history[0].way}, found by trying" in capsys.readouterr().out


if torch.cuda.device_count() > 1:

    def test_two_gpus_come_to_what_one_comes_to_and_a_death_ends_it_in_a_sentence():
        preset = replace(PRESETS["vnet"], batch=1, accumulate=2)
        many, one = (
            Trainer(preset, Tiers.of([case(1, 40)]), Tiers.of([case(2, 40)]), {3: "block"}, seed=0, where=CUDA) for _ in range(2)
        )
        many.join(Crew(many.network, many.precision, CUDA, processes=2, seed=0))
        one.seeded = True
        try:
            for _ in range(3):
                assert float(many.step()) == pytest.approx(float(one.step()), abs=1e-3)
            os.kill(hands().pop(), signal.SIGKILL)
            with pytest.raises(CrewError, match="SIGKILL"):
                many.step()
        finally:
            many.close()
