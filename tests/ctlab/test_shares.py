"""How a step's passes are shared: evenly, all of them, and the same patches whoever computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ctlab import tiers
from ctlab.network import KINDS, PRESETS, build
from ctlab.passes import share
from ctlab.shares import fitting, settled, spread, wanted_processes
from hypothesis import given
from hypothesis import strategies as st

sizes = st.integers(1, 24)


@given(sizes, sizes, st.integers(1, 16))
def test_a_step_stays_the_same_patches_in_passes_that_all_who_take_part_can_share(batch, accumulate, processes):
    preset = replace(PRESETS["vnet"], batch=batch, accumulate=accumulate)
    found, count = spread(preset, processes)
    assert found.batch * found.accumulate == batch * accumulate
    assert batch % found.batch == 0, "no pass has patches of two"
    assert found.accumulate % count == 0
    assert count == max(each for each in range(1, processes + 1) if batch * accumulate % each == 0), "as many as can"
    larger = [each for each in range(found.batch + 1, batch + 1) if batch % each == 0]
    assert all(batch * accumulate // each % count for each in larger), "passes as large as can be"
    assert replace(found, batch=batch, accumulate=accumulate) == preset


@given(st.integers(2, 24), st.integers(1, 16))
def test_no_pass_is_so_small_that_a_network_can_not_learn_from_it(batch, processes):
    found, count = spread(replace(PRESETS["vnet"], patch=KINDS["vnet"].least, batch=batch), processes)
    assert found.batch > 1
    assert found.accumulate % count == 0


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_smallest_passes_of_each_preset_can_be_learnt_from(name):
    small = replace(PRESETS[name], patch=KINDS[name].least)
    found, _ = spread(small, small.batch)
    network = build(2, found.kind).to("meta").train()
    assert network(torch.zeros(found.batch, 1, *(found.patch,) * 3, device="meta")).shape[0] == found.batch


@given(sizes, st.integers(1, 16))
def test_what_goes_on_keeps_its_passes(accumulate, processes):
    preset = replace(PRESETS["vnet"], accumulate=accumulate)
    found, count, _ = settled(preset, processes, fresh=False, gpus=False)
    assert found is preset
    assert count == fitting(preset, processes) == max(n for n in range(1, processes + 1) if accumulate % n == 0)


@given(st.integers(1, 9), st.integers(1, 9))
def test_each_pass_is_made_once_in_the_order_of_the_processes(each, processes):
    passes = each * processes
    assert [number for rank in range(processes) for number in share(passes, rank, processes)] == list(range(passes))


def test_people_hear_who_computes_and_who_does_not():
    preset = replace(PRESETS["vnet"], batch=4)
    ((told,), uneven, kept) = (
        settled(preset, 2, fresh=True, gpus=True)[2],
        settled(preset, 3, fresh=True, gpus=False)[2],
        settled(preset, 4, fresh=False, gpus=True)[2],
    )
    assert told.startswith(
        "2 processes compute together, each on a GPU of its own. Each makes 1 of a step's 2 passes (patches in a pass: 2)"
    )
    assert uneven[0].startswith("2 processes compute together on the CPU.")
    assert uneven[1:] == ["4 patches a step can't be shared evenly by 3 processes: 2 of them compute."]
    assert len(kept) == 1
    assert kept[0].startswith("Of 4 processes 1 take part: the training was begun with 1 passes a step and goes on with them")


@pytest.mark.parametrize(
    ("where", "asked", "gpus", "count"),
    [("cpu", None, 0, 1), ("cpu", 2, 0, 2), ("cuda", None, 1, 1), ("cuda", None, 4, 4), ("cuda", 2, 4, 2), ("cuda", 9, 4, 4)],
)
def test_there_is_a_process_for_each_gpu_and_one_where_there_is_none(monkeypatch, where, asked, gpus, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert wanted_processes(asked, torch.device(where)) == count


def test_other_processes_leave_less_room_for_cases(monkeypatch):
    monkeypatch.setattr(tiers, "free", lambda: 10)
    assert [tiers.room_for_cases(others) for others in (0, 4, 20)] == [5, 3, 0]
