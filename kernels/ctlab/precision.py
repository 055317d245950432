"""Which numbers a device computes with, and whether it computes rightly with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ctlab.errors import CtlabError
from ctlab.text import say
from phrases import N_

TOLERANCE = 0.05
"""Of the norm of the right result. Rounding to 8 bits of mantissa stays below 0.01; what is looked for are convolutions that are
wrong without a word, as torch 2.9's were in bfloat16 with cuDNN 9.10 (pytorch/pytorch issue 163539)."""


class DeviceError(CtlabError):
    """A device that computes wrongly."""


@dataclass(frozen=True)
class Precision:
    """How a training computes."""

    dtype: torch.dtype
    """Of convolutions; weights and sums stay float32."""

    @property
    def mixed(self) -> bool:
        """Whether they are shorter than the weights."""
        return self.dtype is not torch.float32

    @property
    def scaled(self) -> bool:
        """Whether gradients have to be scaled, so that small ones don't become 0: float16 has 5 bits of exponent."""
        return self.dtype is torch.float16

    def __str__(self) -> str:
        return str(self.dtype).removeprefix("torch.")


PLAIN = Precision(torch.float32)


def wanted(where: torch.device) -> Precision:
    """The shortest numbers that `where` has units for. A CPU computes in float32: its bfloat16 gave losses that were NaN."""
    if where.type != "cuda":
        return PLAIN
    major, _ = torch.cuda.get_device_capability(where)
    # Tensor cores: float16 from 7.0 (V100), bfloat16 from 8.0 (A100).
    return Precision(torch.bfloat16 if major >= 8 else torch.float16 if major >= 7 else torch.float32)


def checked(where: torch.device) -> tuple[Precision, str | None]:
    """The numbers to compute with on `where` after a trial, and a sentence for people when they are not the wanted ones.

    Raises DeviceError when even float32 comes out wrong.
    """
    numbers = wanted(where)
    if convolves(where, numbers.dtype):
        return numbers, None
    if numbers.mixed and convolves(where, torch.float32):
        return Precision(torch.float32), say(
            N_(
                "This device computes convolutions wrongly in {dtype}: float32 is used, which is right but slower. "
                "Tell the administrator."
            ),
            dtype=numbers,
        )
    raise DeviceError(
        N_(
            "This device computes convolutions wrongly, so no training was begun. Start another session, "
            "and tell the administrator."
        )
    )


def convolves(where: torch.device, dtype: torch.dtype) -> bool:
    """Whether a 5 x 5 x 5 convolution and its gradients on `where` in `dtype` are what a CPU finds in float64."""
    draw = torch.Generator().manual_seed(7)
    image, kernel = torch.randn(1, 8, 12, 12, 12, generator=draw), torch.randn(8, 8, 5, 5, 5, generator=draw) / 32
    found = _convolution(image.to(where), kernel.to(where), dtype)
    right = _convolution(image.double(), kernel.double(), torch.float64)
    # NaN compares as false, and so is wrong.
    return all(bool((a.cpu().double() - b).norm() <= TOLERANCE * b.norm()) for a, b in zip(found, right, strict=True))


def _convolution(image: torch.Tensor, kernel: torch.Tensor, dtype: torch.dtype) -> list[torch.Tensor]:
    """The result, and the gradients of image and kernel for the sum of its squares."""
    layout = torch.contiguous_format if dtype is torch.float64 else torch.channels_last_3d
    one, other = (each.to(dtype, memory_format=layout).requires_grad_() for each in (image, kernel))
    made = functional.conv3d(one, other, padding=2)
    # A sum of squares of short numbers would itself be inexact.
    total = (made if dtype is torch.float64 else made.float()).square().sum()
    total.backward()  # type: ignore[no-untyped-call]  # in torch's types
    assert one.grad is not None  # noqa: S101  (for the type checker)
    assert other.grad is not None  # noqa: S101
    return [made.detach(), one.grad, other.grad]
