"""Writing beside the work: a thread takes what is to be saved to a slow or broken storage, and the steps go on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ctlab.text import say
from phrases import N_

ATTEMPTS, WAIT_S = 3, 5.0
"""A write that fails is repeated from memory: an SFTP server's error may be over by then, but its file handle stays broken."""
RETRY_S = 60.0
"""After that many attempts people are told, and it is tried again in this time."""

TAKES_NOTHING = N_(
    "The storage took nothing {attempts} times over ({error}). Nothing is lost: the training goes on in memory, and every "
    "{seconds:.0f} s it is tried again."
)
TAKES_AGAIN = N_("The storage takes data again. Saved now: {what}.")


@dataclass(frozen=True)
class Item:
    """Something to write."""

    what: str
    """What it is, for people: "the state after 120 steps"."""
    write: Callable[[], object]
    """Writes it from memory, whole or not at all; when it raises, it is called again."""


class Writer:
    """Writes one item after the other; one that still waits gives way to a newer one under its key.

    Of several that wait, the one goes first whose key comes first in `keys`, also when it has failed: so what speaks of something
    else, as a state does of the best network, is written after it.
    """

    def __init__(
        self,
        tell: Callable[[str], object],
        keys: Sequence[str],
        *,
        attempts: int = ATTEMPTS,
        wait_s: float = WAIT_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """`tell` hears, in the writer's thread, when the storage takes nothing, and when it takes data again."""
        self._keys = tuple(keys)
        self._tell, self._attempts, self._wait_s, self._retry_s = tell, attempts, wait_s, retry_s
        self._changed = threading.Condition()
        self._waiting: dict[str, Item] = {}
        self._busy: str | None = None
        self._failed: str | None = None
        self._closing = False
        # Ends with the process: a storage that hangs must not keep a kernel from ending. `close` waits for it.
        self._thread = threading.Thread(target=self._run, name="ctlab-writer", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> str | None:
        """Why the storage takes nothing at present; None when nothing is wrong."""
        return self._failed

    def put(self, key: str, item: Item) -> None:
        """Has `item` written soon; returns at once. Raises ValueError when `key` is none of the writer's."""
        if key not in self._keys:
            raise ValueError(key)
        with self._changed:
            self._waiting[key] = item
            self._changed.notify_all()

    def close(self, within_s: float = float("inf")) -> tuple[str, ...]:
        """Waits until all is written, tries what failed once more, and ends the thread; returns what is not saved, for people.

        What the storage still has not answered after `within_s` seconds counts as not saved.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(None if within_s == float("inf") else min(max(0.0, within_s), threading.TIMEOUT_MAX))
        with self._changed:
            return tuple(
                ([self._busy] if self._busy else []) + [self._waiting[key].what for key in self._keys if key in self._waiting]
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                last = self._closing
                key = min(self._waiting, key=self._keys.index)
                item = self._waiting.pop(key)
                self._busy = item.what
            error = self._attempt(item)
            with self._changed:
                self._busy = None
                if error is not None:
                    self._waiting.setdefault(key, item)
                if error is not None and last:
                    self._failed = str(error)
                    return
            self._judge(item, error)

    def _attempt(self, item: Item) -> Exception | None:
        """The last error, if no attempt succeeded."""
        failed: Exception | None = None
        for number in range(self._attempts):
            if number:
                time.sleep(self._wait_s)
            try:
                item.write()
            except Exception as error:  # noqa: BLE001  (a full disk is an OSError to Python, and a RuntimeError to torch.save)
                failed = error
            else:
                return None
        return failed

    def _judge(self, item: Item, error: Exception | None) -> None:
        """Tells when it begins to fail and when that is over; waits before the next try."""
        before, self._failed = self._failed, None if error is None else str(error)
        if error is not None:
            if before is None:
                self._tell(say(TAKES_NOTHING, attempts=self._attempts, error=error, seconds=self._retry_s))
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._retry_s)
        elif before is not None:
            self._tell(say(TAKES_AGAIN, what=item.what))
