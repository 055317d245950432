"""What is around the kernel: plain callables, each named by an environment variable that whoever starts the kernel fills in."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import cache


@cache
def named(name: str) -> Callable[[], object] | None:
    """The callable that `name` (`MODULE:NAME`) means; None where there is none."""
    module, _, attribute = name.partition(":")
    if not attribute:
        return None
    try:
        found: Callable[[], object] = getattr(sys.modules.get(module) or importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        # A program that a cell starts inherits the setting and not the kernel's modules.
        return None
    return found
