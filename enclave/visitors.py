"""What the doorway asks the notebook server for itself: whether it knows a browser, and what its kernels do.

Only the server can tell, and a cell can become the server: then it may let anybody read how much time is left, and say that it is
busy for ever. It learns nothing by that, and gains no minute.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from enclave.wire import Headers, Place, request_headers

_SECONDS = aiohttp.ClientTimeout(total=5)
REMEMBERED_S = 60.0
"""Seconds for which a browser that the server knows need not be asked about again."""
_MOST = 64
"""Browsers that are remembered."""
ANSWER_LIMIT = 2**20
UNTRACKED = "no_track_activity=1"
"""Questions of the enclave's own are nobody's activity: else the hub would take them for a person's."""


class _Kernel(msgspec.Struct):
    execution_state: str


class Visitors:
    """Asks the server at `place` through `http`."""

    def __init__(self, http: aiohttp.ClientSession, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._place = place
        self._clock = clock
        self._known: dict[bytes, float] = {}

    async def known(self, headers: Headers) -> bool:
        """Whether the server would answer a browser that sends `headers`. Raises aiohttp.ClientError and TimeoutError."""
        shown = request_headers(headers, self._place)
        kept = CIMultiDict({name: shown[name] for name in ("Authorization", "Cookie", "Host", "X-XSRFToken") if name in shown})
        if not {"Authorization", "Cookie"} & set(kept):
            return False
        name = hashlib.sha256("\0".join(f"{key} {value}" for key, value in kept.items()).encode()).digest()
        now = self._clock()
        if self._known.get(name, 0.0) > now:
            return True
        async with self._ask("api/me", kept) as answer:
            good = answer.status == 200
        self._known = {each: until for each, until in self._known.items() if until > now} if len(self._known) < _MOST else {}
        if good:
            self._known[name] = now + REMEMBERED_S
        return good

    async def kernels_busy(self, key: str) -> int | None:
        """How many kernels run something, asked with the token `key`; None where the server does not say."""
        try:
            async with self._ask("api/kernels", CIMultiDict({"Authorization": f"token {key}"})) as answer:
                raw = b""
                while len(raw) <= ANSWER_LIMIT and (piece := await answer.content.read(ANSWER_LIMIT + 1)):
                    raw += piece
                kernels = msgspec.json.decode(raw, type=list[_Kernel]) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return None if kernels is None else sum(each.execution_state == "busy" for each in kernels)

    def _ask(self, address: str, headers: CIMultiDict[str]) -> aiohttp.client._RequestContextManager:
        url = URL(f"http://server{self._place.base_url}{address}?{UNTRACKED}", encoded=True)
        return self._http.get(url, headers=headers, allow_redirects=False, timeout=_SECONDS)
