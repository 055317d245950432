"""The same training and prediction on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ctlab import inference
from ctlab.cohort import Cohort
from ctlab.inference import load_model, predict
from ctlab.phantoms import make_cohort
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
