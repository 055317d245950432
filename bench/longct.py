"""`bin/bench longct`: memory that the segmentation of a long CT takes besides the CT, ours ÷ MONAI's sliding window over the whole.

Both with one window, blending, working grid and full grid, and with a network that takes next to nothing itself, so that what
is measured is the handling of windows and scores. Each arm is a process of its own; `detail` says too whether the answers are
the same, and what `ctlab.slabs.needed_bytes` had said.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import torch
from ctlab.geometry import Geometry
from ctlab.inference import Model, predict
from ctlab.network import PRESETS, normalised
from ctlab.resample import body_box, resample_hu, winner, working_shape
from ctlab.slabs import needed_bytes
from ctlab.volume import Volume
from ctlab.windows import OVERLAP, WINDOWS
from monai.inferers import sliding_window_inference

from bench.report import Report, say

STEP_MM = 0.75
"""Between voxels along each axis: a thin-slice CT of 38 cm."""

CLASSES = 3
ARMS = ("ours", "monai")


class Bare(torch.nn.Module):
    """Three classes out of HU, in no memory to speak of."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, hu: torch.Tensor) -> torch.Tensor:
        """Scores (window, class, x, y, z)."""
        return torch.cat([-hu, hu, hu - 1], dim=1)


class Taken(msgspec.Struct, frozen=True):
    """What one arm took."""

    grown: int
    """Bytes that the process grew by at its peak, label image included."""
    said: int
    """Bytes by `needed_bytes`."""
    seconds: float
    answer: str
    """Checksum of the label image."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bin/bench longct")
    parser.add_argument("--depth", type=int, default=600, help="slices of 512 × 512")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.arm:
        sys.stdout.write(msgspec.json.encode(measure(given.arm, given.depth)).decode() + "\n")
        return 0
    taken = {}
    for arm in ARMS:
        say(f"{arm}: 512 × 512 × {given.depth}")
        command = [sys.executable, "-m", "bench.longct", "--arm", arm, "--depth", str(given.depth)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        taken[arm] = msgspec.json.decode(ran.stdout, type=Taken)
    ours, theirs = taken["ours"], taken["monai"]
    detail: dict[str, object] = {
        "ct_mb": 512 * 512 * given.depth * 2 / 1e6,
        "ours_mb": ours.grown / 1e6, "said_mb": ours.said / 1e6, "monai_mb": theirs.grown / 1e6,
        "ours_s": round(ours.seconds, 1), "monai_s": round(theirs.seconds, 1), "same_answer": ours.answer == theirs.answer,
    }  # fmt: skip
    Report(bench="longct", value=round(ours.grown / theirs.grown, 3), unit="ratio", better="lower", detail=detail).print()
    return 0


def measure(arm: str, depth: int) -> Taken:
    """Segments a made-up CT of `depth` slices once, after a small one that loads what torch loads at first."""
    torch.set_num_threads(1)
    model = Model(Bare().eval(), replace(PRESETS["vnet"]), dict.fromkeys(range(1, CLASSES), "label"))
    way = _ours if arm == "ours" else _monais
    way(model, _ct((64, 64, 64), 5.0))
    ct = _ct((512, 512, depth), STEP_MM)
    before, begun = _peak(), time.perf_counter()
    found = way(model, ct)
    seconds = time.perf_counter() - begun
    said = needed_bytes(ct.geometry.shape, working_shape(ct.geometry, model.preset.spacing_mm), CLASSES, model.preset.patch)
    return Taken(_peak() - before, said, seconds, hashlib.sha256(found.tobytes()).hexdigest())


def _ct(shape: tuple[int, int, int], step: float) -> Volume:
    """A body of soft tissue, denser upwards."""
    hu = np.empty(shape, np.int16)
    hu[:] = np.linspace(-400, 400, shape[2]).astype(np.int16)
    return Volume(hu, Geometry(shape, np.diag([step, step, step, 1.0])), "case")


def _ours(model: Model, ct: Volume) -> np.ndarray:
    return predict(model, ct).voxels


@torch.no_grad()
def _monais(model: Model, ct: Volume) -> np.ndarray:
    shape = working_shape(ct.geometry, model.preset.spacing_mm)
    coarse = resample_hu(ct.voxels, shape)
    box = body_box(coarse)
    scores = sliding_window_inference(
        normalised(coarse[box])[None, None], model.preset.patch, WINDOWS, model.network, overlap=OVERLAP, mode="gaussian", cval=-1.0
    )
    return winner(torch.softmax(scores[0], dim=0), box, shape, ct.geometry.shape)


def _peak() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
