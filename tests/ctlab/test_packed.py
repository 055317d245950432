"""A packed case gives back what was put in, to any program that reads Zarr too, and says so when it can't."""

from __future__ import annotations

import contextlib
import json
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import zarr
from ctlab.cohort import open_case
from ctlab.errors import DamagedError, UnreadableError
from ctlab.far import LONGEST_RUN, runs_of
from ctlab.geometry import Geometry
from ctlab.packed import ENDING, PackedFile, Source, read_header, write_packed
from ctlab.volume import Labels, Volume
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.ctlab.samples import chest
from tests.ctlab.test_geometry import rotation

SOURCES = (Source("ct.nii.gz", 123, 456), Source("label.nii.gz", 7, 8))
TABLE = {"1": {"en": "right lung", "ja": "右肺"}, "2": "left lung"}


def write(path: Path, ct: Volume | None = None, labels: Labels | None = None) -> Path:
    write_packed(path, ct or chest().ct, labels or chest().labels, TABLE, SOURCES)
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return write(tmp_path / f"case 7{ENDING}")


def test_what_was_packed_is_read_back(path):
    case = open_case(path)
    ct, labels = case.load()

    assert case.name == ct.name == labels.name == "case 7"
    assert np.array_equal(ct.voxels, chest().ct.voxels)
    assert np.array_equal(labels.voxels, chest().labels.voxels)
    assert np.array_equal(ct.geometry.affine, chest().ct.geometry.affine)
    assert ct.geometry.stored == chest().ct.geometry.stored
    assert (ct.voxels.dtype, labels.voxels.dtype) == (np.int16, np.uint8)
    assert np.array_equal(case.ct.voxels, ct.voxels)
    assert np.array_equal(case.labels.voxels, labels.voxels)
    case.packed.verify()


def test_it_says_where_it_came_from_and_what_it_holds(path, monkeypatch):
    header = read_header(path)

    assert header.sources == SOURCES
    assert header.label_voxels == {value: int((chest().labels.voxels == value).sum()) for value in (1, 2, 3)}
    assert open_case(path).labels.names == {1: "right lung", 2: "left lung"}
    monkeypatch.setenv("LANGUAGE", "ja")
    assert open_case(path).labels.names == {1: "右肺", 2: "left lung"}


