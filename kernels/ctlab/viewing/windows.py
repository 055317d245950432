"""Hounsfield windows: the presets, and the table from HU to shades of grey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

NARROWEST, WIDEST = 1.0, 8000.0
"""HU: limits of a window's width that a mouse can reach."""
LOWEST, HIGHEST = -4096.0, 8192.0
"""HU: limits of its level."""


@dataclass(frozen=True)
class Window:
    """Which Hounsfield units are shown from black to white: `width` of them around `level`."""

    width: float
    level: float

    def bounded(self) -> Window:
        """The nearest window within the limits."""
        return Window(min(max(self.width, NARROWEST), WIDEST), min(max(self.level, LOWEST), HIGHEST))


WINDOWS: Mapping[str, Window] = {
    "soft tissue": Window(400, 40),
    "lung": Window(1500, -600),
    "liver": Window(150, 90),
    "bone": Window(2500, 480),
    "brain": Window(80, 40),
    "mediastinum": Window(350, 50),
    "abdomen": Window(350, 40),
}
"""The usual presets; the keys 1 to 7 choose them in this order, 1 to 5 being OHIF's."""

SOURCES: Mapping[str, str] = {
    "soft tissue": "OHIF, windowLevelPresets",
    "lung": "OHIF, windowLevelPresets",
    "liver": "OHIF, windowLevelPresets",
    "bone": "OHIF, windowLevelPresets",
    "brain": "OHIF, windowLevelPresets",
    "mediastinum": "Radiopaedia, Windowing (CT)",
    "abdomen": "3D Slicer, VolumeDisplayPresets, CT-Abdomen",
}
"""Where each preset's numbers come from."""


@lru_cache(maxsize=16)
def table(window: Window, *, inverted: bool = False) -> Bytes:
    """Shade (0 black to 255 white) for each int16 HU, indexed by the same bits read as uint16; 65536 entries."""
    hu = np.arange(2**16, dtype=np.uint16).view(np.int16).astype(np.float64)
    low = window.level - window.width / 2
    shades = np.clip((hu - low) * (255.0 / window.width), 0, 255).round().astype(np.uint8)
    found: Bytes = np.uint8(255) - shades if inverted else shades
    found.flags.writeable = False
    return found


def grey(hu: npt.NDArray[np.int16], window: Window, *, inverted: bool = False) -> Bytes:
    """HU as shades of grey, in an array of its own with the rows one after the other."""
    # A slice is a turned view (`planes.cut`): the table is applied in the order of its memory, which halves what has to be turned.
    turned = hu.ndim == 2
    flat = np.take(table(window, inverted=inverted), (hu.T[::-1, ::-1] if turned else hu).view(np.uint16))
    return np.ascontiguousarray(flat[::-1, ::-1].T if turned else flat)
