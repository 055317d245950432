"""A question that many put at once and that is asked once, with a pause after each answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Generic, TypeVar

SPACING_S = 0.25
"""Seconds between an answer and the next question at the least: all who ask meanwhile share it."""

SHARE = 4.0
"""How many times as long as an answer took the batch system is left alone after it: we are a fifth of its work at the most."""

WAIT_S = 5.0
"""The longest that such a pause keeps somebody waiting who asks, in seconds."""

A = TypeVar("A")


class Shared(Generic[A]):
    """`put(jobs)` once for all who ask before it is put; it must not raise.

    `slot` is held while it is put, where several such questions may not all be put at the same time.
    """

    def __init__(
        self,
        put: Callable[[frozenset[str]], Awaitable[A]],
        spacing_s: float = SPACING_S,
        slot: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self._put = put
        self._spacing_s = spacing_s
        self._slot = slot or nullcontext()
        self._wanted: set[str] = set()
        self._next: asyncio.Future[A] | None = None
        self._turn = asyncio.Lock()
        self._free_at = 0.0
        self.took_s = 0.0
        """How long the last answer took, or the wait for one that did not come."""

    async def ask(self, jobs: Collection[str] = ()) -> A:
        """The answer to a question about `jobs` too that is put after this call."""
        self._wanted.update(jobs)
        if self._next is None:
            self._next = asyncio.ensure_future(self._in_turn())
        return await asyncio.shield(self._next)

    async def _in_turn(self) -> A:
        async with self._turn:
            await asyncio.sleep(min(self._free_at - time.monotonic(), WAIT_S))
            async with self._slot:
                # Who calls from here on has to have a later answer.
                self._next, jobs, self._wanted = None, frozenset(self._wanted), set()
                began = time.monotonic()
                answer = await self._put(jobs)
                self.took_s = time.monotonic() - began
                self._free_at = time.monotonic() + max(self._spacing_s, SHARE * self.took_s)
                return answer
