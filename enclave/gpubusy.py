"""How busy a session's GPUs are, asked of the driver's own tool outside the sandbox."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from enclave.children import converse

COMMAND = ("/usr/bin/nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits")
"""One line a GPU, `0, 37`: the share in percent of the last second or less in which it computed."""
_SECONDS = 5.0
_LINE = re.compile(r" *([0-9]{1,3}) *, *([0-9]{1,3}) *", re.ASCII)
_DEVICE = re.compile(r"/nvidia([0-9]{1,3})\Z", re.ASCII)


def numbers(devices: Iterable[str]) -> frozenset[int]:
    """The GPUs among the device files `devices` of a session."""
    return frozenset(int(found[1]) for each in devices if (found := _DEVICE.search(each)))


async def busy(gpus: frozenset[int], command: tuple[str, ...] = COMMAND) -> float | None:
    """Mean busy share of `gpus`, 0 to 1; None where there is none, or the driver's tool can't tell."""
    if not gpus:
        return None
    try:
        code, output, _ = await converse(command, b"", _SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return share(output[:65_536].decode("ascii", "replace"), gpus) if code == 0 else None


def share(text: str, gpus: frozenset[int]) -> float | None:
    """The mean of the lines of `gpus` in what the tool printed.

    Where it sees no more GPUs than the session has, they are the session's, whatever their numbers: the batch system hides the
    others. None where one of them has no number, as a part of a GPU (MIG) has none.
    """
    lines = [_LINE.fullmatch(line) for line in text.splitlines() if line.strip()]
    if not lines or None in lines:
        return None
    found = {int(line[1]): min(100, int(line[2])) for line in lines if line is not None}
    own = found if len(found) <= len(gpus) else {number: percent for number, percent in found.items() if number in gpus}
    return sum(own.values()) / len(own) / 100 if own else None
