"""The pulse: what goes on in a session, told to the hub every half minute, and what it says back.

A hub that does not answer changes nothing: deadline, notices and the limit for idle sessions stay what they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import aiohttp

from enclave.callback import Callback, RefusedError
from enclave.messages import BadMessageError, Pulse, Reason
from enclave.storage import PAUSED
from enclave.timeleft import TimeLeft

PULSE_S = 30.0
"""Seconds between two pulses."""
JITTER = 0.2
"""Share of it by which each is earlier or later, so that sessions which began together do not speak together."""
FIRST_S = 2.0
"""Seconds until the first: then the page knows what the hub has to say."""


async def beat(
    hub: Callback,
    time_left: TimeLeft,
    kernels_busy: Callable[[], Awaitable[int | None]],
    gpu_busy: Callable[[], Awaitable[float | None]],
    sent: Callable[[], int],
    *,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Reason:
    """Tells the hub what goes on until nothing has gone on for as long as the site allows: then the session is idle, and ends."""
    pause = FIRST_S
    while True:
        await wait(pause)
        pause = PULSE_S * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (nothing to guess)
        kernels = await kernels_busy()
        # Where the server does not say, nobody ends what may be running; nor what may wait for the line, as a save does.
        if kernels != 0 or time_left.storage().line == PAUSED:
            time_left.busy()
        pulse = Pulse(
            kernels_busy=kernels,
            browser_s=time_left.browser_s(),
            gpu_busy=await gpu_busy(),
            sent=sent(),
            idle_s=time_left.idle_for(),
        )
        with contextlib.suppress(RefusedError, BadMessageError, aiohttp.ClientError, TimeoutError):
            time_left.told(await hub.pulse(pulse))
        if time_left.idle():
            return Reason.IDLE
