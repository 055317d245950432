"""How well a network does on cases that it doesn't learn from, on the working grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from ctlab.inference import probabilities_of
from ctlab.metrics import dice_of
from ctlab.resample import Prepared


def mean_dice(
    network: torch.nn.Module,
    cases: Iterable[Prepared],
    values: Sequence[int],
    side: int,
    look: Callable[[Prepared, npt.NDArray[np.uint8]], object] = lambda *_: None,
) -> dict[int, float]:
    """Mean Dice of each of `values`, the labels of the network's channels from 1 on, over `cases`; NaN where none has it.

    `look` is shown each case with the label values that the network sees in it.
    """
    known = np.array([0, *values], np.uint8)
    scores: dict[int, list[float]] = {value: [] for value in values}
    for case in cases:
        found = known[probabilities_of(network, case.hu, side).argmax(dim=0).numpy()]
        for value, score in dice_of(case.labels.numpy(), found, list(values)).items():
            if not np.isnan(score):
                scores[value].append(score)
        look(case, found)
    return {value: float(np.mean(each)) if each else float("nan") for value, each in scores.items()}
