"""A trained network as a MONAI bundle: a folder that MONAI's own tools open, without this library. It holds an ONNX file as well.

What is written is read back and asked the same questions as the network itself; an export that answers otherwise is refused and
removed. The bundle prepares a CT as MONAI does (`Spacingd`): its grid differs from ours by less than half a voxel over the whole
side, so its label images differ at edges from those of `ctlab.predict`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib import metadata
from math import inf
from os import getpid
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from ctlab import onnxfile
from ctlab.errors import ExportError
from ctlab.inference import Model
from ctlab.network import HIGH_HU, LOW_HU
from ctlab.provenance import of_model, version
from ctlab.text import say
from ctlab.windows import OVERLAP, WINDOWS
from phrases import N_

TOLERANCE = 1e-5
"""Largest difference between two answers (logits of order 1 to 10, single precision) that is still the same network."""

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""What the metadata follow; a name, that nothing here looks up."""

WEIGHTS, METADATA, INFERENCE, README = "models/model.pt", "configs/metadata.json", "configs/inference.json", "docs/README.md"
ONNX = "models/model.onnx"

_BUILT: dict[str, dict[str, Any]] = {
    "VNet": {"dropout_prob_down": 0.0, "dropout_prob_up": [0.0, 0.0]},
    "UNet": {"channels": [16, 32, 64, 128, 256], "strides": [2, 2, 2, 2], "num_res_units": 2},
    "SegResNet": {"init_filters": 16},
    "SwinUNETR": {"feature_size": 48, "use_checkpoint": True},
}
"""MONAI's networks and what `ctlab.network` builds them with. Should the two ever part, the comparison refuses the export."""


@dataclass(frozen=True)
class Exported:
    """An export that was read back and compared."""

    path: Path
    difference: float
    """Largest absolute difference of any logit from the network's own, for the same input, as MONAI builds it."""
    onnx: float
    """The same of the ONNX file."""

    def __repr__(self) -> str:
        return say(
            N_("{path}: read back, and differs from the network by {difference:.1e} at most, as ONNX by {onnx:.1e}."),
            path=self.path, difference=self.difference, onnx=self.onnx,
        )  # fmt: skip


def export_bundle(model: Model, folder: str | Path) -> Exported:
    """Writes `model` as a MONAI bundle with an ONNX file to `folder`, which appears whole or not at all, and compares both with it.

    Raises ExportError when `folder` is there already, the network is none that MONAI can build by name, the bundle answers
    otherwise than the network by more than TOLERANCE, or the ONNX file by more than `onnxfile.TOLERANCE`.
    """
    target = Path(folder)
    if target.exists():
        raise ExportError(N_("{path} is there already. Choose another name; nothing was changed."), path=target)
    draft = target.with_name(f".{getpid()}-{target.name}")
    try:
        _write(model, draft)
        try:
            difference = largest_difference(model, _reloaded(draft))
        except RuntimeError:  # weights that don't fit the network of that description
            difference = inf
        _same(difference, TOLERANCE, target)
        onnxfile.write_onnx(model, draft / ONNX)
        onnx = onnxfile.largest_difference(model, draft / ONNX)
        _same(onnx, onnxfile.TOLERANCE, target / ONNX)
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exported(target, difference, onnx)


def _same(difference: float, tolerance: float, path: Path) -> None:
    """Raises ExportError unless `difference` is within `tolerance`; NaN is not."""
    if not difference <= tolerance:
        raise ExportError(
            N_("The export {path} differs from the network by {difference:.1e}, so it was removed. Tell your administrator."),
            path=path, difference=difference,
        )  # fmt: skip


def probe(model: Model) -> torch.Tensor:
    """One window (1, 1, x, y, z) of noise in the range that networks see; always the same."""
    side = model.preset.patch
    return 2 * torch.rand(1, 1, side, side, side, generator=torch.Generator().manual_seed(0)) - 1


