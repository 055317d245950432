"""Colours of labels: seven that people with any kind of colour vision tell apart, and hatching where seven are not enough."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""M. Okabe, K. Ito, "Color Universal Design" (2008); without black, which is the picture's."""

HATCHES = ("plain", "rising", "falling", "across", "down", "dotted", "checked")
"""What lies over the colour, the next one after every seven labels."""

ROUNDS = ((0, 0.0), (255, 0.45), (0, 0.4))
"""What the colours are mixed with, and how much of it, the next one after every 49 labels: as they are, lighter, darker."""

STEP = 8
"""Pixels after which a hatching repeats."""


@dataclass(frozen=True)
class Style:
    """How one label looks."""

    colour: Colour
    hatch: str


def colour(value: int) -> Colour:
    """The colour of a label value, the same wherever it is drawn."""
    plain = PALETTE[(value - 1) % len(PALETTE)]
    towards, share = ROUNDS[(value - 1) // (len(PALETTE) * len(HATCHES)) % len(ROUNDS)]
    red, green, blue = (round(part + (towards - part) * share) for part in plain)
    return red, green, blue


def style(value: int) -> Style:
    """Colour and hatching of a label value (1 to 255); no two of the first 147 are the same."""
    return Style(colour(value), HATCHES[(value - 1) // len(PALETTE) % len(HATCHES)])


@cache
def stripes() -> npt.NDArray[np.bool_]:
    """Which pixels a hatching leaves darker: (hatch, row, column), each STEP x STEP, to be laid out side by side."""
    rows, columns = np.indices((STEP, STEP))
    found = np.stack([
        np.zeros((STEP, STEP), bool),
        (rows + columns) % STEP < 2,
        (rows - columns) % STEP < 2,
        rows % STEP < 2,
        columns % STEP < 2,
        (rows % 4 < 2) & (columns % 4 < 2),
        (rows // 4 + columns // 4) % 2 == 0,
    ])  # fmt: skip
    found.flags.writeable = False
    return found
