"""What a viewer takes of memory, as docs/architecture.md says it: in a process of its own that opens a CT and leafs through it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ctlab.packed import ENDING, write_packed
from ctlab.volume import Labels, Volume

from bench import viewer_cases

pytestmark = pytest.mark.slow

BESIDE_MIB = 128
"""Beside the voxels as they are kept, for slices of 256 x 256; what is read at once grows with a slice, not with their number."""
PADDING = -2000
"""As scanners fill what they didn't see."""


@pytest.fixture(scope="module")
def case() -> tuple[Volume, Labels]:
    """A chest of 75 MiB: one copy of it too many is more than may be beside it, with what is there anyway."""
    ct, labels = viewer_cases.case(600, times=2)
    voxels = ct.voxels.copy()
    voxels[:8] = voxels[-8:] = PADDING
    return replace(ct, voxels=voxels), labels


def leafed(path: Path) -> dict[str, object]:
    """What `bench.viewer_leaf` says of it."""
    argv = [sys.executable, "-m", "bench.viewer_leaf", "--every", "8", str(path)]
    found: dict[str, object] = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
    return found


def test_a_packed_case(case, tmp_path):
    path = tmp_path / f"case{ENDING}"
    write_packed(path, *case, {"1": "lung"}, ())
    told = leafed(path)
    assert (told["kept"], told["mib_voxels"]) == (["int16", "uint8"], 112)
    assert told["mib_beside"] <= BESIDE_MIB


def test_a_dicom_series(case, tmp_path):
    told = leafed(viewer_cases.series(tmp_path, case[0]))
    assert (told["kept"], told["mib_voxels"]) == (["int16"], 75)
    assert told["mib_beside"] <= BESIDE_MIB


def test_another_file_has_its_voxels_once_more_while_it_is_read(case, tmp_path):
    told = leafed(viewer_cases.compressed(tmp_path, case[0]))
    assert (told["kept"], told["mib_voxels"]) == (["int16"], 75)
    assert told["mib_beside"] <= BESIDE_MIB + told["mib_voxels"]
