"""Seventeen two-dimensional vision networks of MONAI, of different kinds, by name; weights are random and nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks import nets

Make = Callable[[int], torch.nn.Module]


@dataclass(frozen=True)
class Kind:
    """One network."""

    name: str
    kind: str
    make: Make
    """From the side of its square images of one channel, in pixels: a multiple of 32, 64 at least."""


_TO_2 = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
"""Of what draws."""
_JUDGES = {"spatial_dims": 2, "in_channels": 1, "num_classes": 2}
"""Of what classifies."""
_VIT = {"spatial_dims": 2, "hidden_size": 384, "mlp_dim": 1536, "num_heads": 6}
"""The small form of both transformers with one scale."""
_STEPS = (2, 2, 2)


def _unet(_: int) -> torch.nn.Module:
    made: torch.nn.Module = nets.UNet(**_TO_2, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2)
    return made


def _flexible(_: int) -> torch.nn.Module:
    made: torch.nn.Module = nets.FlexibleUNet(1, 2, "efficientnet-b0", pretrained=False, spatial_dims=2)
    return made


def _dynunet(_: int) -> torch.nn.Module:
    kernels, filters = (3, 3, 3, 3), (16, 32, 64, 128)
    made: torch.nn.Module = nets.DynUNet(
        **_TO_2, kernel_size=kernels, strides=(1, *_STEPS), upsample_kernel_size=_STEPS, filters=filters
    )
    return made


def _resnet(_: int) -> torch.nn.Module:
    # The stride of the paper's (K. He et al., 2016), which MONAI's leaves out.
    made: torch.nn.Module = nets.resnet18(spatial_dims=2, n_input_channels=1, num_classes=2, conv1_t_stride=2)
    return made


def _vit(side: int) -> torch.nn.Module:
    made: torch.nn.Module = nets.ViT(1, side, 16, classification=True, num_classes=2, num_layers=12, **_VIT)
    return made


def _autoencoder(_: int) -> torch.nn.Module:
    made: torch.nn.Module = nets.AutoEncoder(spatial_dims=2, in_channels=1, out_channels=1, channels=(16, 32, 64), strides=_STEPS)
    return made


NETWORKS = (
    Kind("UNet", "residual U-Net", _unet),
    Kind("BasicUNet", "plain U-Net", lambda _: nets.BasicUNet(**_TO_2, features=(16, 16, 32, 64, 128, 16))),
    Kind("BasicUNetPlusPlus", "nested U-Net", lambda _: nets.BasicUNetPlusPlus(**_TO_2, features=(8, 8, 16, 32, 64, 8))),
    Kind("AttentionUnet", "gated attention", lambda _: nets.AttentionUnet(**_TO_2, channels=(8, 16, 32, 64), strides=_STEPS)),
    Kind("FlexibleUNet", "U-Net on EfficientNet", _flexible),
    Kind("DynUNet", "nnU-Net", _dynunet),
    Kind("SegResNet", "residual encoder and decoder", lambda _: nets.SegResNet(**_TO_2, init_filters=16)),
    Kind("UNETR", "transformer and decoder", lambda side: nets.UNETR(1, 2, side, feature_size=16, **_VIT)),
    Kind("SwinUNETR", "shifted windows and decoder", lambda _: nets.SwinUNETR(1, 2, feature_size=12, spatial_dims=2)),
    Kind("VNet", "V-Net of slices", lambda _: nets.VNet(**_TO_2)),
    Kind("HighResNet", "dilated, at full resolution", lambda _: nets.HighResNet(**_TO_2)),
    Kind("DenseNet121", "densely joined classifier", lambda _: nets.DenseNet121(**_TO_2)),
    Kind("ResNet18", "residual classifier", _resnet),
    Kind("SEResNet50", "squeeze and excitation", lambda _: nets.SEResNet50(**_JUDGES)),
    Kind("EfficientNet-B0", "scaled classifier", lambda _: nets.EfficientNetBN("efficientnet-b0", pretrained=False, **_JUDGES)),
    Kind("ViT", "transformer", _vit),
    Kind("AutoEncoder", "autoencoder", _autoencoder),
)


def build(kind: Kind, side: int, where: torch.device) -> torch.nn.Module:
    """The network with the same random weights each time, ready to judge; the process's own random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return kind.make(side).to(where).eval()
