"""Slab by slab the same as MONAI's sliding window and as a resampling of the whole, in a fraction of the memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ctlab.network import normalised
from ctlab.resample import winner
from ctlab.slabs import winners
from ctlab.windows import OVERLAP, blended
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from torch import nn

ROOT = Path(__file__).parents[2]


def small_network() -> nn.Module:
    """Sees its neighbourhood, and is not symmetric, so that a wrong place or a wrong turn shows."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ELU(), nn.Conv3d(4, 3, 3, padding=1)).eval()


def hu(*shape: int) -> torch.Tensor:
    return torch.randint(-1000, 400, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int16)


def monais(network: nn.Module, volume: torch.Tensor, side: int) -> torch.Tensor:
    with torch.no_grad():
        logits = sliding_window_inference(
            normalised(volume)[None, None], side, 4, network, overlap=OVERLAP, mode="gaussian", cval=-1.0
        )
    return torch.softmax(logits[0], dim=0)


@pytest.mark.parametrize("shape", [(16, 16, 16), (20, 33, 41), (9, 30, 16), (17, 8, 5), (40, 16, 17)], ids=str)
def test_blending_is_monais(shape):
    network, volume = small_network(), hu(*shape)
    ours = torch.cat(list(blended(network, volume, 16)), dim=3)
    assert ours.shape == (3, *shape)
    torch.testing.assert_close(ours, monais(network, volume, 16), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("mirror", "axes"), [("x", [(0,)]), ("yz", [(1,), (2,), (1, 2)])])
def test_mirrored_views_are_turned_back_and_averaged(mirror, axes):
    network, volume = small_network(), hu(16, 16, 16)  # one window: the mean of whole views

    def logits(seen: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network(normalised(seen)[None, None])[0]

    views = [logits(volume)] + [logits(volume.flip(each)).flip([axis + 1 for axis in each]) for each in axes]
    (slab,) = blended(network, volume, 16, mirror=mirror)
    torch.testing.assert_close(slab, torch.softmax(torch.stack(views).mean(0), dim=0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mirror", ["w", "xx", "left"])
def test_an_axis_that_does_not_exist_is_refused(mirror):
    with pytest.raises(ValueError, match="mirror"):
        next(blended(small_network(), hu(16, 16, 16), 16, mirror=mirror))


SIDES = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=60)
@given(st.data(), SIDES, SIDES)
def test_winners_on_the_full_grid_are_those_of_the_whole(data, working, shape):
    box = []
    for length in working:
        first = data.draw(st.integers(0, length - 1))
        box.append(slice(first, data.draw(st.integers(first + 1, length))))
    inside = [side.stop - side.start for side in box]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 9)))
    probabilities = torch.softmax(4 * torch.rand(3, *inside, generator=generator), dim=0)
    depths = []
    while sum(depths) < inside[2]:
        depths.append(data.draw(st.integers(1, inside[2] - sum(depths))))
    slabs = torch.split(probabilities, depths, dim=3)

    assert np.array_equal(winners(iter(slabs), tuple(box), working, shape), winner(probabilities, tuple(box), working, shape))


MEASURE = """
import resource, sys
import numpy as np, torch
from ctlab.geometry import Geometry
from ctlab.inference import Model, predict
from ctlab.network import PRESETS
from ctlab.resample import working_shape
from ctlab.slabs import needed_bytes
from ctlab.volume import Volume

class Bare(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def forward(self, hu):
        return torch.cat([-hu, hu, hu - 1], dim=1)

torch.set_num_threads(1)
preset = PRESETS["vnet"]
model = Model(Bare().eval(), preset, {1: "a", 2: "b"})
def ct(shape, steps):
    affine = np.diag([*steps, 1.0])
    return Volume(np.full(shape, 40, np.int16), Geometry(shape, affine), "case")
predict(model, ct((64, 64, 64), (5.0, 5.0, 5.0)))  # what torch itself takes when it begins
whole = ct((192, 192, 600), (preset.spacing_mm / 2, preset.spacing_mm / 2, preset.spacing_mm / 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
predict(model, whole)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
print(grown, needed_bytes(whole.geometry.shape, working_shape(whole.geometry, preset.spacing_mm), 3, preset.patch))
"""


@pytest.mark.slow
def test_a_long_ct_needs_no_more_memory_than_is_said():
    """44 MB of CT; in single precision the scores of three classes on its own grid would be 265 MB."""
    ran = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT / "kernels", capture_output=True, text=True, check=True,
                         env={"PYTHONPATH": f"{ROOT}:{ROOT / 'kernels'}", "OMP_NUM_THREADS": "1", "PATH": ""})  # fmt: skip
    grown, said = map(int, ran.stdout.split())
    assert grown <= said