def test_another_program_reads_the_same(path):
    group = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")

    assert np.array_equal(group["image"][:], chest().ct.voxels)
    assert np.array_equal(group["labels"][:], chest().labels.voxels)
    for axis, letter in enumerate("xyz"):
        middle = [chest().ct.geometry.shape[axis] // 2]
        assert np.array_equal(group[f"image-{letter}"][:], chest().ct.voxels.take(middle, axis))
        assert np.array_equal(group[f"labels-{letter}"][:], chest().labels.voxels.take(middle, axis))
    assert np.allclose(group.attrs["ctlab"]["affine"], chest().ct.geometry.affine)


def test_the_same_case_gives_the_same_bytes(path, tmp_path):
    assert path.read_bytes() == write(tmp_path / f"again{ENDING}").read_bytes()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Volume, Labels]:
    """Any shape, place and kind of content: noise, one value, the extremes of int16."""
    shape = draw(st.tuples(*[st.integers(1, 70)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = draw(st.sampled_from([(-32768, 32767), (-1000, 400), (0, 0), (-1024, -1024)]))
    hu = rng.integers(low, high, shape, np.int16, endpoint=True)
    if draw(st.booleans()):
        hu[: shape[0] // 2] = -1024
    labels = (rng.random(shape) < 0.1).astype(np.uint8) * draw(st.integers(0, 255))
    affine = np.eye(4)
    affine[:3, :3] = rotation(*draw(st.tuples(*[st.floats(-30, 30)] * 3))) * draw(st.tuples(*[st.floats(0.2, 8)] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-2000, 2000)] * 3))
    geometry = Geometry(shape, affine, draw(st.sampled_from(["RAS", "LPS", "PIR"])))
    return Volume(hu, geometry, "case"), Labels(labels, geometry, "case")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cases(), st.data())
def test_any_patch_of_any_case_is_as_it_was(tmp_path, case, data):
    ct, labels = case
    packed = PackedFile(write(tmp_path / f"any{ENDING}", ct, labels), "case")
    start = tuple(data.draw(st.integers(0, length - 1)) for length in ct.geometry.shape)
    size = tuple(data.draw(st.integers(1, n - a)) for a, n in zip(start, ct.geometry.shape, strict=True))
    box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    hu, marks = packed.patch(start, size)

    assert np.array_equal(hu, ct.voxels[box])
    assert np.array_equal(marks, labels.voxels[box])
    assert packed.header.geometry.fits(ct.geometry)
    for axis in range(3):
        middle = [ct.geometry.shape[axis] // 2]
        kept = packed.middle(axis)
        assert all(np.array_equal(one, other.voxels.take(middle, axis)) for one, other in zip(kept, case, strict=True))
    packed.verify()


@cache
def intact() -> bytes:
    """A case's bytes, with more than one block on each axis."""
    rng = np.random.default_rng(1)
    geometry = Geometry((70, 66, 40), np.diag([1.0, 1.0, 1.0, 1.0]))
    hu = rng.integers(-1000, 400, geometry.shape, np.int16)
    labels = (hu > 300).astype(np.uint8)
    with TemporaryDirectory() as folder:
        path = write(Path(folder) / f"a{ENDING}", Volume(hu, geometry, "a"), Labels(labels, geometry, "a"))
        return path.read_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damage_is_noticed_and_never_gives_wrong_voxels(tmp_path, data):
    """Whatever bytes are changed, cut off or doubled: all voxels are right, or there is a sentence."""
    content = bytearray(intact())
    kind = data.draw(st.sampled_from(["flip", "zero", "cut", "swap"]))
    at = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "zero":
        content[at : at + 4096] = bytes(len(content[at : at + 4096]))
    elif kind == "cut":
        del content[at:]
    else:
        other = data.draw(st.integers(0, len(content) - 1))
        content[at : at + 512], content[other : other + 512] = content[other : other + 512], content[at : at + 512]
    path, good = tmp_path / f"bad{ENDING}", tmp_path / f"good{ENDING}"
    path.write_bytes(content)
    good.write_bytes(intact())
    whole = PackedFile(good, "a")
    size = whole.header.shape
    packed = found = None
    with contextlib.suppress(DamagedError):
        packed = PackedFile(path, "case 7")
        found = packed.patch((0, 0, 0), size)
    if found is None:
        event("refused")
        return
    if packed.header == whole.header:
        event("not touched")
        assert all(np.array_equal(one, other) for one, other in zip(found, whole.patch((0, 0, 0), size), strict=True))
    else:
        # Words that no voxel depends on may differ: a name, a time.
        assert packed.header.shape == size


def test_a_damaged_block_does_not_spoil_the_others(tmp_path):
    path = tmp_path / f"a{ENDING}"
    path.write_bytes(intact())
    shape = PackedFile(path, "a").header.shape
    first = PackedFile(path, "a").patch((0, 0, 0), (8, 8, 8))
    content = bytearray(intact())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    packed = PackedFile(path, "a")

    assert all(np.array_equal(one, other) for one, other in zip(packed.patch((0, 0, 0), (8, 8, 8)), first, strict=True))
    with pytest.raises(DamagedError):
        packed.patch((0, 0, 0), shape)
    with pytest.raises(DamagedError):
        packed.verify()


def middles_of(path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as archive:
        return [each for each in archive.infolist() if "-" in each.filename.partition("/")[0] and "/c/" in each.filename]


@pytest.mark.parametrize("number", range(6))
def test_a_damaged_middle_slice_is_no_picture(path, number):
    member = middles_of(path)[number]
    with path.open("r+b") as file:
        file.seek(member.header_offset + 100)
        byte = file.read(1)[0]
        file.seek(member.header_offset + 100)
        file.write(bytes([byte ^ 1]))
    packed = PackedFile(path, "case 7")
    with pytest.raises(DamagedError):
        packed.middle(number // 2)
    with pytest.raises(DamagedError):
        packed.verify()


def test_a_middle_slice_of_another_case_is_found_out(path, tmp_path):
    ct, labels = chest().ct, chest().labels
    other = write(tmp_path / f"other{ENDING}", replace(ct, voxels=ct.voxels + np.int16(1)), labels)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other) as second:
        members = {name: (second if name.startswith("image-y/") else archive).read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(DamagedError):
        PackedFile(path, "case 7").verify()


def test_a_case_that_was_packed_without_middle_slices_is_read_as_before(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if "-" not in name.partition("/")[0]}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    packed = PackedFile(path, "case 7")
    assert packed.middle(0) is None
    packed.verify()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_is_no_packed_case_is_refused(tmp_path, monkeypatch, language):
    monkeypatch.setenv("LANGUAGE", language)
    path = tmp_path / f"x{ENDING}"
    for content in (b"", b"PK", b"patient;date\n" * 9999):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="case 7"):
            PackedFile(path, "case 7")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", json.dumps({"attributes": {}}))
    with pytest.raises(DamagedError, match="case 7"):
        PackedFile(path, "case 7")
    with pytest.raises(UnreadableError, match="case 7"):
        PackedFile(tmp_path / "gone", "case 7")


def with_header(path: Path, **changes: object) -> Path:
    """The packed file with other words in its header."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    group = json.loads(members["zarr.json"])
    group["attributes"]["ctlab"].update(changes)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"zarr.json": json.dumps(group).encode()}).items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [10**9, 10**9, 10**9]},
        {"shape": [16384, 16384, 16384]},
        {"shape": [0, 1, 1]},
        {"shape": [1, 1]},
        {"block": [16384, 16384, 1]},
        {"block": [1, 1, 1]},
        {"affine": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, float("nan"), 0], [0, 0, 0, 1]]},
        {"stored": "left"},
        {"image_fill": 10**6},
        {"format": 2},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_header_that_lies_is_refused_before_memory_is_asked_for(path, changes):
    with pytest.raises(DamagedError):
        PackedFile(with_header(path, **changes), "case 7")


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 70_000)), max_size=30))
def test_every_place_is_in_one_run(places):
    runs = runs_of(places)

    assert sorted(place for run in runs for place in run) == sorted(set(places))
    assert all(len(run) == 1 or sum(run[-1]) - run[0][0] <= LONGEST_RUN for run in runs)


def test_several_threads_may_read_at_once(path):
    from concurrent.futures import ThreadPoolExecutor

    packed = PackedFile(path, "a")
    draw = np.random.default_rng(1)
    starts = [tuple(int(draw.integers(length - 7)) for length in packed.header.shape) for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda start: packed.patch(start, (8, 8, 8)), starts))

    for (hu, _), (x, y, z) in zip(found, starts, strict=True):
        assert np.array_equal(hu, chest().ct.voxels[x : x + 8, y : y + 8, z : z + 8])
