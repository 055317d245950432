"""Files that would take the memory, or the time, of whoever believes them. Each is refused in words, with little memory."""

from __future__ import annotations

import gzip
import resource
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from ctlab.codestream import stated_size
from ctlab.errors import CtlabError, HounsfieldError, UnreadableError
from ctlab.limits import INFLATES_TO, LONGEST_SIDE, MOST_VOXELS, check_size
from ctlab.readers import load, series
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from tests.ctlab.samples import REAL, write_series
from tests.ctlab.samples import series as make_series


def refused(path: Path, words: str, kind: type[CtlabError] = UnreadableError) -> None:
    with pytest.raises(kind, match=rf"^case 7: .*({words})"):
        load(path, "case 7")


def nifti(path: Path, shape: tuple[int, ...], content: bytes, *, dtype: int = 4, pixdim: float = 1.0) -> Path:
    """A NIfTI-1 header, field by field, with whatever behind it."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([pixdim, 1, 1, 1]), code=1)
    raw = bytearray(header.binaryblock)
    struct.pack_into("<8h", raw, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<h", raw, 70, dtype)
    struct.pack_into("<f", raw, 108, 352.0)
    path.write_bytes(gzip.compress(bytes(raw) + bytes(4) + content))
    return path


@pytest.mark.parametrize(
    "shape", [(32767, 32767, 32767), (32767, 1, 1), (2000, 2000, 2000), (-5, 10, 10), (0, 10, 10), (1000, 1000, 1000)], ids=str
)
def test_a_nifti_that_states_what_it_can_not_hold(tmp_path, shape):
    refused(nifti(tmp_path / "ct.nii.gz", shape, b""), "can't be|can't be read|damaged")


@pytest.mark.parametrize("spacing", [float("nan"), float("inf"), 0.0], ids=str)
def test_a_nifti_whose_spacing_is_none(tmp_path, spacing):
    content = np.linspace(-1000, 1000, 1000, dtype="<i2").tobytes()
    refused(nifti(tmp_path / "ct.nii.gz", (10, 10, 10), content, pixdim=spacing), "where its voxels lie")


def test_a_bomb_takes_no_memory_beyond_what_its_header_states(tmp_path):
    """Some kilobytes that inflate to 128 MiB behind a small volume: only the volume is read."""
    path = nifti(tmp_path / "ct.nii.gz", (10, 10, 10), np.linspace(-1000, 1000, 1000, dtype="<i2").tobytes())
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(gzip.decompress(path.read_bytes())), *(packer.compress(bytes(2**20)) for _ in range(128))]
    path.write_bytes(b"".join(parts) + packer.flush())
    tracemalloc.start()
    ct = load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ct.geometry.shape == (10, 10, 10)
    assert peak < 2**24


def each(slices: list[Dataset], **values: object) -> None:
    for made in slices:
        for name, value in values.items():
            setattr(made, name, value)


def large(slices: list[Dataset]) -> None:
    each(slices, Rows=65535, Columns=65535)


def many(slices: list[Dataset]) -> None:
    each(slices, Rows=16000, Columns=16000)


def nan_spacing(slices: list[Dataset]) -> None:
    each(slices, PixelSpacing=["nan", "nan"])


def nan_position(slices: list[Dataset]) -> None:
    slices[3].ImagePositionPatient = ["nan", "0", "0"]


def nan_slope(slices: list[Dataset]) -> None:
    each(slices, RescaleSlope="nan")


def zero_slope(slices: list[Dataset]) -> None:
    each(slices, RescaleSlope=0)


def parallel(slices: list[Dataset]) -> None:
    each(slices, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])


def oblique(slices: list[Dataset]) -> None:
    each(slices, ImageOrientationPatient=[1, 0, 0, 0.9, 0.436, 0])


HOSTILE: dict[str, tuple[Callable[[list[Dataset]], None], str, type[CtlabError]]] = {
    "slices of 65535 x 65535": (large, "can't be", UnreadableError),
    "many large slices": (many, "can't be", UnreadableError),
    "spacing that is no number": (nan_spacing, "where its slice lies", UnreadableError),
    "position that is no number": (nan_position, "where its slice lies", UnreadableError),
    "slope that is no number": (nan_slope, "become HU", HounsfieldError),
    "slope of nothing": (zero_slope, "become HU", HounsfieldError),
    "rows along columns": (parallel, "where its slice lies", UnreadableError),
    "rows almost along columns": (oblique, "where its slice lies", UnreadableError),
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("fault", HOSTILE)
def test_dicom_headers_that_lie(tmp_path, fault):
    break_it, words, kind = HOSTILE[fault]
    slices = make_series()
    break_it(slices)

    refused(write_series(tmp_path, slices), words, kind)


def jpeg_2000(rows: int, columns: int) -> bytes:
    return b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 41, 0, columns, rows, 0, 0) + bytes(40)


def jpeg_ls(rows: int, columns: int) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xf7" + struct.pack(">HBHHB", 11, 16, rows, columns, 1) + bytes(20)


@pytest.mark.parametrize(
    ("syntax", "picture"),
    [(JPEG2000Lossless, jpeg_2000(60000, 60000)), (JPEGLSLossless, jpeg_ls(60000, 60000))],
    ids=["JPEG 2000", "JPEG-LS"],
)
def test_a_picture_larger_than_its_header_says_is_not_decoded(tmp_path, syntax, picture):
    slices = make_series()
    for made in slices:
        made.file_meta.TransferSyntaxUID = syntax
        made.PixelData = encapsulate([picture])
        made["PixelData"].is_undefined_length = True
    write_series(tmp_path, slices)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refused(tmp_path, "can't be decoded")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19, "KiB"


def test_a_file_that_is_compressed_as_a_whole_is_not_unpacked(tmp_path):
    slices = make_series()
    slices[2].file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    refused(write_series(tmp_path, slices), "compressed as a whole")


@pytest.mark.parametrize(("rows", "columns"), [(512, 512), (1, 65535), (100, 30)])
def test_the_size_that_a_codestream_states(rows, columns):
    assert stated_size(jpeg_2000(rows, columns)) == (rows, columns)
    assert stated_size(jpeg_ls(rows, columns)) == (rows, columns)


def test_the_size_of_real_pictures():
    from pydicom.encaps import generate_frames

    made = pydicom.dcmread(next((REAL / "chest-dicom" / "dicom").iterdir()))
    made.compress(JPEG2000Lossless, generate_instance_uid=False)

    assert stated_size(next(generate_frames(made.PixelData, number_of_frames=1))) == (64, 64)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xff"]))
def test_any_bytes_state_a_size_or_none(content, begin):
    found = stated_size(begin + content)

    assert found is None or len(found) == 2


@given(st.binary(max_size=600), st.sampled_from([b"", bytes(128) + b"DICM"]))
def test_any_bytes_are_a_slice_or_a_sentence(tmp_path_factory, content, begin):
    folder = tmp_path_factory.mktemp("any")
    (folder / "I000.dcm").write_bytes(begin + content)

    with pytest.raises(CtlabError):
        series(folder)


@given(st.lists(st.integers(-2, 2 * LONGEST_SIDE), max_size=4), st.integers(0, 2**40), st.none() | st.integers(0, 2**32))
def test_only_what_can_be_is_let_through(shape, stated, there):
    possible = bool(shape) and all(0 < side <= LONGEST_SIDE for side in shape) and np.prod(shape, dtype=object) <= MOST_VOXELS
    possible = possible and (there is None or stated <= there * INFLATES_TO)
    if possible:
        check_size("case", "file", shape, stated, there)
    else:
        with pytest.raises(UnreadableError):
            check_size("case", "file", shape, stated, there)
