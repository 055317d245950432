"""From a CT to a label image: the network slides over the working grid, and the result returns to the CT's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ctlab.errors import CheckpointError
from ctlab.files import whole
from ctlab.network import Preset, build, device
from ctlab.resample import body_box, resample_hu, working_shape
from ctlab.slabs import winners
from ctlab.volume import Labels, Volume
from ctlab.windows import blended
from phrases import N_


@dataclass(frozen=True)
class Model:
    """A trained network and what it needs to be used."""

    network: torch.nn.Module
    preset: Preset
    names: Mapping[int, str]
    """Label value to name; the network's channel k stands for the k-th value, channel 0 for none."""

    def save(self, path: Path) -> Path:
        """Writes a checkpoint that `load_model` reads; it appears whole or not at all."""
        with whole(path) as draft:
            torch.save(
                {
                    "preset": vars(self.preset),
                    "names": dict(self.names),
                    "network": self.network.state_dict(),
                },
                draft,
            )
        return path


def load_model(path: str | Path) -> Model:
    """The model in the checkpoint at `path`, on this session's device. Raises CheckpointError when it holds none."""
    path = Path(path)
    try:
        # weights_only: a checkpoint is data, and may not run code.
        stored = torch.load(path, map_location="cpu", weights_only=True)
        preset = Preset(**stored["preset"])
        model = Model(build(len(stored["names"]) + 1, preset.kind), preset, stored["names"])
        model.network.load_state_dict(stored["network"])
    except Exception as error:
        # torch.load raises whatever its unpickler met.
        raise CheckpointError(N_("{file} is no checkpoint of ctlab, or is damaged. Choose another one."), file=path.name) from error
    model.network.to(device()).eval()
    return model


def predict(model: Model | str | Path, ct: Volume, *, mirror: str = "") -> Labels:
    """The label image that `model` (or the checkpoint at that path) sees in `ct`, on the grid of `ct`.

    `mirror` names axes along which mirrored views are judged too, and the mean taken (see `ctlab.windows.blended`): slower by the
    number of views, and right only for a network that was trained with mirrored views.

    What it needs besides `ct` and one pass of the network: `ctlab.slabs.needed_bytes`.

    Raises CheckpointError when the path holds no checkpoint.
    """
    if not isinstance(model, Model):
        model = load_model(model)
    shape = working_shape(ct.geometry, model.preset.spacing_mm)
    coarse = resample_hu(ct.voxels, shape)
    box = body_box(coarse)
    slabs = blended(model.network, coarse[box], model.preset.patch, mirror=mirror)
    channels = winners(slabs, box, shape, ct.geometry.shape)
    values = torch.tensor([0, *model.names], dtype=torch.uint8).numpy()
    # In place where channels are the values already, as they mostly are: the full grid is large.
    same = all(index == value for index, value in enumerate(values))
    return Labels(channels if same else values[channels], ct.geometry, ct.name, model.names)


def probabilities_of(network: torch.nn.Module, hu: torch.Tensor, side: int) -> torch.Tensor:
    """Class probabilities (class, x, y, z) on the CPU for HU (x, y, z) on the working grid; `network` must be in eval mode."""
    return torch.cat([slab.cpu() for slab in blended(network, hu, side)], dim=3)
