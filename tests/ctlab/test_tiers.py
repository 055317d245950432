"""Where the voxels of a training's cases lie changes when they are read, and nothing that is trained."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ctlab import farcase
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort, open_case
from ctlab.errors import CohortError, StorageError
from ctlab.far import FarFile
from ctlab.farcase import FarCase
from ctlab.feed import READERS, Feed, _gathered
from ctlab.network import PRESETS
from ctlab.packed import ENDING, write_packed
from ctlab.packing import pack
from ctlab.phantoms import make_cohort
from ctlab.resample import Prepared
from ctlab.sampling import Place, Sampler
from ctlab.tiers import Patch, Room, Tier, Tiers, cut
from ctlab.trainer import Trainer
from ctlab.training import TrainingResult, read_cases, train

from tests.ctlab.test_resume import small

SIDE, CPU = 16, torch.device("cpu")


@pytest.fixture(scope="module")
def loose(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 3, 2, 5, (48, 48, 30))
    return Cohort(folder)


@pytest.fixture(scope="module")
def packed(loose, tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("packed")
    pack(loose, folder, show=lambda _: None)
    return Cohort(folder)


def tiers_of(cohort: Cohort, room: int, spacing_mm: float = 6.0) -> Tiers:
    return read_cases(cohort, cohort.train, replace(PRESETS["vnet"], spacing_mm=spacing_mm), Room(room))


def same(one: Patch, other: Patch) -> bool:
    return torch.equal(one.hu, other.hu) and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("kind", ["packed", "loose"])
@pytest.mark.parametrize("spacing_mm", [3.0, 8.5, 14.0])
def test_a_patch_from_the_folder_is_that_of_the_whole_case(request, kind, spacing_mm):
    cohort = request.getfixturevalue(kind)
    near, far = tiers_of(cohort, 2**40, spacing_mm), tiers_of(cohort, 0, spacing_mm)
    assert (near.count(Tier.MEMORY), far.count(Tier.LINK)) == (3, 3)
    assert [each.digest for each in near.known] == [each.digest for each in far.known]
    sampler = Sampler(near.known, SIDE, np.random.default_rng(3))
    places = [sampler.draw() for _ in range(12)]
    assert all(same(near.patch(place), far.patch(place)) for place in places)
    whole = [Patch(each.hu, each.labels) for each in near.wholes()]
    assert all(same(one, Patch(each.hu, each.labels)) for one, each in zip(whole, far.wholes(), strict=True))


def test_a_patch_of_a_packed_case_reads_few_blocks(packed, monkeypatch):
    far, asked = tiers_of(packed, 0, 3.0), []
    read = farcase.PackedFile.patch
    monkeypatch.setattr(farcase.PackedFile, "patch", lambda file, start, size: asked.append(size) or read(file, start, size))
    far.patch(Place(0, (5, 5, 5), 12))
    # 12 voxels of 3 mm in voxels of 8 or 9 mm, and the neighbours that lie between.
    assert asked
    assert max(asked[0]) <= 7


def test_what_has_no_room_is_left_where_it_is(packed):
    first, second, _ = tiers_of(packed, 0).known
    some = tiers_of(packed, sum(each.nbytes + each.own_nbytes for each in (first, second)))
    assert [some.tier(index) for index in range(3)] == [Tier.MEMORY, Tier.MEMORY, Tier.LINK]


def test_the_sampler_is_where_it_would_be_without_looking_ahead(packed):
    near, far = tiers_of(packed, 2**40), tiers_of(packed, 0)
    one, other = (Feed(Sampler(each.known, SIDE, np.random.default_rng(1)), each) for each in (near, far))
    for _ in range(3):
        assert all(same(a, b) for a, b in zip(one.take(4), other.take(4), strict=True))
        assert one.state() == other.state()
    state = other.state()
    ahead = other.take(5)
    other.restore(state)
    assert all(same(a, b) for a, b in zip(ahead, other.take(5), strict=True))
    one.take(5)
    # Smaller patches from here on: what was asked for in advance is of no use.
    one.side = other.side = SIDE // 2
    assert all(same(a, b) for a, b in zip(one.take(4), other.take(4), strict=True))
    other.close()
    assert one.state() == other.state()


class Slow:
    """A case that answers when it is told to, and knows in which order it was asked."""

    def __init__(self, case: Prepared, asked: list[Place], go: threading.Event) -> None:
        self.case, self.asked, self.go = case, asked, go
        self.packed = True

    def whole(self) -> Prepared:
        return self.case

    def patch(self, start: tuple[int, int, int], side: int) -> Patch:
        self.asked.append(Place(0, start, side))
        assert self.go.wait(30)
        return cut(self.case, start, side)


def test_patches_are_asked_for_before_their_turn_and_in_the_samplers_order():
    voxels = torch.arange(24**3).reshape(24, 24, 24)
    case = Prepared("case", (voxels % 999).to(torch.int16), (voxels % 2).to(torch.uint8))
    asked, go = [], threading.Event()
    tiers = Tiers(Room(0))
    tiers.add(case, Slow(case, asked, go))
    expected = Sampler(tiers.known, SIDE, np.random.default_rng(1))
    feed = Feed(Sampler(tiers.known, SIDE, np.random.default_rng(1)), tiers)
    taken = []
    waiting = threading.Thread(target=lambda: taken.extend(feed.take(1)))
    waiting.start()
    while len(asked) < READERS:
        pass
    places = [expected.draw() for _ in range(READERS)]
    assert sorted(asked, key=lambda each: each.start) == sorted(places, key=lambda each: each.start)
    assert taken == []
    go.set()
    waiting.join()
    assert same(taken[0], cut(case, places[0].start, SIDE))
    feed.close()


def test_what_moves_to_the_device_makes_room_in_memory_and_what_leaves_it_goes_where_there_is_room(packed):
    """torch's device `meta`, which holds nothing, stands for a GPU."""
    known = tiers_of(packed, 0).known
    size = max(each.nbytes for each in known)
    tiers = tiers_of(packed, size + sum(each.own_nbytes for each in known))
    (first,) = (index for index in range(3) if tiers.tier(index) is Tier.MEMORY)
    tiers.to_device(torch.device("meta"), size)
    end = time.monotonic() + 30
    while tiers.count(Tier.MEMORY) == 0:
        assert time.monotonic() < end
    assert tiers.tier(first) is Tier.DEVICE
    assert tiers.leave_device()
    assert tiers.tier(first) is Tier.LINK
    assert not tiers.leave_device()
    tiers.close()


