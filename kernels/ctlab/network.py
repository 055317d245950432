"""The networks by name, how they see HU, and where they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from monai.networks.nets import SegResNet, SwinUNETR, UNet, VNet

from ctlab.errors import CtlabError
from ctlab.text import say
from phrases import N_

LOW_HU, HIGH_HU = -1000.0, 400.0
"""Air to dense soft tissue: what the lungs and their neighbours need; bone is clipped."""


@dataclass(frozen=True)
class Preset:
    """A network and how it is trained; sizes are voxels of the working grid."""

    name: str
    spacing_mm: float
    """Voxel size of the working grid."""
    patch: int
    """Side of a training patch and of the sliding window; a multiple of its kind's stride. The network pads with zeros at every
    level, so it judges well only what looks as it did in training: with windows of 96 weights scored 0.82 that had 0.94 with 32."""
    batch: int
    """Patches in one pass over the device."""
    steps: int
    """Steps an epoch."""
    epochs: int
    learning_rate: float
    """The highest of a one-cycle schedule, for SGD with Nesterov momentum 0.9. AdamW at 1e-3 had learnt next to nothing of the
    phantoms after 120 steps, where this has the lungs."""
    kind: str = "vnet"
    """Which network: a key of KINDS."""
    accumulate: int = 1
    """Passes whose gradients make one step: a step sees `batch` times this many patches."""
    augment: bool = False
    """Whether patches are turned, scaled and made noisy (`ctlab.augment`). It pays in trainings of hours, not of minutes."""
    average: float = 0.0
    """Decay of the exponential moving average of the weights, which is then what is judged and kept; 0 for none."""
    patience: int = 0
    """Epochs without a better Dice after which training ends; 0 for never."""


def _of_days(name: str, *, patch: int = 96, batch: int = 4, learning_rate: float = 0.05, kind: str = "") -> Preset:
    """The size for a GPU and a cohort of a hundred cases."""
    return Preset(
        name,
        spacing_mm=1.5,
        patch=patch,
        batch=batch,
        steps=250,
        epochs=200,
        learning_rate=learning_rate,
        kind=kind or name,
        augment=True,
        average=0.999,
        patience=40,
    )


PRESETS = {
    each.name: each
    for each in (
        Preset("vnet", spacing_mm=5.0, patch=32, batch=2, steps=20, epochs=6, learning_rate=0.05),
        _of_days("vnet-fine", kind="vnet"),
        _of_days("unet"),
        _of_days("segresnet"),
        _of_days("swinunetr", batch=2, learning_rate=0.01),
    )
}
"""`vnet`: F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016, in MONAI's form (45.6 million parameters), at a size that a
tutorial can train in minutes on a CPU. The others are for hours on a GPU; their numbers are the usual ones, and no cohort of
patients has been trained with them yet."""


def find_preset(name: str | Preset) -> Preset:
    """The preset called `name`; one of your own is itself. Raises CtlabError when there is none, or its sizes can't be trained."""
    preset = name if isinstance(name, Preset) else PRESETS.get(name)
    if preset is None:
        raise CtlabError(N_("There is no preset {name}. Choose one of: {names}."), name=name, names=", ".join(PRESETS))
    if preset.kind not in KINDS:
        raise CtlabError(N_("There is no network {name}. Choose one of: {names}."), name=preset.kind, names=", ".join(KINDS))
    kind = KINDS[preset.kind]
    if preset.patch < kind.least or preset.patch % kind.stride:
        raise CtlabError(
            N_("The patch of preset {name} has a side of {side}. Choose a multiple of {stride}, at least {least}."),
            name=preset.name, side=preset.patch, stride=kind.stride, least=kind.least,
        )  # fmt: skip
    if preset.batch < fewest(preset):
        raise CtlabError(
            N_("Preset {name} learns from one patch of {side} voxels a side at a time, which is too little for this network. "
               "Choose a batch of 2, or larger patches."),
            name=preset.name, side=preset.patch,
        )  # fmt: skip
    return preset


def fewest(preset: Preset) -> int:
    """The fewest patches of the preset's size that a pass can be made of.

    Of a patch as small as can be one voxel is left at the network's bottom, and normalisation needs more than one a pass.
    """
    return 1 if preset.patch > KINDS[preset.kind].stride else 2


def _vnet(classes: int) -> torch.nn.Module:
    # Dropout suits trainings of many thousand steps; in a short one it costs more than it gives. Two layers keep theirs (0.5 before
    # the last two skip connections): MONAI lets nobody set it.
    made: torch.nn.Module = VNet(3, 1, classes, dropout_prob_down=0.0, dropout_prob_up=(0.0, 0.0))
    return made


def _unet(classes: int) -> torch.nn.Module:
    made: torch.nn.Module = UNet(3, 1, classes, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2)
    return made


def _segresnet(classes: int) -> torch.nn.Module:
    made: torch.nn.Module = SegResNet(3, 16, 1, classes)
    return made


def _swinunetr(classes: int) -> torch.nn.Module:
    # Activations are computed again on the way back: a third slower, in a quarter of the memory.
    made: torch.nn.Module = SwinUNETR(in_channels=1, out_channels=classes, feature_size=48, use_checkpoint=True)
    return made


@dataclass(frozen=True)
class Kind:
    """A network that can be trained by name."""

    make: Callable[[int], torch.nn.Module]
    """From one channel (HU, normalised) to so many classes, not trained."""
    stride: int = 16
    """By what a patch's side must divide: a side is halved that often."""
    least: int = 16
    """The smallest side that it can learn from."""


KINDS: Mapping[str, Kind] = {
    "vnet": Kind(_vnet),
    # One voxel is left of the stride at the bottom, and instance normalisation needs two.
    "unet": Kind(_unet, least=32),
    "segresnet": Kind(_segresnet, stride=8),
    "swinunetr": Kind(_swinunetr, stride=32, least=64),
}


def build(classes: int, kind: str = "vnet") -> torch.nn.Module:
    """A network of KINDS from one channel (HU, normalised) to `classes` channels (background first), not trained."""
    return KINDS[kind].make(classes)


def normalised(hu: torch.Tensor) -> torch.Tensor:
    """HU (any shape) as float from -1 (LOW_HU and below) to 1 (HIGH_HU and above)."""
    return (hu.float().clamp(LOW_HU, HIGH_HU) - LOW_HU) * (2.0 / (HIGH_HU - LOW_HU)) - 1.0


def device() -> torch.device:
    """The first GPU if the session has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_text(where: torch.device) -> str:
    """A sentence for people about what computes."""
    if where.type == "cuda":
        return say(N_("Computing on the GPU {name}."), name=torch.cuda.get_device_name(where))
    return say(N_("There is no GPU in this session: computing on the CPU, which is slower but gives the same kind of result."))
