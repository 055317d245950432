"""From the working grid to a CT's own grid, some slices at a time: what a long CT needs besides itself doesn't grow with it.

The grids and their relation are those of `ctlab.resample`, and so are the values: both ways are the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ctlab.regrid import Box, Shape

AT_ONCE = 64 * 2**20
"""Bytes of single-precision numbers that a piece of work may take, or what one slice takes where that is more."""


def winners(slabs: Iterable[torch.Tensor], box: Box, working: Shape, shape: Shape) -> npt.NDArray[np.uint8]:
    """The most probable class at each voxel of the full grid, uint8 of `shape`, as `ctlab.resample.winner` gives them.

    `slabs` are probabilities (class, x, y, depth) that together fill `box` of the `working` grid from its lowest z up; outside it
    class 0 is certain.
    """
    result = np.zeros(shape, np.uint8)
    below, above, share = _neighbours(working[2], shape[2])
    # Of the working slices `held` begins with `first`; one slice of nothing but class 0 lies under the box, and one above it.
    first, held, next_fine = box[2].start - 1, torch.empty(0), int(np.searchsorted(above, box[2].start))
    for slab in _framed(slabs):
        held = slab if not held.numel() else torch.cat([held, slab], dim=3)
        end = first + held.shape[3]
        # At the grid's end a slice stands for its own neighbour, and the frame's slice beyond it is never asked for.
        stop = int(np.searchsorted(above, end))
        for start, until in _pieces(next_fine, stop, held.shape[0] * shape[0] * shape[1]):
            here = torch.from_numpy(below[start:until] - first).clamp(min=0).to(held.device)
            there = torch.from_numpy(above[start:until] - first).to(held.device)
            by = torch.from_numpy(share[start:until]).to(held.device)
            mixed = held[..., here] * (1 - by) + held[..., there] * by
            result[:, :, start:until] = _fine(mixed, box, working, shape)
        next_fine = max(next_fine, stop)
        keep = min(held.shape[3], 2)
        held, first = held[..., -keep:], end - keep
    return result


def _framed(slabs: Iterable[torch.Tensor]) -> Iterable[torch.Tensor]:
    """`slabs` with a slice of class 0 before and after them."""
    empty = torch.empty(0)
    for slab in slabs:
        if not empty.numel():
            empty = torch.zeros_like(slab[..., :1])
            empty[0] = 1
            yield empty
        yield slab
    yield empty


def _neighbours(coarse: int, fine: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Of each fine slice the coarse slices below and above its centre, and the share of the latter (linear interpolation)."""
    place = np.maximum((np.arange(fine) + 0.5) * (coarse / fine) - 0.5, 0)
    below = np.minimum(place.astype(np.int64), coarse - 1)
    return below, np.minimum(below + 1, coarse - 1), (place - below).astype(np.float32)


def _pieces(start: int, stop: int, numbers_a_slice: int) -> Iterable[tuple[int, int]]:
    step = max(1, AT_ONCE // (4 * numbers_a_slice))
    return ((each, min(each + step, stop)) for each in range(start, stop, step))


def _fine(mixed: torch.Tensor, box: Box, working: Shape, shape: Shape) -> npt.NDArray[np.uint8]:
    """The winners (x, y, depth) on the fine grid of slices (class, x, y, depth) that lie at fine heights, inside `box`."""
    classes, depth = mixed.shape[0], mixed.shape[3]
    # Classes last in memory: both steps below then read and write in order, three times as fast on a CPU.
    whole = torch.zeros((depth, working[0], working[1], classes), device=mixed.device)
    whole[..., 0] = 1
    whole[:, box[0], box[1]] = mixed.permute(3, 1, 2, 0)
    fine = functional.interpolate(whole.permute(0, 3, 1, 2), shape[:2], mode="bilinear", align_corners=False)
    # Of equal ones the first wins. `argmax` says the same and is slower by far when classes don't lie last in memory.
    found: npt.NDArray[np.uint8] = fine.max(dim=1).indices.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return found


def needed_bytes(shape: Shape, working: Shape, classes: int, side: int) -> int:
    """The most that a prediction takes besides the CT (int16, `shape`) and one pass of the network, the label image included.

    `working` is the working grid's shape, `side` that of a window.
    """
    x, y = (max(length, side) for length in working[:2])
    label_image = shape[0] * shape[1] * shape[2]
    # In single precision while it is averaged (twice, where an axis gets finer), then as int16 and its part around the body.
    coarse = 8 * working[0] * working[1] * working[2]
    # Scores, their softmax, what it is computed from, and the scores moved on; the slab that is brought to the fine grid.
    slab = 4 * x * y * side * (5 * classes + 2)
    a_slice = 4 * shape[0] * shape[1] * classes
    return label_image + coarse + slab + 4 * max(AT_ONCE, a_slice)
