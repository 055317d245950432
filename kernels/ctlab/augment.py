"""The same patient a little turned, larger, denser and noisier: computed for a whole batch on the device that trains."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

TURN_DEG, SCALE = 10.0, 0.1
"""How far patches are turned about each axis, and how much they grow or shrink, at most."""
SHIFT_HU, GAIN, NOISE_HU = 20.0, 0.05, 15.0
"""Added to every voxel, multiplied onto its distance from air, and the standard deviation of noise: what scanners differ by."""
AIR_HU = -1000.0


def augmented(hu: torch.Tensor, labels: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Both batches changed at random, each patch in its own way; the same state of `draw`, which lives
    on their device, changes them in the same way.

    `hu` is (patch, 1, x, y, z) in HU of any type and becomes float32; `labels` (patch, x, y, z) stays uint8. What comes in from
    outside a patch is its edge. No mirroring: a label may mean a side.
    """
    count, where = hu.shape[0], hu.device
    amounts = torch.rand(count, 6, generator=draw, device=where) * 2.0 - 1.0
    grid = functional.affine_grid(_turned(amounts), [count, 1, *hu.shape[2:]], align_corners=False)
    moved = functional.grid_sample(hu.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    marked = functional.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    gain, shift = (amounts[:, column].view(-1, 1, 1, 1, 1) for column in (4, 5))
    noise = torch.randn(moved.shape, generator=draw, device=where)
    strength = torch.rand(count, 1, 1, 1, 1, generator=draw, device=where)
    changed = (moved - AIR_HU) * (1.0 + GAIN * gain) + AIR_HU + SHIFT_HU * shift + NOISE_HU * strength * noise
    return changed, marked[:, 0].to(labels.dtype)


def _turned(amounts: torch.Tensor) -> torch.Tensor:
    """The affine matrices (patch, 3, 4) for amounts of -1 to 1: three angles, one size."""
    angles = amounts[:, :3] * math.radians(TURN_DEG)
    sines, cosines, size = angles.sin(), angles.cos(), 1.0 + SCALE * amounts[:, 3]
    matrix = torch.eye(3, device=amounts.device).expand(len(amounts), 3, 3)
    for axis in range(3):
        one, other = (each for each in range(3) if each != axis)
        turn = torch.eye(3, device=amounts.device).repeat(len(amounts), 1, 1)
        turn[:, one, one] = turn[:, other, other] = cosines[:, axis]
        turn[:, one, other], turn[:, other, one] = -sines[:, axis], sines[:, axis]
        matrix = matrix @ turn
    return torch.cat([matrix * size[:, None, None], torch.zeros(len(amounts), 3, 1, device=amounts.device)], dim=2)
