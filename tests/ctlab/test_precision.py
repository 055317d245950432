"""A device computes rightly, or that is noticed before a training begins."""

from __future__ import annotations

import pytest
import torch
from ctlab import precision
from ctlab.precision import DeviceError, Precision, checked, convolves
from torch.nn import functional

CPU = torch.device("cpu")
right = functional.conv3d


def test_a_device_that_computes_rightly_is_used_as_it_is():
    assert checked(CPU) == (Precision(torch.float32), None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_no_fault(dtype):
    assert convolves(CPU, dtype)


def broken(dtype: torch.dtype, fault) -> object:
    def conv3d(image, kernel, **given):
        made = right(image, kernel, **given)
        return fault(made) if made.dtype is dtype else made

    return conv3d


@pytest.mark.parametrize(
    "fault",
    [lambda made: made * torch.nan, lambda made: made * 0.8, lambda made: made.roll(1, dims=4), lambda made: made + 100.0],
)
def test_a_wrong_convolution_in_short_numbers_falls_back_to_long_ones_with_a_word(monkeypatch, fault):
    monkeypatch.setattr(precision, "wanted", lambda where: Precision(torch.bfloat16))
    monkeypatch.setattr(functional, "conv3d", broken(torch.bfloat16, fault))
    used, text = checked(CPU)
    assert used == Precision(torch.float32)
    assert text == (
        "This device computes convolutions wrongly in bfloat16: float32 is used, which is right but slower. Tell the administrator."
    )


def test_a_device_that_is_wrong_in_long_numbers_too_trains_nothing(monkeypatch):
    monkeypatch.setattr(functional, "conv3d", broken(torch.float32, lambda made: made * 0.9))
    with pytest.raises(DeviceError, match="wrongly, so no training was begun"):
        checked(CPU)


def test_a_wrong_gradient_is_noticed_too(monkeypatch):
    monkeypatch.setattr(functional, "conv3d", broken(torch.float32, lambda made: made + (made - made.detach()) * 0.2))
    assert not convolves(CPU, torch.float32)
