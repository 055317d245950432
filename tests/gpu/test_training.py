"""The same training and prediction on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ctlab import inference
from ctlab.cohort import Cohort
from ctlab.inference import load_model, predict
from ctlab.phantoms import make_cohort
from ctlab.resample import prepare
from ctlab.sampling import Place
from ctlab.tiers import Tier, Tiers
from ctlab.training import TrainingResult, train


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 2, 1, 5, (48, 48, 32))
    return Cohort(folder)


@pytest.fixture(scope="module")
def result(cohort, tmp_path_factory) -> TrainingResult:
    return train(cohort, folder=tmp_path_factory.mktemp("training"), epochs=2)


def test_training_takes_place_on_the_gpu(result):
    assert {each.device.type for each in result.model.network.parameters()} == {"cuda"}
    assert torch.cuda.max_memory_allocated() > 2**20
    assert result.history[-1].loss < result.history[0].loss


def test_the_preset_fits_into_the_smallest_gpu_that_the_centre_has(result):
    assert torch.cuda.max_memory_allocated() < 16 * 2**30


def test_a_checkpoint_of_the_gpu_predicts_the_same_on_a_cpu(result, cohort, monkeypatch):
    ct = cohort.val[0].ct
    on_gpu = predict(result.checkpoint, ct)
    monkeypatch.setattr(inference, "device", lambda: torch.device("cpu"))
    model = load_model(result.checkpoint)
    on_cpu = predict(model, ct)

    assert {each.device.type for each in model.network.parameters()} == {"cpu"}
    # Sums come in another order there; a voxel between two labels may fall either way.
    assert np.mean(on_gpu.voxels == on_cpu.voxels) > 0.999


def test_the_gpus_waiting_is_a_part_of_the_time(result):
    assert all(0.0 <= epoch.waited <= 1.0 for epoch in result.history)


def test_a_case_in_the_gpus_memory_gives_the_same_patch(cohort):
    case, ct, labels = next(cohort.loaded(cohort.train))
    tiers = Tiers.of([prepare(case.name, ct.voxels, labels.voxels, (40, 40, 30))])
    place = Place(0, (3, 4, 5), 16)
    before = tiers.patch(place)
    tiers.to_device(torch.device("cuda"), 2**30)
    assert tiers.tier(0) is Tier.DEVICE
    assert torch.equal(tiers.patch(place).hu.cpu(), before.hu)
    assert tiers.leave_device()
    assert torch.equal(tiers.patch(place).labels, before.labels)
