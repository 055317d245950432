"""How the passes of a step are shared by several processes, so that what is computed is what one of them would compute."""

from __future__ import annotations

from dataclasses import replace

import torch

from ctlab.network import Preset, fewest
from ctlab.text import say
from phrases import N_

OTHER_BYTES = 3 * 10**9
"""Of the job's memory for each other process: torch, the driver's context, copies of weights. An estimate: no GPU was at hand."""


def wanted_processes(asked: int | None, where: torch.device) -> int:
    """How many processes are to compute: one for each GPU at most, else one; on a CPU as many as are asked for."""
    if where.type != "cuda":
        return max(1, asked or 1)
    there = torch.cuda.device_count()
    return max(1, min(there, asked or there))


def spread(preset: Preset, processes: int) -> tuple[Preset, int]:
    """The same patches a step in passes that as many of `processes` as possible can share evenly, and how many those are.

    Passes stay as large as that allows: each shows the loss all that it takes its Dice over.
    """
    patches = preset.batch * preset.accumulate
    batches = [each for each in range(preset.batch, fewest(preset) - 1, -1) if preset.batch % each == 0]
    count, batch = next((n, each) for n in range(processes, 0, -1) for each in batches if patches // each % n == 0)
    return replace(preset, batch=batch, accumulate=patches // batch), count


def fitting(preset: Preset, processes: int) -> int:
    """How many of `processes` can share the passes of `preset` evenly as they are."""
    return next(count for count in range(processes, 0, -1) if preset.accumulate % count == 0)


def settled(preset: Preset, wanted: int, *, fresh: bool, gpus: bool) -> tuple[Preset, int, list[str]]:
    """The preset as `wanted` processes share its passes, how many of them take part, and what people hear of it.

    A training that goes on keeps its passes, so that it comes to what it would have come to.
    """
    preset, count = spread(preset, wanted) if fresh else (preset, fitting(preset, wanted))
    told = []
    if count > 1:
        told.append(
            say(
                N_("{count} processes compute together, each on a GPU of its own. Each makes {each} of a step's {passes} passes "
                   "(patches in a pass: {batch}); one of them also validates and saves.")
                if gpus
                else N_("{count} processes compute together on the CPU. Each makes {each} of a step's {passes} passes (patches in "
                        "a pass: {batch}); one of them also validates and saves."),
                count=count, each=preset.accumulate // count, passes=preset.accumulate, batch=preset.batch,
            )
        )  # fmt: skip
    if count < wanted:
        told.append(
            say(
                N_("{patches} patches a step can't be shared evenly by {wanted} processes: {count} of them compute.")
                if fresh
                else N_("Of {wanted} processes {count} take part: the training was begun with {passes} passes a step and goes on "
                        "with them, so that it comes to the same. To share its steps otherwise, begin anew with resume=False."),
                patches=preset.batch * preset.accumulate, wanted=wanted, count=count, passes=preset.accumulate,
            )
        )  # fmt: skip
    return preset, count, told
