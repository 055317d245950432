"""A network leaves as a MONAI bundle and an ONNX file, and comes back as the same network by MONAI's own tools and ONNX Runtime."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ctlab import bundle, onnxfile
from ctlab.bundle import export_bundle, largest_difference
from ctlab.errors import ExportError
from ctlab.inference import Model, predict
from ctlab.metrics import dice_of
from ctlab.network import KINDS, build, find_preset
from ctlab.provenance import of_model
from monai.bundle import ConfigParser
from monai.networks.nets import SwinUNETR

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
    assert exported.onnx <= onnxfile.TOLERANCE
    assert "differs from the network by" in repr(exported)
    assert sorted(path.name for path in exported.path.parent.iterdir()) == ["lungs"]


SIDES = {"unet": 32, "segresnet": 32, "swinunetr": 64}
SMALL_SWIN = {"feature_size": 12, "depths": (2, 1, 1, 1), "use_checkpoint": True}
"""Of full size, Swin-UNETR takes minutes on two cores: the exporter follows each of its blocks."""


@pytest.mark.parametrize("kind", SIDES)
def test_other_networks_leave_too(kind, model, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(bundle._BUILT, "SwinUNETR", SMALL_SWIN)
    with torch.random.fork_rng():
        torch.manual_seed(8)
        network = SwinUNETR(1, 3, **SMALL_SWIN) if kind == "swinunetr" else build(3, kind)
    other = Model(network.eval(), replace(find_preset(kind), patch=SIDES[kind]), model.names)
    with warnings.catch_warnings(action="error", category=FutureWarning):
        exported = export_bundle(other, tmp_path / kind)
    assert capfd.readouterr() == ("", ""), "the exporter's own words"
    assert exported.difference <= bundle.TOLERANCE
    assert exported.onnx <= onnxfile.TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_description_is_that_of_the_network(kind, model):
    other = Model(build(3, kind), find_preset(kind), model.names)
    described = ConfigParser({"network": bundle._network_def(other)}).get_parsed_content("network")
    shapes = ({name: value.shape for name, value in each.state_dict().items()} for each in (other.network, described))
    assert next(shapes) == next(shapes)


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


@pytest.fixture(scope="module")
def onnx_file(exported):
    """The file without its weights, which may hold any bytes."""
    made = onnx.load(exported.path / bundle.ONNX, load_external_data=False)
    del made.graph.initializer[:]
    return made


def test_the_onnx_file_says_what_it_is_and_takes_windows_of_other_sizes(exported, onnx_file, model):
    told = {each.key: each.value for each in onnx_file.metadata_props}
    assert json.loads(told["ctlab.labels"]) == {"0": "background", "1": "lung", "5": "炎症"}
    assert told["ctlab.model_sha256"] == of_model(model)
    assert "voxels of 14 mm" in told["ctlab.input"]
    windows = torch.zeros(1, 1, 48, 16, 32)
    with torch.no_grad():
        own = model.network(windows)
    assert float((own - onnxfile.answers(exported.path / bundle.ONNX, windows)).abs().max()) <= onnxfile.TOLERANCE


def test_the_onnx_file_names_no_place_of_the_machine_that_wrote_it(exported, onnx_file):
    content = onnx_file.SerializeToString()
    assert len(content) < 1_000_000
    for place in (str(Path(bundle.__file__).parent), str(Path(torch.__file__).parents[1]), str(exported.path.parent), ".py"):
        assert place.encode() not in content


def test_the_onnx_runtime_that_is_installed_can_report_to_nobody():
    """Those that report do it by a client for HTTPS of their own, linked in."""
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/onnxruntime_pybind11_state*.so")
    content = library.read_bytes()
    assert b"SessionOptions" in content
    for trace in (b"events.data.microsoft.com", b"OneCollector", b"\0getaddrinfo\0", b"\0socket\0", b"\0connect\0"):
        assert trace not in content


def test_an_onnx_file_that_answers_otherwise_is_refused_and_removed(exported, model, tmp_path, monkeypatch):
    answers = onnxfile.answers
    monkeypatch.setattr(onnxfile, "write_onnx", lambda _, path: shutil.copy(exported.path / bundle.ONNX, path))
    monkeypatch.setattr(onnxfile, "answers", lambda path, windows: answers(path, windows) * (1 + 1e-2))
    with pytest.raises(ExportError, match=r"model\.onnx differs from the network by"):
        export_bundle(model, tmp_path / "lungs")
    assert list(tmp_path.iterdir()) == []


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
