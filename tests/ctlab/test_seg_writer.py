"""DICOM segmentations, read back by highdicom's and pydicom's own readers: every segment lies on the slices it was drawn on."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from ctlab.errors import SegmentationError
from ctlab.readers import load
from ctlab.seg_writer import Maker, write_seg
from ctlab.segcodes import meaning
from ctlab.volume import Labels
from pydicom.uid import SegmentationStorage

from tests.ctlab.samples import chest, series, write_series

NAMES = {1: "right lung", 2: "left lung", 3: "炎症"}
MAKER = Maker("1.2", "vnet", "ab" * 32)


@pytest.fixture
def folder(tmp_path):
    return write_series(tmp_path / "series", series())


def labels(folder, voxels=None) -> Labels:
    ct = load(folder, "case 7")
    return Labels(chest().labels.voxels if voxels is None else voxels, ct.geometry, "case 7", NAMES)


def test_each_segment_lies_on_the_slice_it_was_drawn_on(folder, tmp_path):
    seg = highdicom.seg.segread(write_seg(tmp_path / "out" / "case.seg.dcm", labels(folder), folder, MAKER))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    headers.sort(key=lambda header: header.ImagePositionPatient[2])
    uids = [header.SOPInstanceUID for header in headers]
    frames = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)

    # DICOM's slices have rows to the back and columns to the patient's left; ours run to the front and to the right.
    expected = chest().labels.voxels[::-1, ::-1].transpose(2, 1, 0)
    assert np.array_equal(frames, expected)


def test_a_viewer_finds_the_place_by_the_segmentation_alone(folder, tmp_path):
    label = labels(folder)
    seg = highdicom.seg.segread(write_seg(tmp_path / "case.seg.dcm", label, folder, MAKER))
    volume = seg.get_volume(combine_segments=True).to_patient_orientation("LPH")
    # highdicom's affine is in LPS+; its axes now run to the left, the back and the head.
    voxels = volume.array[::-1, ::-1]
    occupied = np.argwhere(label.voxels)
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    placed = label.voxels[:, :, low[2] : high[2]]
    assert np.array_equal(voxels, placed)
    first = volume.affine @ [voxels.shape[0] - 1, voxels.shape[1] - 1, 0, 1]
    ours = label.geometry.affine @ [0, 0, low[2], 1]
    np.testing.assert_allclose(first[:3] * [-1, -1, 1], ours[:3], atol=1e-3)


def test_it_says_what_it_is_whose_and_what_made_it(folder, tmp_path):
    source = pydicom.dcmread(next(folder.iterdir()), stop_before_pixels=True)
    seg = pydicom.dcmread(write_seg(tmp_path / "case.seg.dcm", labels(folder), folder, MAKER))

    assert (seg.SOPClassUID, seg.Modality, seg.SegmentationType) == (SegmentationStorage, "SEG", "BINARY")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert getattr(seg, keyword) == getattr(source, keyword), keyword
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert [item.SegmentLabel for item in seg.SegmentSequence] == list(NAMES.values())
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [1, 2, 3]
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("ctlab vnet", "1.2")
    assert MAKER.model in algorithm.AlgorithmParameters
    assert seg.LossyImageCompression == "00" if "LossyImageCompression" in seg else True


def test_labels_with_gaps_between_their_numbers_become_segments_1_2(folder, tmp_path):
    voxels = chest().labels.voxels.copy()
    voxels[voxels == 1] = 0
    seg = highdicom.seg.segread(write_seg(tmp_path / "case.seg.dcm", labels(folder, voxels), folder, MAKER))
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["left lung", "炎症"]
    assert seg.get_volume(combine_segments=True).array.max() == 2


def test_other_series_beside_it_are_passed_over(folder, tmp_path):
    label = labels(folder)
    other = series()
    for made in other:
        made.Modality, made.ImagePositionPatient = "CT", [0, 0, float(made.ImagePositionPatient[2])]
    write_series(folder, other, [f"other-{index}.dcm" for index in range(len(other))])
    (folder / "notes.txt").write_text("nothing")
    assert write_seg(tmp_path / "case.seg.dcm", label, folder, MAKER).is_file()


def test_headers_without_what_anonymisers_remove_are_enough(tmp_path):
    slices = series()
    for made in slices:
        del made.PatientName, made.PatientID
    folder = write_series(tmp_path / "series", slices)
    seg = pydicom.dcmread(write_seg(tmp_path / "case.seg.dcm", labels(folder), folder, MAKER))
    assert (str(seg.PatientName), seg.PatientID) == ("", "")


def test_a_name_that_is_written_in_an_unusual_way_comes_into_no_log(tmp_path, caplog, recwarn):
    slices = series()
    for made in slices:
        made.PatientName = "Secret=a=b=c=d"
    folder = write_series(tmp_path / "series", slices)
    label = labels(folder)
    recwarn.clear()
    write_seg(tmp_path / "case.seg.dcm", label, folder, MAKER)
    assert not [each for each in recwarn if "Secret" in str(each.message)]
    assert "Secret" not in caplog.text


def test_names_of_another_encoding_arrive(tmp_path):
    slices = series()
    for made in slices:
        made.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        made.PatientName = "Yamada^Tarou=山田^太郎"
    folder = write_series(tmp_path / "series", slices)
    seg = pydicom.dcmread(write_seg(tmp_path / "case.seg.dcm", labels(folder), folder, MAKER))
    assert seg.SpecificCharacterSet == "ISO_IR 192"
    assert str(seg.PatientName) == "Yamada^Tarou=山田^太郎"


def test_nothing_found_writes_nothing(folder, tmp_path):
    with pytest.raises(SegmentationError, match="case 7: nothing was found"):
        write_seg(tmp_path / "case.seg.dcm", labels(folder, np.zeros_like(chest().labels.voxels)), folder, MAKER)
    assert not (tmp_path / "case.seg.dcm").exists()


def test_slices_of_another_place_are_not_referred_to(folder, tmp_path):
    label = labels(folder)
    for path in folder.iterdir():
        made = pydicom.dcmread(path)
        made.ImagePositionPatient = [float(made.ImagePositionPatient[0]) + 5, *made.ImagePositionPatient[1:]]
        made.save_as(path)
    with pytest.raises(SegmentationError, match="don't lie on the grid"):
        write_seg(tmp_path / "case.seg.dcm", label, folder, MAKER)


def test_a_slice_that_went_missing_is_noticed(folder, tmp_path):
    label = labels(folder)
    next(folder.iterdir()).unlink()
    with pytest.raises(SegmentationError, match="don't lie on the grid"):
        write_seg(tmp_path / "case.seg.dcm", label, folder, MAKER)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"])
def test_slices_that_nothing_can_refer_to_are_told(tmp_path, keyword):
    folder = write_series(tmp_path / "series", series())
    label = labels(folder)
    for path in folder.iterdir():
        made = pydicom.dcmread(path)
        setattr(made, keyword, "")
        made.save_as(path)
    with pytest.raises(SegmentationError, match=rf"headers of its slices are incomplete \({keyword}\)"):
        write_seg(tmp_path / "case.seg.dcm", label, folder, MAKER)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lung", "Lung"), ("Right Lung", "Lung"), ("左肺", "Lung"), ("lung inflammation", "Inflammation"),
        ("肺炎症", "Inflammation"),
        ("肝臓", "Liver"), ("右腎", "Kidney"), ("肺動脈", "Pulmonary artery"), ("urinary bladder", "Bladder"),
        ("delivery", "Tissue"),
        ("肺野の外", "Tissue"), ("label 7", "Tissue"), ("", "Tissue"),
    ],
)  # fmt: skip
def test_what_names_mean(name, said):
    assert meaning(name).kind.meaning == said
