"""The viewer: everything between a volume in memory and the pictures that leave it. `ctlab.view` makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctlab import late

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        return late.module(__name__, name)
