"""What a training makes small: Dice loss plus cross-entropy."""

from __future__ import annotations

import torch

SMOOTH = 1e-5
"""Keeps the Dice of a class that neither side has from being 0 / 0."""


def dice_ce(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Soft Dice loss of all classes but the background, plus cross-entropy; a scalar.

    `logits` is (patch, class, x, y, z), `truth` the class of each voxel, (patch, x, y, z). Dice is taken over the whole batch: a
    patch without a structure would else pull its term to one constant after the other. The same as MONAI's
    `DiceCELoss(include_background=False, softmax=True, batch=True)`, from one softmax, and with sums in a fixed order on a GPU too.
    """
    logs = logits.float().log_softmax(dim=1)
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1, 1)
    right = (truth[:, None] == classes).to(logs.dtype)
    entropy = -(logs * right).sum() / truth.numel()
    found, right = logs[:, 1:].exp(), right[:, 1:]
    over = (0, 2, 3, 4)
    dice = (2.0 * (found * right).sum(over) + SMOOTH) / (found.sum(over) + right.sum(over) + SMOOTH)
    return entropy + (1.0 - dice).mean()
