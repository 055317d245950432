"""The pulse: what is told, what is taken over, and that a hub which does not answer changes nothing."""

from __future__ import annotations

import time

import aiohttp
import pytest

from enclave import gpubusy
from enclave.callback import RefusedError
from enclave.messages import Notice, PulseAnswer, Reason
from enclave.pulse import FIRST_S, JITTER, PULSE_S, beat
from enclave.storage import Told
from enclave.timeleft import TimeLeft

NOTICE = Notice(id="n1", text="The power goes off at six.")


class EnoughError(Exception):
    """The test has seen enough."""


class Hub:
    """Says what the test wants."""

    def __init__(self, answer: PulseAnswer | Exception) -> None:
        self.answer = answer
        self.heard = []

    async def pulse(self, pulse):
        self.heard.append(pulse)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def run(hub, time_left, *, kernels=0, gpu=None, beats=2):
    """`beats` pulses, or fewer when the session ends; why it ended, and the pauses."""
    pauses = []

    async def wait(seconds):
        if len(pauses) == beats:
            raise EnoughError
        pauses.append(seconds)

    async def kernels_busy():
        return kernels

    async def gpu_busy():
        return gpu

    try:
        return await beat(hub, time_left, kernels_busy, gpu_busy, lambda: 17, wait=wait), pauses
    except EnoughError:
        return None, pauses


async def test_the_hub_hears_what_goes_on_and_its_answer_counts():
    time_left, hub = TimeLeft(2e9), Hub(PulseAnswer(deadline=1.9e9, notices=(NOTICE,), idle_s=60))
    reason, pauses = await run(hub, time_left, kernels=2, gpu=0.5, beats=20)
    assert reason is None
    told = hub.heard[0]
    assert (told.kernels_busy, told.gpu_busy, told.sent) == (2, 0.5, 17)
    assert 0 <= told.idle_s <= told.browser_s < 5
    assert (time_left.deadline, time_left.notices, time_left.idle_s) == (1.9e9, (NOTICE,), 60)
    assert pauses[0] == FIRST_S
    assert all(PULSE_S * (1 - JITTER) <= each <= PULSE_S * (1 + JITTER) for each in pauses[1:])
    assert len(set(pauses)) > 10


@pytest.mark.parametrize(
    "silence",
    [TimeoutError(), aiohttp.ClientConnectionError(), *(RefusedError(Reason.INTERNAL, status) for status in (403, 429, 503))],
)
async def test_a_hub_that_does_not_answer_changes_nothing(silence):
    time_left = TimeLeft(2e9, notices=(NOTICE,), idle_s=1000)
    assert (await run(Hub(silence), time_left, beats=5))[0] is None
    assert (time_left.deadline, time_left.notices, time_left.idle_s) == (2e9, (NOTICE,), 1000)


def long_ago(seconds: float) -> TimeLeft:
    """A session in which nothing has gone on for so long."""
    turned = 0.0
    time_left = TimeLeft(2e9, monotonic=lambda: time.monotonic() + turned)
    turned = seconds
    return time_left


async def test_a_session_in_which_nothing_goes_on_ends_as_idle():
    hub = Hub(PulseAnswer(deadline=2e9, idle_s=3600))
    assert (await run(hub, long_ago(3599 - 60)))[0] is None
    assert (await run(hub, long_ago(3600)))[0] is Reason.IDLE
    assert hub.heard[-1].idle_s >= 3600


@pytest.mark.parametrize("kernels", [1, None])
async def test_what_runs_or_may_run_is_not_idle(kernels):
    hub, time_left = Hub(PulseAnswer(deadline=2e9, idle_s=3600)), long_ago(10_000)
    assert (await run(hub, time_left, kernels=kernels))[0] is None
    assert hub.heard[-1].browser_s >= 10_000


@pytest.mark.parametrize(("line", "reason"), [("paused", None), ("up", Reason.IDLE)])
async def test_while_the_storage_is_paused_nothing_is_idle_because_a_save_may_wait(line, reason):
    time_left = long_ago(10_000)
    time_left.storage = lambda: Told(line=line)
    assert (await run(Hub(PulseAnswer(deadline=2e9, idle_s=3600)), time_left))[0] is reason


@pytest.mark.parametrize(
    ("text", "gpus", "share"),
    [
        ("0, 37\n", {0}, 0.37),
        ("0, 100\n1, 50\n", {0, 1}, 0.75),
        ("0, 100\n1, 50\n", {1}, 0.5),
        ("0, 20\n", {3}, 0.2),
        ("0, 100\n1, 50\n", {2}, None),
        ("0, [N/A]\n", {0}, None),
        ("", {0}, None),
        ("No devices were found\n", {0}, None),
        ("0, 999\n", {0}, 1.0),
    ],
)
def test_how_busy_the_gpus_are_is_the_mean_of_the_session_s_own(text, gpus, share):
    assert gpubusy.share(text, frozenset(gpus)) == share


def test_which_gpus_are_the_session_s():
    assert gpubusy.numbers(("/dev/nvidia0", "/dev/nvidia12", "/dev/nvidiactl", "/dev/nvidia-uvm")) == {0, 12}


async def test_without_a_gpu_or_without_the_tool_nobody_can_tell(tmp_path):
    assert await gpubusy.busy(frozenset()) is None
    assert await gpubusy.busy(frozenset({0}), ("/nowhere/nvidia-smi",)) is None
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0, 42\n")
    tool.chmod(0o755)
    assert await gpubusy.busy(frozenset({0}), (str(tool),)) == 0.42
