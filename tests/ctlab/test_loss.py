"""The loss is MONAI's own, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from ctlab.loss import dice_ce
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss


def monais(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(logits, truth[:, None])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 3), st.sampled_from([0.1, 1.0, 30.0]))
def test_value_and_gradients_are_those_of_monais_loss(seed, classes, patches, spread):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(patches, classes, 4, 3, 5, generator=draw) * spread
    truth = torch.randint(0, classes, (patches, 4, 3, 5), generator=draw, dtype=torch.uint8)
    one, other = (logits.clone().requires_grad_() for _ in range(2))
    ours, theirs = dice_ce(one, truth), monais(other, truth)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    ours.backward()
    theirs.backward()
    assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_a_structure_that_no_patch_has_pulls_to_nothing():
    empty = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    sure = torch.zeros(1, 2, 4, 4, 4)
    sure[:, 0] = 50.0
    assert dice_ce(sure, empty).item() == pytest.approx(0.0, abs=1e-4)


def test_short_numbers_are_summed_in_long_ones():
    """1000 voxels of 0.01 are 10, but a sum in bfloat16 stops at 2 or 4."""
    logits = torch.zeros(1, 2, 32, 32, 32, dtype=torch.bfloat16)
    truth = torch.ones(1, 32, 32, 32, dtype=torch.uint8)
    assert dice_ce(logits, truth).item() == pytest.approx(dice_ce(logits.float(), truth).item(), rel=1e-6)
