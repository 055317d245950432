"""A network leaves as a MONAI bundle and comes back as the same network, by MONAI's own tools."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ctlab import bundle
from ctlab.bundle import export_bundle, largest_difference
from ctlab.errors import ExportError
from ctlab.inference import Model, predict
from ctlab.metrics import dice_of
from ctlab.network import build, find_preset
from monai.bundle import ConfigParser

from tests.ctlab.networks import Threshold, threshold_model
from tests.ctlab.samples import chest, write_nifti

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> Model:
    """A V-Net with weights of its own in every layer, running means included."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = build(3)
        with torch.no_grad():
            network.train()(torch.randn(2, 1, 16, 16, 16))
    return Model(network.eval(), replace(find_preset("vnet"), patch=16, spacing_mm=14.0), {1: "lung", 5: "炎症"})


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export_bundle(model, tmp_path_factory.mktemp("bundles") / "lungs")


def test_the_bundle_answers_as_the_network_does(exported, model):
    assert exported.difference <= bundle.TOLERANCE
    assert "differs from the network by" in repr(exported)
    assert sorted(path.name for path in exported.path.parent.iterdir()) == ["lungs"]


@pytest.mark.parametrize("kind", ["unet", "segresnet"])
def test_other_networks_leave_too(kind, model, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(8)
        other = Model(build(3, kind).eval(), replace(model.preset, kind=kind, patch=32), model.names)
    assert export_bundle(other, tmp_path / kind).difference <= bundle.TOLERANCE


def test_a_description_that_no_longer_fits_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setitem(bundle._BUILT, "SegResNet", {"init_filters": 8})
    other = Model(build(3, "segresnet").eval(), replace(model.preset, kind="segresnet"), model.names)
    with pytest.raises(ExportError, match="differs from the network by inf"):
        export_bundle(other, tmp_path / "segresnet")
    assert list(tmp_path.iterdir()) == []


def parser(exported) -> ConfigParser:
    made = ConfigParser()
    made.read_config(str(exported.path / "configs" / "inference.json"))
    made.read_meta(str(exported.path / "configs" / "metadata.json"))
    made["bundle_root"], made["device"] = str(exported.path), "$torch.device('cpu')"
    return made


def test_the_weights_load_by_the_bundle_alone(exported, model):
    made = parser(exported)
    made.get_parsed_content("load_weights")
    assert largest_difference(model, made.get_parsed_content("network").eval()) <= bundle.TOLERANCE


class Tissue(Threshold):
    """Sees label 1 in everything but air."""

    def forward(self, hu: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(hu), torch.where(hu > -0.3, 9.0, -9.0), torch.full_like(hu, -9.0)], dim=1)


def test_what_monai_does_before_and_after_the_network_is_what_we_do(exported, model, tmp_path):
    """With a network whose answer does not hang on the last tenth of a millimetre."""
    made, tissue = parser(exported), Model(Tissue().eval(), model.preset, {1: "tissue", 2: "nothing"})
    path = write_nifti(tmp_path / "ct.nii.gz", chest().ct.voxels, chest().ct.geometry, "LPS")
    data = made.get_parsed_content("preprocessing")({"image": str(path)})
    data["pred"] = made.get_parsed_content("inferer")(data["image"][None], tissue.network)[0]
    found = (made.get_parsed_content("postprocessing")(data)["pred"][0].numpy() == 1).astype(np.uint8)

    ours = predict(tissue, chest().ct).voxels[::-1, ::-1]  # the file runs to the left and to the back
    assert dice_of(ours, found, [1])[1] > 0.9
    assert all(dice_of(np.flip(ours, axis), found, [1])[1] < dice_of(ours, found, [1])[1] for axis in range(3))


def test_metadata_say_what_goes_in_and_what_comes_out(exported, model):
    told = json.loads((exported.path / "configs" / "metadata.json").read_text("utf-8"))
    assert told["network_data_format"]["inputs"]["image"]["spatial_shape"] == [16, 16, 16]
    assert told["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "lung", "2": "炎症"}
    assert told["ctlab"]["label_values"] == [1, 5]
    assert len(told["ctlab"]["model_sha256"]) == 64


def test_an_export_that_answers_otherwise_is_refused_and_removed(model, tmp_path, monkeypatch):
    reloaded = bundle._reloaded

    def changed(folder):
        network = reloaded(folder)
        with torch.no_grad():
            next(network.parameters()).mul_(1.01)
        return network

    monkeypatch.setattr(bundle, "_reloaded", changed)
    with pytest.raises(ExportError, match="differs from the network by"):
        export_bundle(model, tmp_path / "lungs")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_answers_with_nan_is_no_equal(model):
    broken = build(3)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    assert not largest_difference(model, broken.eval()) <= bundle.TOLERANCE


def test_what_is_there_already_is_not_overwritten(model, tmp_path):
    (tmp_path / "lungs").mkdir()
    (tmp_path / "lungs" / "mine.txt").write_text("kept")
    with pytest.raises(ExportError, match="is there already"):
        export_bundle(model, tmp_path / "lungs")
    assert (tmp_path / "lungs" / "mine.txt").read_text() == "kept"


def test_a_network_that_monai_has_no_name_for_is_refused(tmp_path):
    with pytest.raises(ExportError, match="Threshold"):
        export_bundle(threshold_model(), tmp_path / "air")
    assert list(tmp_path.iterdir()) == []
