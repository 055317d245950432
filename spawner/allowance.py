"""What a session may send to its person's browser, and what they read about it."""

from __future__ import annotations

from enclave.wording import Allowance
from phrases import N_, translator
from spawner.site import SessionLimits

MEBI = 2**20
FLOOR = 64 * MEBI
"""Bytes that a session gets, whatever its person has used: enough to open JupyterLab, save and look at little."""
OVER = 10 * FLOOR
"""Bytes beyond the day's number after which there is no such floor: else whoever starts session after session has no limit."""
LEAST = MEBI
"""Bytes that every session gets: JupyterLab, of some 6 MB, does not open with it."""

WARNING = N_(
    "Your browser has had most of what it may get from here in a day. Show fewer or smaller pictures, and save your work: "
    "when the rest is used, large pictures and notebooks no longer open."
)
USED_UP = N_(
    "Your browser has had as much as it may get from here in a day, so large pictures and notebooks no longer open. "
    "What runs goes on, and saving still works. More is possible a day later."
)
TOO_LARGE = N_("This is too large for the browser. Nothing was lost; read it in a cell instead.")


def allowance(limits: SessionLimits, used: int, language: str) -> Allowance:
    """What the site's `limits` leave of a day of which `used` bytes are used, with the sentences in `language`."""
    tell = translator(language)
    left = limits.byte_budget_mb * MEBI - used
    return Allowance(
        byte_budget=max(FLOOR if left > -OVER else LEAST, left),
        warning=tell(WARNING),
        used_up=tell(USED_UP),
        too_large=tell(TOO_LARGE),
    )