@torch.no_grad()
def largest_difference(model: Model, other: torch.nn.Module) -> float:
    """Largest absolute difference of the logits of `other` (eval mode, on the CPU) from the network's own, for `probe`."""
    where = next(model.network.parameters()).device
    window = probe(model)
    own = model.network.eval()(window.to(where)).float().cpu()
    return float((own - other(window).float()).abs().max())


def _reloaded(folder: Path) -> torch.nn.Module:
    """The network that the bundle in `folder` describes, with its weights, as MONAI builds it."""
    parser = ConfigParser()
    parser.read_config(str(folder / INFERENCE))
    parser["bundle_root"] = str(folder)
    parser["device"] = "$torch.device('cpu')"
    network: torch.nn.Module = parser.get_parsed_content("network")
    network.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    return network.eval()


def _write(model: Model, folder: Path) -> None:
    for name in (WEIGHTS, METADATA, README):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}
    torch.save(weights, folder / WEIGHTS)
    _write_json(folder / METADATA, _metadata(model))
    _write_json(folder / INFERENCE, _inference(model))
    names = "\n".join(f"- {value}: {name}" for value, name in model.names.items())
    (folder / README).write_text(
        f"# {model.preset.name}\n\nCT segmentation, trained and exported by ctlab {version()}. Checksum of the network: "
        f"{of_model(model)}.\n\n"
        f"Labels:\n\n{names}\n\nHU from {LOW_HU:g} to {HIGH_HU:g} become -1 to 1; voxels of "
        f"{model.preset.spacing_mm:g} mm; windows of {model.preset.patch} voxels.\n",
        "utf-8",
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _metadata(model: Model) -> dict[str, Any]:
    side = model.preset.patch
    shape = {"num_channels": 1, "spatial_shape": [side] * 3, "dtype": "float32", "is_patch_data": True}
    channels = {"0": "background", **{str(index): name for index, name in enumerate(model.names.values(), start=1)}}
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "exported"},
        "monai_version": metadata.version("monai"),
        "pytorch_version": metadata.version("torch"),
        "numpy_version": metadata.version("numpy"),
        "required_packages_version": {"nibabel": metadata.version("nibabel")},
        "name": model.preset.name,
        "task": "CT segmentation",
        "description": f"Labels: {', '.join(model.names.values())}",
        "authors": "",
        "copyright": "",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image", "format": "hounsfield", "modality": "CT", "value_range": [-1, 1],
                    "channel_def": {"0": "image"}, **shape,
                }
            },
            "outputs": {
                "pred": {
                    "type": "image", "format": "segmentation", "value_range": [0, 1], "channel_def": channels,
                    **shape, "num_channels": len(channels),
                }
            },
        },
        "ctlab": {"version": version(), "model_sha256": of_model(model), "label_values": list(model.names)},
    }  # fmt: skip


def _inference(model: Model) -> dict[str, Any]:
    mm = model.preset.spacing_mm
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": _network_def(model),
        "network": "$@network_def.to(@device)",
        "weights": f"$torch.load(@bundle_root + '/{WEIGHTS}', map_location=@device, weights_only=True)",
        "load_weights": "$@network.load_state_dict(@weights)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [mm, mm, mm], "mode": "bilinear"},
                {
                    "_target_": "ScaleIntensityRanged", "keys": "image", "a_min": LOW_HU, "a_max": HIGH_HU, "b_min": -1.0,
                    "b_max": 1.0, "clip": True,
                },
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [model.preset.patch] * 3,
            "sw_batch_size": WINDOWS,
            "overlap": OVERLAP,
            "mode": "gaussian",
            "cval": -1.0,
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
                    "nearest_interp": False, "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
    }  # fmt: skip


def _network_def(model: Model) -> dict[str, Any]:
    """How MONAI builds the network."""
    kind = type(model.network).__name__
    if kind not in _BUILT:
        raise ExportError(N_("A network of this kind ({kind}) can't be exported as a MONAI bundle yet."), kind=kind)
    return {"_target_": kind, "spatial_dims": 3, "in_channels": 1, "out_channels": len(model.names) + 1, **_BUILT[kind]}
