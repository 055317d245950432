"""Small image files as vision networks are fed with: half PNG, half JPEG, about 30 KB each. Pure."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 256
"""Pixels."""
_NOISE = {"png": 2.2, "jpeg": 17.5}
"""Standard deviation of the grey values' noise, and below the JPEG's quality: what brings a file of each kind to about 30 KB."""
_QUALITY = 88


Grey = npt.NDArray[np.float32]
"""Grey values from 0 to 1, one channel."""


def image(number: int, seed: int = 1) -> tuple[str, bytes]:
    """The ending and content of the image of that number: soft shapes and noise, another one for each number."""
    kind = ("png", "jpeg")[number % 2]
    draw = np.random.default_rng([seed, number])
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    x, y = axis[:, None], axis[None, :]
    grey = np.full((SIDE, SIDE), 40.0, np.float32)
    for cx, cy, width, height in draw.uniform((-0.6, -0.6, 0.1, 40), (0.6, 0.6, 0.5, 160), (5, 4)):
        grey += height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2)).astype(np.float32) / 2
    grey += draw.normal(0, _NOISE[kind], grey.shape).astype(np.float32)
    stream = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(stream, kind, **({"quality": _QUALITY} if kind == "jpeg" else {}))
    return kind, stream.getvalue()


def decoded(data: bytes, side: int) -> Grey:
    """Grey values (side, side) from 0 to 1 of an encoded image of any size."""
    with Image.open(io.BytesIO(data)) as opened:
        grey = opened.convert("L")
        if grey.size != (side, side):
            grey = grey.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(grey, np.float32) / np.float32(255)
