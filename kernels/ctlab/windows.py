"""A network slides over a volume; what overlapping windows say is blended, slab by slab along z, in bounded memory.

Places, weights and padding of the windows are MONAI's (`sliding_window_inference` with Gaussian blending), so that a network is
used as it was validated; MONAI keeps the scores of all classes for the whole volume, which for a long CT is gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import torch
from monai.data.utils import compute_importance_map
from torch.nn import functional

from ctlab.network import LOW_HU, normalised

OVERLAP = 0.25
"""Part of a window that its neighbour sees too; blended with a Gaussian, so that no seams show."""

SIGMA = 0.125
"""Of that Gaussian, in sides of a window: MONAI's default."""

WINDOWS = 4
"""Windows in one pass. One by one, each pass reads all weights again: on two cores, four at once took 0.7 times as long."""

AXES = "xyz"


@torch.no_grad()
def blended(network: torch.nn.Module, hu: torch.Tensor, side: int, *, mirror: str = "") -> Iterator[torch.Tensor]:
    """Class probabilities of `hu` (int16; x, y, z) as slabs (class, x, y, depth) from the lowest z up, without gaps.

    `network` must be in eval mode; slabs lie on its device. A volume narrower than a window of `side` voxels is surrounded with
    air. `mirror` names axes ("x", "yz"): the mean over all mirrored views along them is taken. It helps only a network that was
    trained with such mirrored views, and mirroring x swaps left and right: never for one that tells them apart.
    """
    where = next(network.parameters()).device
    padded, kept = _padded(hu, side)
    shape = tuple(padded.shape)
    starts = [_starts(length, side) for length in shape]
    weight = compute_importance_map((side,) * 3, mode="gaussian", sigma_scale=SIGMA, device=where, dtype=torch.float32)
    views = _views(mirror)
    scores = torch.zeros(0)
    total = torch.zeros((*shape[:2], side), device=where)
    columns = list(product(starts[0], starts[1]))
    for first, following in zip(starts[2], (*starts[2][1:], shape[2]), strict=True):
        for at in range(0, len(columns), WINDOWS):
            some = columns[at : at + WINDOWS]
            batch = torch.stack([padded[x : x + side, y : y + side, first : first + side] for x, y in some])[:, None]
            seen = _scores(network, normalised(batch.to(where)), views)
            if not scores.numel():
                scores = torch.zeros((seen.shape[1], *shape[:2], side), device=where)
            for (x, y), found in zip(some, seen, strict=True):
                scores[:, x : x + side, y : y + side] += found.float() * weight
                total[x : x + side, y : y + side] += weight
        done = following - first
        slab = functional.softmax(scores[..., :done] / total[..., :done], dim=0)
        low, high = max(kept[2].start - first, 0), min(kept[2].stop - first, done)
        if low < high:
            yield slab[:, kept[0], kept[1], low:high]
        scores, total = _moved(scores, done), _moved(total, done)


def _scores(network: torch.nn.Module, windows: torch.Tensor, views: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Mean of the network's scores (window, class, x, y, z) over the mirrored views, each turned back."""
    total: torch.Tensor = network(windows)
    for axes in views:
        total = total + network(windows.flip(axes)).flip(axes)
    return total / (len(views) + 1)


def _views(mirror: str) -> list[tuple[int, ...]]:
    """The axes of (window, class, x, y, z) to flip for each mirrored view."""
    if not set(mirror) <= set(AXES) or len(set(mirror)) != len(mirror):
        raise ValueError(f"mirror names some of x, y, z, each once: {mirror!r}")
    axes = [AXES.index(axis) + 2 for axis in mirror]
    return [chosen for count in range(1, len(axes) + 1) for chosen in combinations(axes, count)]


def _moved(slab: torch.Tensor, by: int) -> torch.Tensor:
    """`slab` with its first `by` slices gone and as many empty ones at its end."""
    return functional.pad(slab[..., by:], (0, by))


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin along an axis; the last one ends where the axis does."""
    step = max(1, int(side * (1 - OVERLAP)))
    return [*range(0, length - side, step), length - side]


def _padded(hu: torch.Tensor, side: int) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """`hu` with air around it where it is narrower than `side`, and where in that it lies."""
    lacks = [max(0, side - length) for length in hu.shape]
    kept = tuple(slice(lack // 2, lack // 2 + length) for lack, length in zip(lacks, hu.shape, strict=True))
    if not any(lacks):
        return hu, kept
    pads = [part for lack in reversed(lacks) for part in (lack // 2, lack - lack // 2)]
    return functional.pad(hu, pads, value=int(LOW_HU)), kept