def test_a_case_that_was_changed_meanwhile_ends_it_in_a_sentence(packed, tmp_path):
    shutil.copytree(packed.folder, tmp_path, dirs_exist_ok=True)
    far = tiers_of(Cohort(tmp_path), 0)
    first, second = sorted((tmp_path / "train").iterdir())[:2]
    shutil.copyfile(second, first)
    with pytest.raises(CohortError, match="others than when the training began"):
        far.patch(Place(0, (0, 0, 0), SIDE))
    with pytest.raises(CohortError, match="others than when the training began"):
        next(far.wholes())


def test_of_a_case_that_is_read_whole_for_a_patch_nothing_else_stays(loose):
    far = tiers_of(loose, 0)
    patch = far.patch(Place(0, (0, 0, 0), 4))
    assert (patch.hu.untyped_storage().nbytes(), patch.labels.untyped_storage().nbytes()) == (2 * 4**3, 4**3)


def test_a_packed_case_that_was_put_on_another_grid_ends_it_too(packed, tmp_path):
    """The same voxels, of another size."""
    shutil.copytree(packed.folder, tmp_path, dirs_exist_ok=True)
    far = tiers_of(Cohort(tmp_path), 0)
    path = min((tmp_path / "train").iterdir())
    ct, labels = open_case(path).load()
    larger = replace(ct.geometry, affine=ct.geometry.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))
    write_packed(path, replace(ct, geometry=larger), replace(labels, geometry=larger), {}, ())
    with pytest.raises(CohortError, match="others than when the training began"):
        far.patch(Place(0, (0, 0, 0), 4))


def test_what_was_closed_holds_no_case(loose):
    tiers = tiers_of(loose, 2**40)
    tiers.close()
    assert tiers.count(Tier.LINK) == 3


def test_a_loose_case_that_was_changed_meanwhile_ends_it_too(loose, tmp_path):
    shutil.copytree(loose.folder, tmp_path, dirs_exist_ok=True)
    far = tiers_of(Cohort(tmp_path), 0)
    first, second = sorted((tmp_path / "train").iterdir())[:2]
    shutil.copytree(second, first, dirs_exist_ok=True)
    with pytest.raises(CohortError, match="others than when the training began"):
        far.patch(Place(0, (0, 0, 0), 4))


