"""A series out of a folder: what a scanner sends, and every way in which it arrives broken."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from ctlab.cohort import open_case
from ctlab.errors import (
    CtlabError,
    DuplicateSliceError,
    HounsfieldError,
    MissingSliceError,
    MixedSeriesError,
    SkewError,
    SpacingError,
    UnreadableError,
)
from ctlab.readers import load
from ctlab.slices import HEADER_BYTES, read_slices
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from tests.ctlab.samples import LPS, REAL, chest, move, series, write_series


def check_is_the_chest(volume) -> None:
    assert np.array_equal(volume.voxels, chest().ct.voxels)
    assert volume.geometry.fits(chest().ct.geometry)


def test_slices_are_put_in_the_order_of_the_patient(tmp_path):
    volume = load(write_series(tmp_path, series()))

    check_is_the_chest(volume)
    assert volume.geometry.stored == "LPS"


def test_another_program_reads_the_same(tmp_path):
    volume = load(write_series(tmp_path, series()))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    theirs = reader.Execute()

    place = (LPS @ (volume.geometry.affine @ (20, 5, 12, 1))[:3]).tolist()
    index = theirs.TransformPhysicalPointToIndex(place)
    assert theirs[index] == volume.voxels[20, 5, 12]
    assert theirs.TransformIndexToPhysicalPoint(index) == pytest.approx(place, abs=0.01)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (2, -1000), (0.5, -1024)])
def test_stored_values_become_hu(tmp_path, slope, intercept):
    volume = load(write_series(tmp_path, series(slope=slope, intercept=intercept)))

    assert np.abs(volume.voxels - chest().ct.voxels).max() <= slope / 2


def test_each_slice_may_have_its_own_slope(tmp_path):
    one, other = series(), series(slope=0.5, intercept=0)
    for made, model in zip(one[::2], other[::2], strict=True):
        made.RescaleSlope, made.RescaleIntercept, made.PixelData = model.RescaleSlope, model.RescaleIntercept, model.PixelData

    check_is_the_chest(load(write_series(tmp_path, one)))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=["RLE", "JPEG 2000", "JPEG-LS"])
def test_compressed_slices(tmp_path, syntax):
    for path in sorted((REAL / "chest-dicom" / "dicom").iterdir())[:10]:
        made = pydicom.dcmread(path)
        made.compress(syntax, generate_instance_uid=False)
        made.save_as(tmp_path / path.name)
    volume = load(tmp_path)

    assert pydicom.dcmread(tmp_path / path.name).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(volume.voxels, open_case(REAL / "chest-dicom").ct.voxels[:, :, :10])


def write_multi_frame(folder: Path, slices: list[Dataset], **settings: object) -> Path:
    """All slices in one file, as highdicom converts them."""
    for made in slices:
        made.PatientBirthDate = made.PatientSex = made.AccessionNumber = made.StudyID = ""
        made.StudyDate = made.StudyTime = made.ReferringPhysicianName = made.Manufacturer = ""
        made.AcquisitionNumber, made.SeriesNumber, made.BodyPartExamined = 1, 1, "CHEST"
        made.PixelRepresentation = 0  # highdicom compresses only these; none of the values is negative
    folder.mkdir(parents=True, exist_ok=True)
    made = LegacyConvertedEnhancedCTImage(slices, generate_uid(), 2, generate_uid(), 1, **settings)
    made.save_as(folder / "all.dcm")
    return folder


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless], ids=["plain", "JPEG-LS"])
def test_a_multi_frame_file_is_a_series_too(tmp_path, syntax):
    check_is_the_chest(load(write_multi_frame(tmp_path, series(), transfer_syntax_uid=syntax)))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_frames_are_checked_as_slices_are(tmp_path):
    slices = series()
    slices.pop(5)

    with pytest.raises(MissingSliceError, match=r"slices are missing \(1\).* between all\.dcm \[\d+\] and all\.dcm \[\d+\]"):
        load(write_multi_frame(tmp_path, slices))


def turned_head_first_prone(slices: list[Dataset]) -> None:
    """The same patient, scanned lying on the front: rows run to the front, columns to the right."""
    for made in slices:
        rows, columns = made.Rows, made.Columns
        made.PixelData = made.pixel_array[::-1, ::-1].copy().tobytes()
        made.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        move(made, x=(columns - 1) * made.PixelSpacing[1], y=(rows - 1) * made.PixelSpacing[0])


def test_a_patient_lying_on_the_front(tmp_path):
    slices = series()
    turned_head_first_prone(slices)
    volume = load(write_series(tmp_path, slices))

    check_is_the_chest(volume)
    assert volume.geometry.stored == "RAS"


def test_coronal_slices(tmp_path):
    """Reformatted: rows run to the left, columns to the feet, slices from the front to the back."""
    there, first = chest().ct, series()
    width, height, depth = there.geometry.shape
    uid = generate_uid()
    slices = []
    for index in range(height):
        made = deepcopy(first[0])
        made.SeriesInstanceUID = uid
        made.Rows, made.Columns = depth, width
        made.PixelSpacing = [there.geometry.spacing[2], there.geometry.spacing[0]]
        made.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        corner = LPS @ (there.geometry.affine @ (width - 1, height - 1 - index, depth - 1, 1))[:3]
        made.ImagePositionPatient = [round(float(value), 4) for value in corner]
        made.PixelData = (there.voxels[::-1, height - 1 - index, ::-1].T + 1024).astype("<i2").tobytes()
        slices.append(made)
    volume = load(write_series(tmp_path, slices, [f"{index}.dcm" for index in range(height)]))

    check_is_the_chest(volume)
    assert volume.geometry.stored == "LIP"


def test_reports_scouts_and_leftovers_beside_a_series_are_left_out(tmp_path):
    slices = series()
    scout, report = series()[0], series()[0]
    scout.ImageType, scout.SeriesInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], generate_uid()
    report.Modality, report.SeriesInstanceUID = "SR", generate_uid()
    write_series(tmp_path, [scout, report], ["scout.dcm", "report.dcm"])
    (tmp_path / "readme.txt").write_text("exported on Monday")
    (tmp_path / "DICOMDIR").write_bytes(b"index")
    (tmp_path / "._I000.dcm").write_bytes(b"left by another system")
    (tmp_path / "thumbnails").mkdir()

    check_is_the_chest(load(write_series(tmp_path, slices)))


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path):
    slices = series()
    for index, made in enumerate(slices):
        made.ImagePositionPatient = [-200, -200, round(0.625 * index, 1)]

    assert load(write_series(tmp_path, slices)).geometry.spacing[2] == pytest.approx(0.625, abs=0.01)


Break = Callable[[list[Dataset]], object]


def each(slices: list[Dataset], **values: object) -> None:
    for made in slices:
        for name, value in values.items():
            setattr(made, name, value)


def without(slices: list[Dataset], name: str) -> None:
    for made in slices:
        del made[name]


def other_series(slices: list[Dataset]) -> None:
    each(slices[:4], SeriesInstanceUID=generate_uid(), SeriesDescription="Bone 1.0")


def other_size(slices: list[Dataset]) -> None:
    slices[0].Columns -= 1
    slices[0].PixelData = slices[0].PixelData[: slices[0].Rows * slices[0].Columns * 2]


def tilted_gantry(slices: list[Dataset]) -> None:
    for index, made in enumerate(slices):
        move(made, y=index * float(made.SliceThickness) / 2 * np.tan(np.radians(15)))


def drifting(slices: list[Dataset]) -> None:
    for index, made in enumerate(slices):
        move(made, z=0.8 * max(0, index - 8))  # 4 % of a step, again and again


def colour(slices: list[Dataset]) -> None:
    for made in slices:
        made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
        made.BitsAllocated = made.BitsStored = 8
        made.HighBit, made.PixelRepresentation = 7, 0
        made.PixelData = bytes(made.Rows * made.Columns * 3 + made.Rows * made.Columns * 3 % 2)


TURNED = [0, 1, 0, -1, 0, 0]

BROKEN: dict[str, tuple[Break, type[CtlabError], str]] = {
    "a slice is missing": (lambda s: s.pop(5), MissingSliceError, r"missing \(1\); .* between I028\.dcm and I035\.dcm"),
    "some slices are missing": (lambda s: [s.pop(5), s.pop(5), s.pop(9)], MissingSliceError, r"slices are missing \(3\)"),
    "a slice twice": (lambda s: s.append(s[3]), DuplicateSliceError, r"I019\.dcm and I021\.dcm lie at the same place \(1 "),
    "two series": (other_series, MixedSeriesError, r"mixes 2 series: Chest 1\.0 \(13\); Bone 1\.0 \(4\)"),
    "one slice of another size": (other_size, MixedSeriesError, r"I000\.dcm differs from the other slices"),
    "one slice turned": (lambda s: each(s[4:5], ImageOrientationPatient=TURNED), MixedSeriesError, r"I028\.dcm differs"),
    "one slice magnified": (lambda s: each(s[4:5], PixelSpacing=[1, 1]), MixedSeriesError, r"I028\.dcm differs"),
    "one slice shifted sideways": (lambda s: move(s[4], x=30), MixedSeriesError, r"I028\.dcm lies 30\.0 mm beside"),
    "a tilted gantry": (tilted_gantry, SkewError, r"shifted against each other by 15\.0°.*gantry"),
    "one distance differs": (lambda s: move(s[4], z=5), SpacingError, r"distances between slices differ \(14\.4. to 24\.4. mm\)"),
    "distances that grow": (drifting, SpacingError, "distances between slices differ"),
    "one slice only": (lambda s: s.__delitem__(slice(1, None)), UnreadableError, "only one slice"),
    "no CT": (lambda s: each(s, Modality="MR"), UnreadableError, "holds no CT slices in DICOM format"),
    "frames that nothing is said of": (lambda s: each(s, NumberOfFrames=2), UnreadableError, "can't be decoded"),
    "no slope": (lambda s: without(s, "RescaleSlope"), HounsfieldError, "rescale slope and intercept"),
    "an empty slope": (lambda s: each(s, RescaleSlope=None), HounsfieldError, "rescale slope and intercept"),
    "not in HU": (lambda s: each(s, RescaleType="Z_EFF"), HounsfieldError, "rescale slope and intercept"),
    "the offset forgotten": (lambda s: each(s, RescaleIntercept=0), HounsfieldError, "about 1000 too high"),
    "no position": (lambda s: without(s, "ImagePositionPatient"), UnreadableError, "where its slice lies"),
    "an empty position": (lambda s: each(s, ImagePositionPatient=None), UnreadableError, "where its slice lies"),
    "no orientation": (lambda s: each(s, ImageOrientationPatient=[0] * 6), UnreadableError, "where its slice lies"),
    "no pixel spacing": (lambda s: without(s, "PixelSpacing"), UnreadableError, "where its slice lies"),
    "cut off": (lambda s: each(s[6:7], PixelData=bytes(100)), UnreadableError, r"I042\.dcm can't be decoded; .* incomplete"),
    "a colour picture": (colour, HounsfieldError, "colour picture"),
}
"""What is done to a good series, the error that names it, and words of its sentence."""


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_series_is_refused_in_words(tmp_path, monkeypatch, fault, language):
    monkeypatch.setenv("LANGUAGE", language)
    break_it, kind, words = BROKEN[fault]
    slices = series()
    break_it(slices)
    write_series(tmp_path, slices)

    with pytest.raises(CtlabError) as refused:
        load(tmp_path, "case 7")
    sentence = str(refused.value)
    assert type(refused.value) is kind
    if language == "en":
        assert re.search(f"^case 7: .*{words}", sentence)
        assert re.search(r"[.] [A-Z]|; ", sentence), "what to do next"
    else:
        assert sentence.startswith("case 7：")
        assert sentence.endswith("。")


def test_a_broken_file_at_the_end_of_the_stack_is_not_passed_over(tmp_path):
    write_series(tmp_path, series(), [f"I{index:03d}.dcm" for index in range(17)])
    (tmp_path / "I016.dcm").write_bytes(b"")

    with pytest.raises(UnreadableError, match=r"I016\.dcm can't be decoded"):
        load(tmp_path)


def with_a_long_value(made: Dataset) -> None:
    """A maker's own block before all that says where the slice lies."""
    made.add_new(0x00090010, "LO", "MAKER")
    made.add_new(0x00091001, "OB", bytes(2 * HEADER_BYTES))


