"""When files can't be read for a reason that isn't theirs: no right to them, or a storage that doesn't answer; and how it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ctlab.around import named
from ctlab.errors import StorageError, UnreadableError
from phrases import N_

STATUS = "CTLAB_STORAGE"
"""Environment variable that names a callable, `MODULE:NAME`: what people should know about the storage now, as a sentence."""


def storage_status() -> str:
    """How the storage does, for people: bytes and rates, or that it is paused and for how long. Empty where nobody says.

    Asking never waits for the storage.
    """
    tell = named(os.environ.get(STATUS, ""))
    return "" if tell is None else str(tell())


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Tells of the operating system's refusals as sentences about the case `name`: UnreadableError or StorageError."""
    try:
        yield
    except PermissionError as error:
        raise UnreadableError(
            N_("{case}: you may not read this case's files. Ask the data owner whether they are open to you."), case=name
        ) from error
    except OSError as error:
        raise StorageError(
            N_("{case}: the storage doesn't answer ({error}). Nothing was changed; try again in some minutes."),
            case=name,
            error=error.strerror or error,
        ) from error
