"""The geometry of a plot of columns; `templates/plot.svg` draws it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 180
"""Of the whole picture, in the SVG's own units."""
LEFT, RIGHT, BOTTOM, TOP = 44, 20, 22, 8
"""Room for the labels."""
LINES = 4
NOTHING = 1e-6
"""Less than this (of GPU-hours: some milliseconds) is drawn as none: no round number lies below the smallest floats."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One column."""

    x: float
    y: float
    width: float
    height: float
    label: str
    """Below it; empty for most."""
    middle: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the grid."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that the template needs."""

    width: int
    height: int
    left: int
    base: float
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]


def step(top: float) -> float:
    """A round distance between the grid's lines: 1, 2 or 5 times a power of ten, at most LINES of them below `top`."""
    if top < NOTHING:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(top / LINES))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power * LINES >= top)


def columns(values: Sequence[float], labels: Sequence[str]) -> Plot:
    """A column for each of `values`, none below 0, with every seventh of `labels`, the last among them."""
    distance = step(max(values, default=0.0))
    top = distance * max(1, math.ceil(max(values, default=0.0) / distance - 1e-9))
    base = HEIGHT - BOTTOM
    room = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    bars = []
    for number, (value, label) in enumerate(zip(values, labels, strict=True)):
        height = (base - TOP) * value / top
        x = LEFT + number * room
        shown = label if (len(values) - 1 - number) % 7 == 0 and number > 1 else ""
        left, y, width, tall, middle = (
            round(each, 2) for each in (x + room * 0.1, base - height, room * 0.8, height, x + room / 2)
        )
        bars.append(Bar(left, y, width, tall, shown, middle))
    count = round(top / distance)
    lines = tuple(Line(round(base - (base - TOP) * number / count, 2), f"{number * distance:g}") for number in range(count + 1))
    return Plot(WIDTH, HEIGHT, LEFT, base, tuple(bars), lines)