def with_a_long_sequence(made: Dataset) -> None:
    """The same in a sequence that doesn't say how long it is."""
    item = Dataset()
    with_a_long_value(item)
    made.ReferencedImageSequence = [item]
    made["ReferencedImageSequence"].is_undefined_length = True


def with_an_icon(made: Dataset) -> None:
    """A small picture, pixels and all, before the picture itself."""
    icon = Dataset()
    icon.Rows = icon.Columns = 128
    icon.PixelData = bytes(128 * 128 * 2)
    icon["PixelData"].VR = "OW"
    made.add_new(0x00090010, "LO", "MAKER")
    made.add_new(0x00091002, "SQ", [icon])


LONG = pytest.mark.parametrize("long", [with_a_long_value, with_a_long_sequence, with_an_icon])


@LONG
def test_headers_that_are_longer_than_what_is_read_at_first(tmp_path, long):
    slices = series()
    for made in slices:
        long(made)
    check_is_the_chest(load(write_series(tmp_path, slices)))


@LONG
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_long_header_that_breaks_off_at_an_end_of_the_stack_is_not_passed_over(tmp_path, long):
    slices = series()
    long(slices[16])
    write_series(tmp_path, slices, [f"I{index:03d}.dcm" for index in range(17)])
    path = tmp_path / "I016.dcm"
    path.write_bytes(path.read_bytes()[: HEADER_BYTES + 500])

    with pytest.raises(CtlabError, match=r"I016\.dcm"):
        load(tmp_path)


def test_a_header_costs_one_opening_and_one_read(tmp_path, monkeypatch):
    asked: list[tuple[object, ...]] = []
    find, look, stat = os.open, os.pread, os.stat
    write_series(tmp_path, series())
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda path, *more: asked.append(("open", Path(path).name)) or find(path, *more))
        patch.setattr(os, "pread", lambda file, length, at: asked.append(("read", length, at)) or look(file, length, at))
        patch.setattr(os, "stat", lambda path, **more: asked.append(("stat", path)) or stat(path, **more))
        found = read_slices(tmp_path, "chest")

    expected = [("open", each.path.name) for each in found] + [("read", HEADER_BYTES, 0)] * 17
    assert sorted(asked, key=str) == sorted(expected, key=str)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UnreadableError, match="holds no CT slices"):
        load(tmp_path)


def test_a_notebook_shows_the_sentence_alone(tmp_path):
    with pytest.raises(UnreadableError) as refused:
        load(tmp_path, "case 7")

    assert refused.value._render_traceback_() == [str(refused.value)]
