"""Volumes that nobody has seen go in as they come from the archive, and come out segmented or refused with a reason.

The network learns lungs from phantoms alone, in seconds; the CT that it is then shown is a real one.
"""

from __future__ import annotations

import shutil

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from ctlab.batch import Batch, predict_cohort
from ctlab.cohort import open_case
from ctlab.feed import Feed
from ctlab.inference import Model
from ctlab.lungs import lung_report
from ctlab.metrics import compare
from ctlab.network import Preset, normalised
from ctlab.phantoms import Marking, make_phantom
from ctlab.readers import load_labels
from ctlab.resample import prepare, working_shape
from ctlab.sampling import Sampler
from ctlab.tiers import Tiers
from ctlab.volume import Labels
from monai.losses import DiceCELoss
from monai.networks.nets import UNet

from tests.ctlab.samples import REAL

pytestmark = pytest.mark.slow

REAL_DICOM = REAL / "chest-dicom"
RIGHT, LEFT = 1, 2
"""Of its label image."""


@pytest.fixture(scope="module")
def model() -> Model:
    """50 steps on three phantoms."""
    preset = Preset("vnet", spacing_mm=6.0, patch=32, batch=2, steps=50, epochs=1, learning_rate=5e-3)
    phantoms = [make_phantom((0, 9, index), (64, 64, 56), marking=Marking.LUNGS) for index in range(3)]
    cases = [
        prepare("phantom", each.ct.voxels, each.labels.voxels, working_shape(each.ct.geometry, preset.spacing_mm))
        for each in phantoms
    ]
    tiers = Tiers.of(cases)
    feed = Feed(Sampler(tiers.known, preset.patch, np.random.default_rng(0)), tiers)
    loss_of = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(3, 1, 2, (8, 16, 32), (2, 2), num_res_units=1)
        optimizer = torch.optim.Adam(network.parameters(), preset.learning_rate)
        for _ in range(preset.steps):
            hu, truth = feed.batch(preset.batch, torch.device("cpu"))
            optimizer.zero_grad()
            loss_of(network(normalised(hu)), truth[:, None].float()).backward()
            optimizer.step()
    return Model(network.eval(), preset, {1: "lung"})


@pytest.fixture(scope="module")
def incoming(tmp_path_factory):
    """A real CT, and what archives send besides."""
    folder = tmp_path_factory.mktemp("incoming")
    for name in ("whole", "gap", "cut", "magnetic"):
        shutil.copytree(REAL_DICOM / "dicom", folder / name)
    slices = {name: sorted((folder / name).iterdir()) for name in ("gap", "cut", "magnetic")}
    slices["gap"][30].unlink()
    slices["cut"][10].write_bytes(slices["cut"][10].read_bytes()[:-500])
    for path in slices["magnetic"]:
        header = pydicom.dcmread(path)
        header.Modality = "MR"
        header.save_as(path)
    (folder / "report").mkdir()
    (folder / "report" / "report.pdf").write_bytes(b"%PDF-1.7")
    return folder


@pytest.fixture(scope="module")
def batch(model, incoming, tmp_path_factory) -> Batch:
    return predict_cohort(model, incoming, tmp_path_factory.mktemp("out"), report=lambda line: None)


@pytest.fixture(autouse=True, scope="module")
def _said_in_english():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGUAGE", "en")
        yield


def test_the_real_ct_comes_out_segmented(batch):
    (done,) = batch.done
    assert done.case == "whole"
    truth = open_case(REAL_DICOM).labels
    lungs = Labels(np.isin(truth.voxels, (RIGHT, LEFT)).astype(np.uint8), truth.geometry, "whole")
    assert compare(lungs, load_labels(done.path))[1].dice > 0.75


def test_its_lungs_have_the_volumes_of_the_truth(batch):
    case = open_case(REAL_DICOM)
    found = lung_report(case.ct, load_labels(batch.done[0].path))
    assert found.right.lung_ml == pytest.approx(case.labels.volume_ml(RIGHT), rel=0.25)
    assert found.left.lung_ml == pytest.approx(case.labels.volume_ml(LEFT), rel=0.25)


def test_the_dicom_segmentation_says_the_same_as_the_nifti_file(batch):
    (done,) = batch.done
    seg = highdicom.seg.segread(done.seg)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (REAL_DICOM / "dicom").iterdir()]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    uids = [header.SOPInstanceUID for header in headers]
    frames = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    labels = load_labels(done.path).voxels
    assert labels.any()
    assert np.array_equal(frames, labels[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("cut", "damaged or incomplete"),
        ("gap", "slices are missing (1)"),
        ("magnetic", "no CT slices in DICOM format"),
        ("report", "isn't there"),
    ],
)
def test_what_is_no_whole_ct_is_refused_with_its_reason(batch, case, words):
    texts = {problem.case: problem.text for problem in batch.problems}
    assert set(texts) == {"cut", "gap", "magnetic", "report"}
    assert texts[case].startswith(f"{case}: ")
    assert words in texts[case]
