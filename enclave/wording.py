"""Of what job and hub say to each other: the sentences that a person reads in a session, in their language.

The hub chooses the language, and the enclave puts in the numbers.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(max_length=16_384)]


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the session may send to the person's browser, and what they read about it, in their language."""

    byte_budget: Annotated[int, Meta(ge=2**20)] = 2 * 2**30
    """Bytes in the whole session. When they are used up, large answers stop and small ones go on, slowly."""
    warning: Text = "A large part of what this session may send to the browser is used."
    used_up: Text = "This session has sent as much to the browser as it may."
    too_large: Text = "This is too large."


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the person reads about time, in their language. `{hours}` and `{minutes}` stand where numbers are put in."""

    hours: Text = "{hours} h {minutes} min left"
    minutes: Text = "{minutes} min left"
    ends: Text = "This session ends in {minutes} min."
    saving: Text = "This session ends in {minutes} min. Open documents are being saved."
    idle: Text = "Nothing runs and nobody is here: this session ends in {minutes} min."
    silent: Text = "This session does not answer."


class StorageWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the person reads about the storage, in their language. Names in braces stand where sizes and times are put in."""

    up: Text = "Storage: {read} read, {read_rate}/s; {written} written, {write_rate}/s"
    paused: Text = "Storage paused {time}, your work is kept."
    given_up: Text = "The storage has been away for {time}: what waited for it got an error. Save again when it is back."
    unknown: Text = "How the storage does can't be told just now."
    lost: Text = "The storage is away: this was not done. Try again when it is back."
    """Where the notebook server could not open or save something."""
