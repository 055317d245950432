"""DICOM segmentations and structure sets: written by highdicom and pydicom as other programs would, read onto the CT's grid."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from ctlab.cohort import Cohort, open_case
from ctlab.dicom import Place
from ctlab.errors import CohortError, LabelError, UnreadableError
from ctlab.readers import load, load_labels, place
from ctlab.seg_writer import Maker
from ctlab.seg_writer import write_seg as write_seg_file
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests.ctlab.samples import LPS, chest, series, write_nifti, write_series

NAMES = ("Right lung", "left lung", "Inflammation ")
TABLE = {
    "1": {"en": "right lung", "ja": "右肺"},
    "2": {"en": "LEFT LUNG", "ja": "左肺"},
    "3": {"en": "lesion", "ja": "病変", "dicom": ["GTV-1", "inflammation"]},
}


def described(number: int, name: str) -> highdicom.seg.SegmentDescription:
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Lung,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def write_seg(path: Path, slices: list[Dataset], masks: np.ndarray, names=NAMES, kind="BINARY") -> Path:
    """`masks`: (slice, row, column, segment), in the order of `slices`. Empty frames are left out."""
    made = highdicom.seg.Segmentation(
        source_images=slices, pixel_array=masks, segmentation_type=kind,
        segment_descriptions=[described(number, name) for number, name in enumerate(names, 1)],
        series_instance_uid=generate_uid(), series_number=2, sop_instance_uid=generate_uid(), instance_number=1,
        manufacturer="somebody", manufacturer_model_name="a program", software_versions="1", device_serial_number="1",
    )  # fmt: skip
    made.save_as(path)
    return path


def complete(slices: list[Dataset]) -> list[Dataset]:
    """What highdicom asks of source images and a scanner sends too."""
    for made in slices:
        made.PatientBirthDate = made.PatientSex = made.AccessionNumber = made.StudyID = ""
        made.StudyDate = made.StudyTime = made.ReferringPhysicianName = ""
    return slices


def as_slices(voxels: np.ndarray) -> np.ndarray:
    """(x, y, z) in RAS+ → (slice, row, column), as `series` lays them."""
    return voxels[::-1, ::-1].transpose(2, 1, 0)


def label_masks() -> np.ndarray:
    return np.stack([as_slices(chest().labels.voxels == value) for value in (1, 2, 3)], axis=-1).astype(np.uint8)


@pytest.fixture
def case(tmp_path) -> Path:
    """A case with its series, and no labels yet."""
    write_series(tmp_path / "case 7" / "dicom", complete(series()))
    (tmp_path / "case 7" / "labels.json").write_text(json.dumps(TABLE), "utf-8")
    return tmp_path / "case 7"


def its_slices(case: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in (case / "dicom").iterdir()]
    return sorted(found, key=lambda each: each.ImagePositionPatient[2])


def write_rtstruct(path: Path, slices: list[Dataset], structures: dict[str, list[np.ndarray]], **changes: object) -> Path:
    """`structures`: name → closed contours, corners in mm (LPS+)."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = RTStructureSetStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.Modality, made.PatientID, made.PatientName = "RTSTRUCT", "0", "Phantom"
    made.StudyInstanceUID, made.SeriesInstanceUID = slices[0].StudyInstanceUID, generate_uid()
    frame, study, referred = Dataset(), Dataset(), Dataset()
    referred.SeriesInstanceUID = slices[0].SeriesInstanceUID
    study.RTReferencedSeriesSequence = [referred]
    frame.FrameOfReferenceUID = changes.get("frame", slices[0].FrameOfReferenceUID)
    frame.RTReferencedStudySequence = [study]
    made.ReferencedFrameOfReferenceSequence = [frame]
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame.FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "MANUAL"
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = changes.get("kind", "CLOSED_PLANAR"), len(points)
            contour.ContourData = [f"{value:.4f}" for value in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        made.StructureSetROISequence.append(roi)
        made.ROIContourSequence.append(drawn)
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return path


def outlines(mask: np.ndarray, geometry) -> list[np.ndarray]:
    """A closed contour around every row of voxels of `mask` (x, y, z): what any outline of them amounts to."""
    found = []
    for y, z in zip(*np.nonzero(mask.any(axis=0)), strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[:, y, z].astype(int), [0]]))) - 0.5
        for begin, end in edges.reshape(-1, 2):
            corners = [(begin, y - 0.5, z), (end, y - 0.5, z), (end, y + 0.5, z), (begin, y + 0.5, z)]
            found.append(np.array([(LPS @ (geometry.affine @ (*corner, 1))[:3]) for corner in corners]))
    return found


def test_a_segmentation_becomes_a_label_image(case):
    write_seg(case / "label.dcm", its_slices(case), label_masks())
    ct, labels = open_case(case).load()

    assert np.array_equal(labels.voxels, chest().labels.voxels)
    assert labels.names == {1: "right lung", 2: "LEFT LUNG", 3: "lesion"}
    assert ct.geometry.fits(chest().ct.geometry)


