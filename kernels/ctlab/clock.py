"""When the time is up: plain callables, which whoever starts the kernel fills in. On a laptop it never is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import cast

from ctlab.around import named

DEADLINE = "CTLAB_DEADLINE"
"""Environment variable that names a callable, `MODULE:NAME`: when this kernel ends, in seconds since the epoch."""
STOP_S = 300.0
"""Seconds before the end at which training stops: enough for its last step, a validation, and a network's way to a slow disk."""


def deadline() -> float:
    """When this kernel ends, in seconds since the epoch; infinity where nobody says."""
    # A program that a cell starts has none: it ends with the kernel.
    return cast("Callable[[], float]", named(os.environ.get(DEADLINE, "")) or _never)()


def seconds_left() -> float:
    """Seconds until then."""
    return deadline() - time.time()


def should_stop() -> bool:
    """Whether a loop that runs long is to keep what it has, and stop."""
    return seconds_left() <= STOP_S


def _never() -> float:
    return float("inf")
