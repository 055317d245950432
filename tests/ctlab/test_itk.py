"""NRRD and MHA: as others write them, and what their headers leave out or lie about."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from ctlab.errors import UnreadableError
from ctlab.readers import load, load_labels

from tests.ctlab.samples import chest, image


def write(path: Path, array: np.ndarray, stored: str = "LPS", *, compressed: bool = True) -> Path:
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image(array, chest().ct.geometry), stored), path, useCompression=compressed)
    return path


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize(("stored", "compressed"), [("LPS", True), ("RAS", False), ("PIR", True)])
def test_left_stays_left(tmp_path, ending, stored, compressed):
    ct = load(write(tmp_path / f"case 7.{ending}", chest().ct.voxels, stored, compressed=compressed))
    labels = load_labels(write(tmp_path / f"label.{ending}", chest().labels.voxels, stored, compressed=compressed))

    assert ct.name == "case 7"
    assert np.array_equal(ct.voxels, chest().ct.voxels)
    assert np.array_equal(labels.voxels, chest().labels.voxels)
    assert ct.geometry.fits(chest().ct.geometry)
    assert ct.geometry.stored == stored
    labels.check_fits(ct)


def other_header(path: Path, pattern: bytes, instead: bytes) -> None:
    content = path.read_bytes()
    changed = re.sub(pattern, instead, content, count=1)
    assert changed != content
    path.write_bytes(changed)


NRRD = {
    "no place": (rb"space directions: [^\n]*\n", b"", "where its voxels lie"),
    "no origin": (rb"space origin: [^\n]*\n", b"", "where its voxels lie"),
    "a space of no patient": (rb"space: [^\n]*", b"space: scanner-xyz", "where its voxels lie"),
    "spacing that is no number": (rb"space directions: \([^)]*\)", b"space directions: (nan,0,0)", r"lie|can't be read"),
    "no spacing": (rb"space directions: \([^)]*\)", b"space directions: (0,0,0)", r"lie|can't be read"),
    "voxels in another file": (rb"encoding: ", b"data file: /etc/passwd\nencoding: ", "in several files"),
    "as large as the moon": (rb"sizes: [^\n]*", b"sizes: 60000 60000 60000", "can't be"),
    "larger than its file": (rb"sizes: [^\n]*", b"sizes: 1024 1024 1000", "can't be"),
    "no sizes": (rb"sizes: [^\n]*\n", b"", "can't be read"),
    "another kind": (rb"NRRD", b"PNG\n", "can't be read"),
}
MHA = {
    "no spacing": (rb"ElementSpacing = [^\n]*\n", b"", "where its voxels lie"),
    "no origin": (rb"(Offset|Position|Origin) = [^\n]*\n", b"", "where its voxels lie"),
    "spacing that is no number": (rb"ElementSpacing = \S+", b"ElementSpacing = nan", r"lie|can't be read"),
    "voxels in another file": (rb"ElementDataFile = LOCAL", b"ElementDataFile = /etc/passwd", "in several files"),
    "as large as the moon": (rb"DimSize = [^\n]*", b"DimSize = 60000 60000 60000", "can't be"),
    "larger than its file": (rb"DimSize = [^\n]*", b"DimSize = 1024 1024 1000", "can't be"),
    "another kind": (rb"ObjectType = ", b"\x89PNG", "can't be read"),
}
BROKEN = [(ending, *each) for ending, table in (("nrrd", NRRD), ("mha", MHA)) for each in table.items()]


@pytest.mark.parametrize(("ending", "change"), [(e, c) for e, _, c in BROKEN], ids=[f"{e}: {fault}" for e, fault, _ in BROKEN])
def test_a_header_that_lies_is_refused(tmp_path, ending, change):
    pattern, instead, words = change
    path = write(tmp_path / f"ct.{ending}", chest().ct.voxels)
    other_header(path, pattern, instead)

    with pytest.raises(UnreadableError, match=rf"^case 7: .*({words})"):
        load(path, "case 7")


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_file_that_breaks_off_is_refused(tmp_path, ending):
    path = write(tmp_path / f"ct.{ending}", chest().ct.voxels)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    with pytest.raises(UnreadableError, match=r"^case 7: "):
        load(path, "case 7")
    path.write_bytes(b"")
    with pytest.raises(UnreadableError, match=r"^case 7: "):
        load(path, "case 7")


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_several_channels_are_refused(tmp_path, ending):
    one = image(chest().ct.voxels, chest().ct.geometry)
    SimpleITK.WriteImage(SimpleITK.Compose(one, one), tmp_path / f"ct.{ending}")

    with pytest.raises(UnreadableError, match="has 4 axes"):
        load(tmp_path / f"ct.{ending}")