def test_what_is_written_as_a_segmentation_is_read_back(case):
    maker = Maker(version="1", algorithm="V-Net", model="0" * 64)
    labels = replace(chest().labels, geometry=load(case / "dicom").geometry, names={1: "right lung", 2: "LEFT LUNG", 3: "lesion"})
    write_seg_file(case / "label.dcm", labels, case / "dicom", maker)

    assert np.array_equal(open_case(case).labels.voxels, labels.voxels)


def test_a_structure_set_becomes_a_label_image(case):
    labels, geometry = chest().labels.voxels, chest().ct.geometry
    structures = {name: outlines(labels == value, geometry) for value, name in enumerate(NAMES, 1)}
    write_rtstruct(case / "label.dcm", its_slices(case), structures | {"BODY": [], "couch": outlines(labels == 1, geometry)})
    _, read = open_case(case).load()

    assert np.array_equal(read.voxels, labels)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(bool, (9, 8, 5)))
def test_any_shape_is_filled_to_the_voxel(tmp_path_factory, mask):
    if not mask.any():
        mask[4, 4, 2] = True
    on = Place(chest().ct.geometry)
    labels = np.zeros(on.geometry.shape, bool)
    labels[3:12, 5:13, 2:7] = mask
    path = tmp_path_factory.mktemp("rt") / "label.dcm"
    write_rtstruct(path, series()[:1], {"any": outlines(labels, on.geometry)})

    assert np.array_equal(load_labels(path, on=on).voxels, labels)


def test_a_contour_inside_another_is_a_hole(case):
    slices, geometry = its_slices(case), chest().ct.geometry

    def square(low: float, high: float) -> np.ndarray:
        corners = [(low, low), (high, low), (high, high), (low, high)]
        return np.array([LPS @ (geometry.affine @ (x, y, 4, 1))[:3] for x, y in corners])

    write_rtstruct(case / "label.dcm", slices, {"right lung": [square(2.5, 9.5), square(4.5, 7.5)]})
    plane = open_case(case).labels.voxels[:, :, 4]

    assert plane[3:10, 3:10].sum() == plane.sum() == 49 - 9
    assert not plane[5:8, 5:8].any()


def test_where_structures_overlap_the_higher_number_wins(case):
    lung = as_slices(chest().labels.voxels > 0)
    masks = np.stack([lung, np.zeros_like(lung), as_slices(chest().labels.voxels == 3)], axis=-1).astype(np.uint8)
    write_seg(case / "label.dcm", its_slices(case), masks)
    voxels = open_case(case).labels.voxels

    assert np.array_equal(voxels == 3, chest().labels.voxels == 3)
    assert np.array_equal(voxels > 0, chest().labels.voxels > 0)


def test_half_of_a_voxel_counts_in_a_fractional_segmentation(case):
    masks = label_masks()[..., :1] * np.float32(0.6) + np.float32(0.2)
    write_seg(case / "label.dcm", its_slices(case), masks, NAMES[:1], "FRACTIONAL")

    assert np.array_equal(open_case(case).labels.voxels == 1, chest().labels.voxels == 1)


def test_without_a_table_structures_are_numbered_and_keep_their_names(case):
    path = write_seg(case / "label.dcm", its_slices(case), label_masks())
    labels = load_labels(path, on=place(case / "dicom"))

    assert labels.names == {1: "Right lung", 2: "left lung", 3: "Inflammation"}
    assert np.array_equal(labels.voxels, chest().labels.voxels)


def test_labels_of_a_ct_in_another_format_lie_on_its_grid(tmp_path):
    write_series(tmp_path / "dicom", complete(series()))
    ct = write_nifti(tmp_path / "ct.nii.gz", chest().ct.voxels, chest().ct.geometry, "RAS")
    path = write_seg(tmp_path / "label.dcm", its_slices(tmp_path), label_masks())

    assert np.array_equal(load_labels(path, on=place(ct)).voxels, chest().labels.voxels)


def test_of_several_series_the_one_is_taken_that_the_labels_were_drawn_on(case):
    bone = series()
    for made in bone:
        made.SeriesInstanceUID, made.SeriesDescription = "1.2.3", "Bone 1.0"
        made.PixelData = bytes(len(made.PixelData))
    write_series(case / "dicom", bone, [f"B{index:03d}.dcm" for index in range(len(bone))])
    slices = [each for each in its_slices(case) if each.SeriesInstanceUID != "1.2.3"]
    write_seg(case / "label.dcm", slices, label_masks())
    ct, labels = open_case(case).load()

    assert np.array_equal(ct.voxels, chest().ct.voxels)
    assert np.array_equal(labels.voxels, chest().labels.voxels)
    assert np.array_equal(load(case / "dicom", series="Chest 1.0").voxels, chest().ct.voxels)


def elsewhere(case: Path) -> None:
    write_seg(case / "label.dcm", complete(series()), label_masks())