def test_patches_of_one_batch_may_come_from_several_places():
    """`meta:0` and `meta` stand for a GPU, which has a number where a tensor lies, or where one is asked for, but not in both."""
    near = torch.zeros(2, dtype=torch.int16)
    parts = [near, near.to("meta")]
    assert _gathered(parts, torch.device("meta", 0)).shape == (2, 2)
    assert torch.equal(_gathered([near, near], CPU), torch.zeros(2, 2, dtype=torch.int16))


def test_a_storage_that_is_gone_ends_it_in_a_sentence(packed, tmp_path):
    shutil.copytree(packed.folder, tmp_path, dirs_exist_ok=True)
    far = tiers_of(Cohort(tmp_path), 0)
    feed = Feed(Sampler(far.known, SIDE, np.random.default_rng(1)), far)
    for each in sorted((tmp_path / "train").iterdir()):
        each.unlink()
        each.mkdir()
    with pytest.raises(StorageError, match="doesn't answer"):
        feed.take(2)
    feed.close()


@pytest.mark.parametrize(("number", "answered"), [(errno.EIO, 0), (errno.ENOTCONN, 60)])
def test_a_storage_that_breaks_off_while_it_is_read_ends_the_training_and_says_what_is_kept(
    number, answered, packed, tmp_path, monkeypatch
):
    """Patches are read by several threads, and for a validation whole cases: whichever meets the fault."""
    small(monkeypatch.setattr)
    whole = _train(packed, tmp_path / "whole")
    read, reads, begun = FarFile.read_at, itertools.count(), threading.Event()

    def broken(file: FarFile, offset: int, length: int) -> bytes:
        if begun.is_set() and next(reads) >= answered:
            raise OSError(number, os.strerror(number))
        return read(file, offset, length)

    trying = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda each: (begun.set(), trying(each))[1])
    with monkeypatch.context() as patch:
        patch.setattr(FarFile, "read_at", broken)
        with pytest.raises(StorageError, match=f"the storage doesn't answer \\({os.strerror(number)}\\)") as heard:
            _train(packed, tmp_path / "broken", memory=0)
    if not answered:
        assert "So the training ended after 0 steps, before anything of it was saved." in str(heard.value)
    else:
        newest = max(tmp_path.glob("broken/state-*.pt"))
        steps = int(newest.name.split("-")[1])
        assert f"Its state after {steps} steps is kept in {tmp_path / 'broken'}. Train again" in str(heard.value)
    assert _equal(whole, _train(packed, tmp_path / "broken", memory=0))


def _train(cohort: Cohort, folder: Path, **given) -> TrainingResult:
    return train(cohort, folder=folder, report=lambda _: None, save_every_s=0.0, **given)


def _equal(one: TrainingResult, other: TrainingResult) -> bool:
    curves = ([(each.loss, each.dice) for each in result.history] for result in (one, other))
    weights = (result.model.network.state_dict().values() for result in (one, other))
    return next(curves) == next(curves) and all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_training_is_the_same_from_any_tier_also_when_it_is_broken_off(loose, packed, tmp_path, monkeypatch, capsys):
    small(monkeypatch.setattr)
    whole = _train(packed, tmp_path / "memory")
    assert "no room in memory" not in capsys.readouterr().out
    far = _train(packed, tmp_path / "link", memory=0)
    assert "5 of 5 cases have no room in memory: they are read from their folder" in capsys.readouterr().out
    left = iter([1e6] * 12)
    stopped = _train(packed, tmp_path / "stopped", memory=0, seconds_left=lambda: next(left, STOP_S))
    assert stopped.stopped_early
    resumed = _train(packed, tmp_path / "stopped")
    assert _equal(whole, far)
    assert _equal(whole, resumed)
    assert all(0 < epoch.waited <= 1 for epoch in far.history)


def test_people_hear_that_packing_would_help(loose, tmp_path, monkeypatch, capsys):
    small(monkeypatch.setattr)
    _train(loose, tmp_path, memory=0, epochs=1)
    said = capsys.readouterr().out
    assert "5 of them have to be read whole for each patch. Pack the cohort first (ctlab.pack)" in said


def test_a_packed_case_keeps_its_file_open_only_while_it_is_read(packed):
    case = open_case(packed.train[0].folder)
    far = FarCase(case, 6.0)
    far.whole()
    assert "packed" not in vars(case)
    assert case.folder.name.endswith(ENDING)
