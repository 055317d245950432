"""One training's inside: short memory, averaged weights, several passes a step, patience, numbers that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ctlab import forecast, network, trainer, training
from ctlab.checkpoints import Keeper, snapshot
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort
from ctlab.course import ORDER, Course
from ctlab.errors import CtlabError
from ctlab.history import Epoch
from ctlab.network import KINDS, PRESETS, Kind, Preset, build, find_preset
from ctlab.phantoms import make_cohort
from ctlab.precision import DeviceError
from ctlab.resample import Prepared
from ctlab.tiers import Tiers
from ctlab.trainer import DivergedError, Trainer
from ctlab.training import train
from ctlab.writer import Writer
from monai.networks.nets import SwinUNETR
from torch import nn

PRESET = Preset("small", spacing_mm=14.0, patch=16, batch=4, steps=3, epochs=2, learning_rate=0.02, kind="tiny")


def tiny(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.PReLU(), nn.Conv3d(4, classes, 1))


def without_norm(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.PReLU(), nn.Conv3d(4, classes, 1))


def with_dropout(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6), nn.PReLU(), nn.Dropout3d(0.5), nn.Conv3d(6, classes, 1))


# Nothing is halved in these.
OWN = {
    "tiny": Kind(tiny, stride=1),
    "without norm": Kind(without_norm, stride=1),
    "with dropout": Kind(with_dropout, stride=1),
}


@pytest.fixture(autouse=True)
def _kinds(monkeypatch) -> None:
    monkeypatch.setattr(forecast, "KINDS", {**KINDS, **OWN})
    monkeypatch.setattr(network, "KINDS", {**KINDS, **OWN})


def case(seed: int = 1, side: int = 24) -> Prepared:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.zeros(side, side, side, dtype=torch.uint8)
    labels[6:16, 4:18, 8:20] = 3
    hu = (torch.randn(side, side, side, generator=draw) * 30 + labels * 200).to(torch.int16)
    return Prepared(f"case {seed}", hu, labels)


def made(preset: Preset = PRESET, *, seed: int = 0, told: list[str] | None = None) -> Trainer:
    tell = (lambda _: None) if told is None else told.append
    return Trainer(preset, Tiers.of([case()]), Tiers.of([case(2)]), {3: "block"}, seed=seed, where=torch.device("cpu"), tell=tell)


def weights(of: Trainer) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in of.network.parameters()])


@pytest.mark.parametrize("given", [{}, {"augment": True}, {"average": 0.9}, {"accumulate": 2, "augment": True, "average": 0.5}])
def test_from_a_state_the_same_follows(given):
    preset = replace(PRESET, **given)
    one, other = made(preset), made(preset)
    for _ in range(2):
        one.step()
    state = snapshot(one.state())
    for _ in range(2):
        other.step()
    assert torch.equal(weights(one), weights(other)), "two runs are equal"
    one.step()
    resumed = made(preset)
    resumed.restore(state)
    resumed.step()
    assert torch.equal(weights(one), weights(resumed))
    first, second = one.validate(), resumed.validate()
    assert (first.loss, first.dice) == (second.loss, second.dice)
    kept = (each.kept.network.state_dict().values() for each in (one, resumed))
    assert all(torch.equal(a, b) for a, b in zip(*kept, strict=True))


def test_several_passes_make_the_step_that_one_pass_over_all_makes():
    whole, parts = made(replace(PRESET, kind="without norm")), made(replace(PRESET, kind="without norm", batch=1, accumulate=4))
    before = weights(whole).clone()
    whole.step(), parts.step()
    # Dice is taken over what is seen at once, so the steps are near each other and not the same.
    one, other = weights(whole) - before, weights(parts) - before
    assert torch.cosine_similarity(one, other, dim=0) > 0.9


def test_short_memory_makes_smaller_parts_of_the_same_patches(monkeypatch):
    told: list[str] = []
    short, small = made(told=told), made(replace(PRESET, batch=2, accumulate=2))
    right = trainer.dice_ce

    def memory_for_two(logits, truth):
        if len(logits) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return right(logits, truth)

    monkeypatch.setattr(trainer, "dice_ce", memory_for_two)
    before = weights(short).clone()
    losses = short.step(), small.step()
    assert (short.preset.batch, short.preset.accumulate) == (2, 2)
    assert losses[0].item() == losses[1].item()
    assert torch.equal(weights(short), weights(small))
    assert not torch.equal(weights(short), before)
    assert told == [
        "The device's memory is too small for 4 patches at a time: going on with 2, in more passes. Only the speed is another."
    ]
    resumed = made()
    resumed.restore(snapshot(short.state()))
    assert resumed.preset == short.preset


def test_shorter_memory_makes_smaller_patches_and_what_fits_nowhere_is_an_error(monkeypatch):
    told: list[str] = []
    short = made(replace(PRESET, batch=1, patch=48), told=told)
    sides = []

    def no_memory(logits, truth):
        sides.append(truth.shape[1])
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(trainer, "dice_ce", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        short.step()
    assert sides == [48, 32]
    assert "patches of 48 voxels a side: going on with 32" in told[0]


def test_averaged_weights_are_what_is_judged_and_kept():
    average = made(replace(PRESET, average=0.5))
    trail = []
    for _ in range(PRESET.steps):
        average.step()
        trail.append(weights(average).clone())
    average.validate()
    expected = trail[0]
    for each in trail[1:]:
        expected = 0.5 * expected + 0.5 * each
    kept = torch.cat([each.detach().flatten() for each in average.kept.network.parameters()])
    assert torch.allclose(kept, expected, atol=1e-6)
    assert not torch.allclose(kept, trail[-1], atol=1e-6)


def test_what_is_done_grows_to_all_of_it():
    short = made(replace(PRESET, steps=2, epochs=2))
    shares = [short.progress(1.0, 1e6).share]
    for _ in range(2):
        for _ in range(2):
            short.step()
            shares.append(short.progress(1.0, 1e6).share)
        short.validate()
        shares.append(short.progress(1.0, 1e6).share)
    assert shares == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    assert short.progress(1.0, 1e6).left_s == 0.0


def test_a_loss_that_is_no_number_ends_it_in_a_sentence(monkeypatch):
    lost = made()
    monkeypatch.setattr(trainer, "dice_ce", lambda logits, truth: logits.sum() * torch.nan)
    lost.step()
    with pytest.raises(DivergedError, match="no number any more after 1 steps"):
        lost.validate()


@pytest.mark.parametrize(("patience", "epochs"), [(0, 9), (2, 5), (8, 9)])
def test_it_ends_when_nothing_has_got_better_for_as_long_as_the_preset_has_patience(tmp_path, monkeypatch, patience, epochs):
    dice = iter([0.1, 0.5, 0.6, 0.55, 0.6 - 1e-9, 0.4, 0.4, 0.4, 0.4])

    def judged(each: Trainer) -> Epoch:
        each.history.append(Epoch(len(each.history) + 1, 1.0, {3: next(dice)}, 1.0))
        each._losses = []
        return each.history[-1]

    monkeypatch.setattr(Trainer, "validate", judged)
    training = made(replace(PRESET, steps=1, epochs=9, patience=patience))
    course = Course(training, Keeper(tmp_path), Writer(print, ORDER), tmp_path, lambda _: None, lambda: float("inf"))
    course.run()
    assert len(training.history) == epochs
    assert course.finished
    assert list(tmp_path.glob("state-*")) == []


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 1, 1, 5, (32, 32, 24))
    return Cohort(folder)


def test_a_training_begins_with_its_forecast_and_with_parts_that_fit(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(forecast, "dice_ce", _memory_for(1))
    result = train(cohort, PRESET, folder=tmp_path, report=lambda _: None, seconds_left=lambda: 1e6)
    said = capsys.readouterr().out.splitlines()
    assert "going on with 2, in more passes" in said[1]
    assert "going on with 1, in more passes" in said[2]
    assert said[3].startswith("tiny, 0.0 million weights, 1 patches of 16 x 16 x 16 voxels at a time, float32: at least 0.0 GB of ")
    assert said[4].startswith("An epoch takes about ")
    assert (result.model.preset.batch, result.model.preset.accumulate) == (1, 4)


def test_a_device_without_the_memory_for_anything_is_refused_in_a_sentence(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "dice_ce", _memory_for(0))
    with pytest.raises(DeviceError, match="memory is too small for this network"):
        train(cohort, PRESET, folder=tmp_path, report=lambda _: None)


def _memory_for(patches: int):
    right = forecast.dice_ce

    def limited(logits, truth):
        if len(logits) > patches:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return right(logits, truth)

    return limited


@pytest.mark.parametrize("name", ["unet", "segresnet", "swinunetr"])
@pytest.mark.slow
def test_the_other_networks_train_by_name(cohort, tmp_path, name, monkeypatch):
    # Of full width, Swin-UNETR's step takes a minute on two cores.
    narrow = replace(KINDS["swinunetr"], make=lambda classes: SwinUNETR(1, classes, feature_size=12, use_checkpoint=True))
    monkeypatch.setattr(network, "KINDS", {**KINDS, "swinunetr": narrow})
    small = replace(find_preset(name), spacing_mm=14.0, patch=KINDS[name].least, batch=1, steps=1, epochs=1, average=0.0)
    result = train(cohort, small, folder=tmp_path, report=lambda _: None, seconds_left=lambda: STOP_S + 1e6)
    assert np.isfinite(result.history[0].loss)
    read = training.load_model(Path(result.checkpoint))
    assert {name: value.shape for name, value in read.network.state_dict().items()} == {
        name: value.shape for name, value in result.model.network.state_dict().items()
    }


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_network_gives_each_voxel_its_classes(kind):
    side = KINDS[kind].least
    # Shapes alone, without the arithmetic.
    found = build(3, kind).to("meta")(torch.zeros(2, 1, side, side, side, device="meta"))
    assert found.shape == (2, 3, side, side, side)


def test_presets_that_cannot_be_trained_are_refused():
    with pytest.raises(CtlabError, match=r"a side of 40\. Choose a multiple of 16, at least 16"):
        find_preset(replace(PRESETS["vnet"], patch=40))
    with pytest.raises(CtlabError, match="Choose a batch of 2, or larger patches"):
        find_preset(replace(PRESETS["vnet"], patch=16, batch=1))
    with pytest.raises(CtlabError, match="no network magic"):
        find_preset(replace(PRESETS["vnet"], kind="magic"))
    assert find_preset("vnet") is PRESETS["vnet"]
    assert all(find_preset(name).name == name for name in PRESETS)
