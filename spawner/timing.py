"""What the person reads in the Lab about the time that their session has left."""

from __future__ import annotations

from enclave.messages import Clock
from phrases import N_, translator

HOURS = N_("{hours} h {minutes} min left")
MINUTES = N_("{minutes} min left")
ENDS = N_(
    "This session ends in {minutes} min. Save your work and let no new training begin: what is saved on the cloud stays, "
    "the memory of notebooks is lost."
)
SAVING = N_(
    "This session ends in {minutes} min. All open documents are being saved, and a training keeps its network and stops. "
    "The memory of notebooks is lost at the end."
)
IDLE = N_(
    "Nothing runs and nobody has worked here for a while: this session ends in {minutes} min. "
    "Run a cell or open a notebook to keep it."
)
SILENT = N_("How much time is left can't be told just now.")


def clock(language: str) -> Clock:
    """The sentences in `language`; the session puts in the numbers."""
    tell = translator(language)
    return Clock(
        hours=tell(HOURS), minutes=tell(MINUTES), ends=tell(ENDS), saving=tell(SAVING), idle=tell(IDLE), silent=tell(SILENT)
    )
