"""When the time is up: plain callables, which whoever starts the kernel fills in. On a laptop it never is."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from functools import cache

DEADLINE = "CTLAB_DEADLINE"
"""Environment variable that names a callable, `MODULE:NAME`: when this kernel ends, in seconds since the epoch."""
STOP_S = 300.0
"""Seconds before the end at which training stops: enough for its last step, a validation, and a network's way to a slow disk."""


def deadline() -> float:
    """When this kernel ends, in seconds since the epoch; infinity where nobody says."""
    return _source(os.environ.get(DEADLINE, ""))()


def seconds_left() -> float:
    """Seconds until then."""
    return deadline() - time.time()


def should_stop() -> bool:
    """Whether a loop that runs long is to keep what it has, and stop."""
    return seconds_left() <= STOP_S


@cache
def _source(named: str) -> Callable[[], float]:
    module, _, name = named.partition(":")
    if not name:
        return _never
    try:
        found: Callable[[], float] = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except (ImportError, AttributeError):
        # A program that a cell starts inherits the setting and not the kernel's modules: it ends with the kernel.
        return _never
    return found


def _never() -> float:
    return float("inf")
