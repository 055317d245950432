"""Labels over shades of grey: areas, outlines, hatching, and what of a prediction is right. Pictures are rows by columns."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ctlab.viewing.palette import HATCHES, PALETTE, STEP, Colour, Style, stripes, style
from ctlab.viewing.windows import Bytes


class Match(enum.IntEnum):
    """What a prediction is worth at one place; 0 where neither prediction nor truth has a label."""

    CORRECT = 1
    ONLY_PREDICTED = 2
    ONLY_TRUE = 3
    OTHER_LABEL = 4


MATCH_STYLES: Mapping[int, Style] = {
    Match.CORRECT: Style(PALETTE[2], "plain"),
    Match.ONLY_PREDICTED: Style(PALETTE[5], "rising"),
    Match.ONLY_TRUE: Style(PALETTE[1], "falling"),
    Match.OTHER_LABEL: Style(PALETTE[6], "dotted"),
}
MATCH_COLOURS: Mapping[Match, Colour] = {match: MATCH_STYLES[match].colour for match in Match}


@dataclass(frozen=True)
class Paint:
    """How labels are laid on: `opacity` of areas (0 to 1), and whether their hatching is drawn."""

    opacity: float = 0.4
    hatched: bool = False
    matches: bool = False
    """Whether values are `Match`, not labels."""


def match(prediction: Bytes, truth: Bytes) -> Bytes:
    """`Match` at each place of two label arrays of one shape."""
    seen, true = prediction > 0, truth > 0
    found = np.select(
        [~seen & ~true, prediction == truth, ~true, ~seen],
        [0, Match.CORRECT, Match.ONLY_PREDICTED, Match.ONLY_TRUE],
        Match.OTHER_LABEL,
    )
    return found.astype(np.uint8)


def without(values: Bytes, hidden: frozenset[int]) -> Bytes:
    """`values` with 0 in place of each of `hidden`."""
    if not hidden:
        return values
    keep = np.arange(256, dtype=np.uint8)
    keep[list(hidden)] = 0
    return keep[values]


def edges(values: Bytes) -> npt.NDArray[np.bool_]:
    """Labelled pixels with another value beside, above or below them: a line inside the label, also along the picture's edge."""
    padded = np.zeros((values.shape[0] + 2, values.shape[1] + 2), np.uint8)
    padded[1:-1, 1:-1] = values
    middle = padded[1:-1, 1:-1]
    line = middle != padded[:-2, 1:-1]
    for beside in (padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        line |= middle != beside
    line &= values > 0
    found: npt.NDArray[np.bool_] = line
    return found


def painted(shades: Bytes, filled: Bytes | None, outlined: Bytes | None, paint: Paint) -> Bytes:
    """`shades` with `filled` as areas and `outlined` as lines over it: (rows, columns, 4), red, green, blue and nothing."""
    if filled is None:
        pixels = np.take(_table(paint), shades)
    else:
        # In place, and in as few bytes as hold the place: memory costs more than arithmetic.
        place: npt.NDArray[np.unsignedinteger] = filled.astype(np.uint32 if paint.hatched else np.uint16)
        if paint.hatched:
            place[_hatched(filled, matches=paint.matches)] += 256
        place <<= 8
        place |= shades
        pixels = np.take(_table(paint), place)
    if outlined is not None:
        line = edges(outlined)
        pixels[line] = _table(Paint(1.0, matches=paint.matches))[outlined[line].astype(np.uint32) << 8]
    rows, columns = shades.shape
    return pixels.view(np.uint8).reshape(rows, columns, 4)


def _styles(*, matches: bool) -> Mapping[int, Style]:
    return MATCH_STYLES if matches else {value: style(value) for value in range(1, 256)}


@lru_cache(maxsize=8)
def _table(paint: Paint) -> npt.NDArray[np.uint32]:
    """Colour for hatching, value and shade: index (hatched << 16) + (value << 8) + shade."""
    shades = np.arange(256, dtype=np.float64)
    mixed = np.zeros((2, 256, 256, 4), np.uint8)
    mixed[:, :, :, :3] = shades[:, None].round()
    for value, looks in _styles(matches=paint.matches).items():
        for hatched, darker in ((0, 1.0), (1, 0.35)):
            colour = np.array(looks.colour) * darker
            mixed[hatched, value, :, :3] = (shades[:, None] * (1 - paint.opacity) + colour * paint.opacity).round()
    return mixed.reshape(-1).view(np.uint32)


@lru_cache(maxsize=2)
def _hatch_of(*, matches: bool) -> Bytes:
    found = np.zeros(256, np.uint8)
    for value, looks in _styles(matches=matches).items():
        found[value] = HATCHES.index(looks.hatch)
    return found


def _hatched(values: Bytes, *, matches: bool) -> npt.NDArray[np.bool_]:
    rows, columns = (np.arange(count) % STEP for count in values.shape)
    return stripes()[_hatch_of(matches=matches)[values], rows[:, None], columns[None, :]]
