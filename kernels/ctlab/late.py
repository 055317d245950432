"""Modules of a package that are imported when somebody first looks at them: `ctlab.windows` after `import ctlab` alone."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def module(package: str, name: str) -> ModuleType:
    """The module `name` of `package`, imported now: what a package's `__getattr__` gives.

    Raises AttributeError where there is none, and what the module itself raises (ModuleNotFoundError for what it lacks).
    """
    # Names with an underscore are asked of every module by many programs, and none of ours is called so.
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"{package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{name}":
                raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
