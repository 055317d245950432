"""The scrub of the session's GPUs, run in a sandbox like the session's own: the same devices, and nothing else of the node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable

import msgspec

from enclave import sandbox, syscalls
from enclave.children import Child
from enclave.messages import DeviceScrub, Scrub

SECONDS = 8.0
"""A scrub may take this long: the batch system gives a job half a minute or less between its signal and its death."""


def scrubber(session: sandbox.Sandbox) -> sandbox.Sandbox:
    """The sandbox that scrubs the devices of `session`."""
    return msgspec.structs.replace(session, command=(sys.executable, "-P", "-m", "enclave.scrub"))


async def scrub(box: sandbox.Sandbox) -> tuple[DeviceScrub, ...]:
    """Overwrites the memory of the devices in `box`; what became of it. Never raises: what did not run is a failure."""
    try:
        calls = syscalls.descriptor()
        try:
            child = Child(sandbox.argv(box, calls), environment=box.environment, descriptors=[calls])
        finally:
            os.close(calls)
    except Exception as error:  # noqa: BLE001  (whatever it is, the memory was not overwritten, and that is what counts)
        return (_failed(repr(error)),)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(child.ended(), SECONDS)
    late = child.running
    await child.end(patience=0.0)
    return (_failed(f"not done after {SECONDS:.0f} s"),) if late else parse(child.output().splitlines())


def parse(lines: Iterable[str]) -> tuple[DeviceScrub, ...]:
    """The outcomes in what `enclave.scrub` printed; a failure when there is none."""
    found, last = [], ""
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=DeviceScrub))
        except (msgspec.MsgspecError, UnicodeError):
            last = line
    return tuple(found) or (_failed(last or "it printed nothing"),)


def worst(devices: Iterable[DeviceScrub]) -> Scrub:
    """One word for all: done only when there are devices and each is done."""
    outcomes = {each.outcome for each in devices}
    return Scrub.DONE if outcomes == {Scrub.DONE} else Scrub.FAILED


def not_begun(why: str) -> tuple[DeviceScrub, ...]:
    """The outcome where there was no use in beginning."""
    return (_failed(why),)


def _failed(why: str) -> DeviceScrub:
    return DeviceScrub(device=0, outcome=Scrub.FAILED, detail=why[:200])
