"""A trained network as one ONNX file: for programs that run networks without torch.

It takes any number of windows at a time and, but for Swin-UNETR, windows of any side that the network's stride divides. Swin-UNETR
computes its masks from the window's side while it is written, so that the side is part of the file.

Nothing is asked of the Internet. ONNX Runtime reports its use to its maker since version 1.29, on Linux too: an older one is asked
for, and whichever is installed is told before it begins to report nothing.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import warnings
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ctlab.errors import ExportError
from ctlab.inference import Model
from ctlab.network import HIGH_HU, KINDS, LOW_HU
from ctlab.provenance import of_model, version
from phrases import N_

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4
"""Largest difference of a logit (of order 1 to 10, single precision) that is still the same network: ONNX Runtime adds up in
another order than torch, over some millions of products."""

OPSET = 18
"""The oldest that torch's exporter writes without converting: what most programs can read."""

IMAGE, LOGITS = "image", "logits"
"""Names of input and output: (window, 1, x, y, z) and (window, class, x, y, z)."""

_ONE_SIDE = frozenset({"swinunetr"})
"""Keys of KINDS whose file holds for one side only."""


def write_onnx(model: Model, path: Path) -> None:
    """Writes the network of `model` to `path`. Raises ExportError when it is none that ONNX can say."""
    # Late, as in `answers`: together they take a second, which nobody needs who exports nothing.
    import onnx

    network = copy.deepcopy(model.network).cpu().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in network.modules():
        # Swin-UNETR's parts that compute activations again on the way back: there is no way back.
        if hasattr(module, "use_checkpoint"):
            module.use_checkpoint = False
    window = torch.zeros(3, 1, *_sides(model))
    # What the exporter says of torchvision, which nothing here uses, and of its own calls helps nobody who exports.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            program = torch.onnx.export(
                network,
                (window,),
                input_names=[IMAGE],
                output_names=[LOGITS],
                opset_version=OPSET,
                dynamic_shapes=(_axes(model),),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(
            N_("This network ({kind}) can't be written as ONNX. Tell your administrator."), kind=model.preset.kind
        ) from error
    assert program is not None  # noqa: S101  (it is None only when a path was given)
    made = program.model_proto
    _without_places(made)
    made.producer_name, made.producer_version = "ctlab", version()
    onnx.helper.set_model_props(made, _about(model))
    onnx.save(made, path)


def answers(path: Path, windows: torch.Tensor) -> torch.Tensor:
    """The logits that ONNX Runtime computes on the CPU with the file at `path`."""
    # Read once, when the library is loaded: it then keeps no identifier of the machine and no reports to be sent later either.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32]
    (found,) = session.run([LOGITS], {IMAGE: windows.numpy()})
    return torch.from_numpy(found)


@torch.no_grad()
def largest_difference(model: Model, path: Path) -> float:
    """Largest absolute difference of the logits of the file at `path` from the network's own, on windows of noise.

    Asked of two windows at once, and where the file takes any side, of a longer one.
    """
    where = next(model.network.parameters()).device
    side, stride = model.preset.patch, KINDS[model.preset.kind].stride
    shapes = [(2, 1, side, side, side)]
    if model.preset.kind not in _ONE_SIDE:
        shapes.append((1, 1, side + stride, side, side + 2 * stride))
    draw = torch.Generator().manual_seed(0)
    worst = 0.0
    for shape in shapes:
        windows = 2 * torch.rand(shape, generator=draw) - 1
        own = model.network.eval()(windows.to(where)).float().cpu()
        # A NaN stays one: `max` would lose it behind a number.
        worst = float(torch.tensor([worst, float((own - answers(path, windows)).abs().max())]).max())
    return worst


def _sides(model: Model) -> tuple[int, int, int]:
    """Of the window that the exporter follows through the network: where sides are free, none that is a stride itself."""
    stride = KINDS[model.preset.kind].stride
    side = model.preset.patch if model.preset.kind in _ONE_SIDE else max(model.preset.patch, 2 * stride)
    return side, side, side


def _axes(model: Model) -> dict[int, Any]:
    """What of (window, 1, x, y, z) may be of any size."""
    free: dict[int, Any] = {0: torch.export.Dim("windows")}
    if model.preset.kind not in _ONE_SIDE:
        stride = KINDS[model.preset.kind].stride
        free |= {axis: stride * torch.export.Dim(f"{name}_strides") for axis, name in ((2, "x"), (3, "y"), (4, "z"))}
    return free


def _about(model: Model) -> dict[str, str]:
    """What the file says of itself: no name of a patient, and no path."""
    mm = model.preset.spacing_mm
    return {
        "ctlab.version": version(),
        "ctlab.model_sha256": of_model(model),
        "ctlab.network": model.preset.kind,
        "ctlab.labels": json.dumps({"0": "background", **{str(value): name for value, name in model.names.items()}}),
        "ctlab.input": f"CT on voxels of {mm:g} mm, x y z to right, front and head; HU from {LOW_HU:g} to {HIGH_HU:g} as -1 to 1",
        "ctlab.window": str(model.preset.patch),
        "torch.version": torch.__version__,
    }


def _without_places(made: onnx.ModelProto) -> None:
    """Removes the lines of code that the exporter notes for each node, with paths of the machine."""
    graphs = [made.graph, *made.functions]
    for graph in graphs:
        del graph.metadata_props[:]
        graph.doc_string = ""
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in graph.value_info:
            del value.metadata_props[:]
    for value in chain(made.graph.input, made.graph.output, made.graph.initializer):
        del value.metadata_props[:]