def beside(case: Path) -> None:
    slices = its_slices(case)
    for made in slices:
        made.ImagePositionPatient = [float(made.ImagePositionPatient[0]) + 3, *made.ImagePositionPatient[1:]]
    write_seg(case / "label.dcm", slices, label_masks())


def frames_far_apart(case: Path) -> None:
    """Two slices a thousandth of a millimetre apart, and one a hundred metres away: a volume of a hundred million slices."""
    slices = its_slices(case)[:3]
    for made, z in zip(slices, (0, 0.001, 100_000), strict=True):
        made.ImagePositionPatient = [*made.ImagePositionPatient[:2], z]
    write_seg(case / "label.dcm", slices, np.ones_like(label_masks()[:3]))


def between_slices(case: Path) -> None:
    step = chest().ct.geometry.spacing[2] / 2
    contours = [points + np.array([0, 0, step]) for points in outlines(chest().labels.voxels == 1, chest().ct.geometry)]
    write_rtstruct(case / "label.dcm", its_slices(case), {"right lung": contours})


def far_away(case: Path) -> None:
    contours = [points + np.array([0, 0, 5000]) for points in outlines(chest().labels.voxels == 1, chest().ct.geometry)]
    write_rtstruct(case / "label.dcm", its_slices(case), {"right lung": contours})


def no_number(case: Path) -> None:
    contours = [points * np.nan for points in outlines(chest().labels.voxels == 1, chest().ct.geometry)]
    write_rtstruct(case / "label.dcm", its_slices(case), {"right lung": contours})


def other_frame(case: Path) -> None:
    write_rtstruct(case / "label.dcm", its_slices(case), {"right lung": []}, frame="1.2.3")


def other_names(case: Path) -> None:
    write_seg(case / "label.dcm", its_slices(case), label_masks(), ("Liver", "Spleen", "GTV 1"))


def points_only(case: Path) -> None:
    contours = outlines(chest().labels.voxels == 1, chest().ct.geometry)
    write_rtstruct(case / "label.dcm", its_slices(case), {"right lung": contours}, kind="POINT")


def a_slice(case: Path) -> None:
    (case / "label.dcm").write_bytes(next((case / "dicom").iterdir()).read_bytes())


def cut_off(case: Path) -> None:
    content = write_seg(case / "label.dcm", its_slices(case), label_masks()).read_bytes()
    (case / "label.dcm").write_bytes(content[: len(content) // 2])


def rubbish(case: Path) -> None:
    (case / "label.dcm").write_bytes(b"patient;date\n" * 99)


BROKEN = {
    "drawn on another scan": (elsewhere, LabelError, "drawn on another CT series"),
    "beside the voxels": (beside, LabelError, r"doesn't lie on the voxels of the CT"),
    "frames far apart": (frames_far_apart, UnreadableError, "which can't be"),
    "contours between slices": (between_slices, LabelError, "contours that lie on no slice"),
    "contours far away": (far_away, LabelError, "contours that lie on no slice"),
    "contours without numbers": (no_number, (LabelError, UnreadableError), "no slice|no DICOM segmentation"),
    "in other coordinates": (other_frame, LabelError, "drawn on another CT series"),
    "other names": (other_names, LabelError, r'names Liver, Spleen, GTV 1, of which labels\.json knows none\. Add them'),
    "points only": (points_only, LabelError, "labels.json knows none"),
    "a slice in its place": (a_slice, UnreadableError, "no DICOM segmentation or structure set"),
    "cut off": (cut_off, UnreadableError, "no DICOM segmentation or structure set"),
    "another kind of file": (rubbish, UnreadableError, "no DICOM segmentation or structure set"),
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("fault", BROKEN)
def test_labels_that_do_not_belong_are_refused_in_words(case, fault):
    break_it, kind, words = BROKEN[fault]
    break_it(case)

    with pytest.raises(kind, match=rf"^case 7: .*({words})"):
        open_case(case).load()


def test_a_file_alone_does_not_say_on_which_ct_it_was_drawn(case):
    write_seg(case / "label.dcm", its_slices(case), label_masks())

    with pytest.raises(LabelError, match=r"is drawn on a CT\. Say on which one"):
        load_labels(case / "label.dcm")


def test_two_label_files_are_one_too_many(case, tmp_path):
    write_seg(case / "label.dcm", its_slices(case), label_masks())
    write_nifti(case / "label.nii.gz", chest().labels.voxels, chest().labels.geometry, "LPS")

    with pytest.raises(CohortError, match=re.escape("case 7: label.nii.gz and label.dcm are both there. Keep one of them.")):
        open_case(case).load()
    (tmp_path / "train").mkdir()
    case.rename(tmp_path / "train" / "case 7")
    cohort = Cohort(tmp_path)
    assert list(cohort.loaded(cohort.train)) == []
    assert [problem.case for problem in cohort.problems] == ["case 7"]
