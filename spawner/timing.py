"""What the person reads in the Lab about the time that their session has left, and about the storage."""

from __future__ import annotations

from enclave.wording import Clock, StorageWords
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
SILENT = N_(
    "This session does not answer: it has ended, or the connection to it is interrupted. What was saved on the cloud is kept. "
    "File → Hub Control Panel says which it is."
)
STORAGE_UP = N_("Storage: {read} read, {read_rate}/s; {written} written, {write_rate}/s")
STORAGE_PAUSED = N_("Storage paused {time}, your work is kept.")
STORAGE_GIVEN_UP = N_(
    "The storage has been away for {time}: what waited for it got an error, and what was saved before is kept. "
    "Leave this page open. When the storage is back, save your documents again and run the cells that failed again."
)
STORAGE_UNKNOWN = N_("How the storage does can't be told just now.")
STORAGE_LOST = N_(
    "The storage has been away for too long: this was not done. Keep the page open, and try again when the storage is back."
)


def clock(language: str) -> Clock:
    """The sentences in `language`; the session puts in the numbers."""
    tell = translator(language)
    return Clock(
        hours=tell(HOURS), minutes=tell(MINUTES), ends=tell(ENDS), saving=tell(SAVING), idle=tell(IDLE), silent=tell(SILENT)
    )


def storage_words(language: str) -> StorageWords:
    """The sentences about the storage in `language`."""
    tell = translator(language)
    return StorageWords(
        up=tell(STORAGE_UP),
        paused=tell(STORAGE_PAUSED),
        given_up=tell(STORAGE_GIVEN_UP),
        unknown=tell(STORAGE_UNKNOWN),
        lost=tell(STORAGE_LOST),
    )
