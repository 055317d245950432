"""Many starts at once take turns, so that the hub goes on answering everybody else."""

from __future__ import annotations

import asyncio

PAUSE_S = 0.05
"""Before the next one's turn. JupyterHub's own work for a start (rows in its database, a token, an OAuth client) keeps its loop
busy for about as long, and does not let go of it; who else asks meanwhile is answered between two of them."""


class Turns:
    """A door that lets one through at a time, in the order in which they came."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._door = asyncio.Lock()

    async def wait(self) -> None:
        """Return when it is the caller's turn. It ends by itself: whatever becomes of the caller, the next one's comes."""
        await self._door.acquire()
        asyncio.get_running_loop().call_later(self._pause_s, self._door.release)
