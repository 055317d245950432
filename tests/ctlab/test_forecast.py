"""What people hear before a training: how much memory, how long, and whether it ends in time."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from ctlab.forecast import Forecast, Trial, forecast, in_words, room, smaller, trial
from ctlab.network import PRESETS, build
from ctlab.precision import PLAIN, Precision
from torch import nn

PRESET = replace(PRESETS["vnet"], patch=32, batch=4, steps=10, epochs=3)
CPU = torch.device("cpu")


def test_a_step_is_tried_and_nothing_is_learnt_by_it():
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.Dropout3d(0.5), nn.Conv3d(4, 2, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    tried = trial(network, replace(PRESET, patch=16, batch=2), CPU, PLAIN)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert tried.seconds > 0
    # At least the input and the outputs of three layers with four channels, 4 bytes each.
    assert tried.activations >= 2 * 16**3 * (1 + 4 + 4 + 4) * 4


def test_an_epoch_is_its_steps_and_the_windows_of_its_validation():
    shapes = [(32, 32, 32), (33, 33, 33)]
    made = forecast(
        replace(PRESET, accumulate=2), Trial(6.0, 10**9), precision=PLAIN, network=nn.Conv3d(1, 2, 3), judge=shapes, room=None
    )
    windows = 1 + 2**3
    assert made.epoch_s == pytest.approx(10 * 2 * 6.0 + windows * 6.0 / 4 / 3)
    assert made.memory == 10**9 + 3 * 4 * (2 * 27 + 2)


def text(epoch_s: float, seconds_left: float, **given) -> str:
    return Forecast(PRESET, Precision(torch.bfloat16), 45_600_000, 3 * 10**9, 16 * 10**9, epoch_s).text(
        seconds_left=seconds_left, **given
    )


def test_people_hear_memory_and_time():
    said = text(150.0, float("inf"))
    assert "45.6 million weights, 4 patches of 32 x 32 x 32 voxels at a time, bfloat16: at least 3.0 GB of 16.0 GB" in said
    assert re.search(r"An epoch takes about 2 min; 3 epochs end at about (\d{4}-\d\d-\d\d )?\d\d:\d\d\.", said)
    assert "session ends" not in said


def test_people_hear_when_the_session_ends_before_it():
    assert "about 2 epochs fit. Train again in the next session to go on." in text(100.0, 250.0)
    assert "session ends" not in text(100.0, 250.0, done=1)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89.0, "89 s"), (100.0, "2 min"), (5300.0, "88 min"), (12_000.0, "3 h 20 min")]
)
def test_times_are_said_in_the_unit_that_people_use(seconds, words):
    assert in_words(seconds) == words


def test_less_memory_means_fewer_patches_at_a_time_then_smaller_ones():
    given = replace(PRESET, batch=6, accumulate=1, patch=64)
    steps = []
    while (less := smaller(given)) is not None:
        given = less
        steps.append((given.batch, given.accumulate, given.patch))
    assert steps == [(3, 2, 64), (1, 6, 64), (1, 6, 48), (1, 6, 32)]


def test_a_pass_keeps_the_two_smallest_patches_that_normalisation_needs():
    given = replace(PRESET, batch=6, accumulate=1, patch=16)
    less = smaller(given)
    assert (less.batch, less.accumulate, less.patch) == (3, 2, 16)
    assert smaller(less) is None
    two = replace(given, batch=2)
    assert smaller(two) is None
    assert trial(build(3), two, CPU, PLAIN).seconds > 0.0


def test_the_machine_tells_its_free_memory():
    assert room(CPU) > 2**20
