"""The way in which a device computes is chosen by trying; a training is the same whether or not anything was tried before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from ctlab import beforehand
from ctlab.beforehand import find_way
from ctlab.checkpoints import snapshot
from ctlab.precision import PLAIN
from ctlab.trainer import Trainer
from ctlab.ways import GAIN, WAYS, WORTH_S, Way, candidates, chosen, taken
from ctlab.waytrial import Tried, tried
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.ctlab.test_trainer import PRESET, _kinds, made, weights  # noqa: F401  (a fixture)

CPU = torch.device("cpu")
LAYOUTS = candidates(0.0)
times = st.dictionaries(st.sampled_from(WAYS), st.floats(1e-4, 1e3), min_size=1)


@given(times)
def test_none_is_clearly_faster_than_the_one_that_is_chosen_and_no_simpler_one_as_fast(found):
    way = chosen(found)
    best = min(found.values())
    assert found[way] * (1 - GAIN) <= best
    assert all(found[each] * (1 - GAIN) > best for each in WAYS[: WAYS.index(way)] if each in found)


@given(times, st.floats(0.1, 10.0))
def test_what_counts_is_how_much_faster_one_is_than_another(found, factor):
    # Where a rounding decides, either is right.
    if all(abs(each * (1 - GAIN) / min(found.values()) - 1) > 1e-9 for each in found.values()):
        assert chosen({way: each * factor for way, each in found.items()}) == chosen(found)


@given(times, st.sampled_from(WAYS))
def test_one_that_is_slower_changes_nothing(found, way):
    if way not in found:
        assert chosen({**found, way: max(found.values()) * 2}) == chosen(found)


def test_of_none_none_is_chosen_and_compiling_is_tried_before_long_trainings_alone():
    assert chosen({}) is None
    assert not any(way.compiled for way in candidates(WORTH_S - 1))
    assert tuple(candidates(WORTH_S)) == WAYS


def network() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.Dropout3d(0.5), nn.Conv3d(4, 2, 3, padding=1))


def missing(_: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    raise ImportError("No module named 'triton'")


def test_a_trial_takes_real_passes_and_leaves_network_and_random_numbers_as_they_were():
    given_ = network()
    before, random = {name: value.clone() for name, value in given_.state_dict().items()}, torch.get_rng_state()
    found = tried(given_, replace(PRESET, batch=2), CPU, PLAIN, LAYOUTS)
    assert set(found.times) == set(LAYOUTS)
    assert all(0 < each < found.seconds for each in found.times.values())
    assert all(torch.equal(value, before[name]) for name, value in given_.state_dict().items())
    assert [each.stride() for each in given_.parameters()] == [before[name].stride() for name, _ in given_.named_parameters()]
    assert all(each.grad is None for each in given_.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_compiler_that_is_missing_is_an_outcome():
    found = tried(network(), replace(PRESET, batch=1), CPU, PLAIN, compiling=missing)
    assert {way: why for way, why in found.failed.items() if way.compiled} == found.failed
    assert found.failed[Way(compiled=True)] == "ImportError: No module named 'triton'"
    assert found.way in LAYOUTS
    assert "torch.compile –" in found.text()
    assert f"fastest as {found.way}, found by trying" in found.text()


def test_where_nothing_works_nothing_is_chosen():
    found = tried(network(), replace(PRESET, batch=1), CPU, PLAIN, WAYS[2:], compiling=missing)
    assert (found.way, len(found.failed)) == (None, 2)


def test_when_the_time_for_it_is_over_no_further_way_is_begun():
    now = iter(range(0, 10**6, 20))
    found = tried(network(), replace(PRESET, batch=1), CPU, PLAIN, clock=lambda: float(next(now)), compiling=missing)
    assert set(found.times) == {Way()}


@pytest.mark.slow
def test_each_way_computes_the_same_gradients_for_the_same_weights():
    compiling = partial(torch.compile, backend="eager", dynamic=False)
    images, found = torch.randn(2, 1, 8, 8, 8), []
    plain = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.PReLU(), nn.Conv3d(4, 2, 3, padding=1))
    for way in WAYS:
        plain.zero_grad()
        taken(plain, way, compiling)(images).square().mean().backward()
        found.append(torch.cat([each.grad.flatten() for each in plain.parameters()]))
    assert all(torch.allclose(each, found[0], atol=1e-6) for each in found)
    assert list(plain.state_dict()) == ["0.weight", "0.bias", "1.weight", "2.weight", "2.bias"], "names without a word of compiling"


def test_a_training_is_the_same_whether_or_not_it_was_tried_and_goes_on_in_the_same_way():
    told: list[str] = []
    preset = replace(PRESET, average=0.9)
    one, other = made(preset), made(preset)
    find_way(one, 0.0, fresh=True, tell=told.append)
    assert one.way in LAYOUTS
    assert len(told) == 1
    other.take(one.way)
    for _ in range(2):
        one.step(), other.step()
    assert torch.equal(weights(one), weights(other))
    resumed = made(preset)
    resumed.restore(snapshot(one.state()))
    assert resumed.way == one.way
    assert [each.stride() for each in resumed.network.parameters()] == [each.stride() for each in one.network.parameters()]
    one.step(), resumed.step()
    assert torch.equal(weights(one), weights(resumed))
    assert [each.validate().way for each in (one, resumed)] == [str(one.way)] * 2
    find_way(resumed, 1e9, fresh=False, tell=told.append)
    assert len(told) == 1, "one that goes on tries nothing"


def test_states_that_say_nothing_of_ways_are_read():
    one = made()
    one.step()
    state = dict(snapshot(one.state()))
    del state["way"]
    resumed = made()
    resumed.restore(state)
    one.step(), resumed.step()
    assert torch.equal(weights(one), weights(resumed))
    assert resumed.way is None
    assert resumed.validate().way == ""


@pytest.mark.slow
def test_one_that_was_compiled_goes_on_without_where_nothing_compiles(monkeypatch):
    told: list[str] = []
    begun: Trainer = made()
    begun.take(Way(channels_last=True, compiled=True))
    monkeypatch.setattr(beforehand, "tried", partial(tried, compiling=missing))
    find_way(begun, 1e9, fresh=False, tell=told.append)
    assert begun.way == Way(channels_last=True)
    (sentence,) = told
    assert (
        "begun with torch.compile, which can't be used here (ImportError: No module named 'triton'). It goes on without" in sentence
    )
    begun.step()


def test_a_sentence_tells_what_was_found():
    found = Tried({Way(): 0.4, Way(channels_last=True): 0.25}, {Way(compiled=True): "no gcc"}, 7.0)
    assert found.text() == (
        "The GPU computes this network fastest as channels_last_3d, found by trying for 7 s (a pass: contiguous 0.400 s, "
        "channels_last_3d 0.250 s, contiguous + torch.compile –); the training keeps to that."
    )
