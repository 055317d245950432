"""Overwrites the free memory of the GPUs that it can see: `python -m enclave.scrub`, one line of JSON a device.

It runs in a sandbox like the session's, with the session's devices, after everything that used them has gone: then all that the
session left is in memory that is free. CUDA's driver alone is asked, by ctypes: loading a framework would take longer than the
work. What this process's own context occupies on the device, some hundred megabytes, it can't overwrite.
Standard library only: a site's epilog may run this file by itself (`python3 scrub.py`).
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Protocol

PATTERN = 0
GRAIN = 2 << 20
"""Bytes; the driver hands out memory in pages of this size, so less than one is no loss."""
SPARE = 64 << 20
"""Bytes of free memory that may stay as they were: what the driver keeps to itself while memory is handed out."""

# CUresult, <cuda.h>
_OUT_OF_MEMORY = 2


class DriverError(Exception):
    """The driver did not do as asked."""


class OutOfMemoryError(DriverError):
    """It has no piece of that size."""


class Driver(Protocol):
    """The few verbs of CUDA's driver that are needed; each raises DriverError."""

    def count(self) -> int:
        """How many devices there are."""

    def enter(self, device: int) -> object:
        """Makes a context on `device`, for the calling thread."""

    def leave(self, context: object) -> None:
        """Takes `context` away, with all memory that it holds."""

    def free(self) -> int:
        """Free bytes on the current device."""

    def allocate(self, size: int) -> int:
        """The address of `size` fresh bytes. Raises OutOfMemoryError where there is no such piece."""

    def fill(self, address: int, size: int) -> None:
        """Writes PATTERN over `size` bytes and waits until they are written."""


@dataclass(frozen=True)
class Outcome:
    """One device; the fields of `enclave.messages.DeviceScrub`."""

    device: int
    outcome: str
    free: int = 0
    overwritten: int = 0
    detail: str = ""


def scrub(driver: Driver) -> list[Outcome]:
    """Overwrites every device that `driver` shows, side by side; one outcome each. No device is a failure: somebody gave us one."""
    try:
        count = driver.count()
    except DriverError as error:
        return [Outcome(0, "failed", detail=str(error)[:200])]
    if not count:
        return [Outcome(0, "failed", detail="the driver shows no device")]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda device: _scrub_one(driver, device), range(count)))


def _scrub_one(driver: Driver, device: int) -> Outcome:
    free = done = 0
    try:
        context = driver.enter(device)
        try:
            free = driver.free()
            done = overwrite(driver)
            rest = driver.free()
        finally:
            driver.leave(context)
    except DriverError as error:
        return Outcome(device, "failed", free, done, str(error)[:200])
    enough = done + SPARE >= free
    return Outcome(device, "done" if enough else "failed", free, done, "" if enough else f"{rest} bytes stayed free")


def overwrite(driver: Driver) -> int:
    """Takes all free memory of the current device in pieces that get smaller, and writes over each; how many bytes that were."""
    done, size = 0, driver.free() // GRAIN * GRAIN
    while size >= GRAIN:
        try:
            address = driver.allocate(size)
        except OutOfMemoryError:
            size = size // 2 // GRAIN * GRAIN
            continue
        driver.fill(address, size)
        done += size
        size = min(size, driver.free() // GRAIN * GRAIN)
    return done


class Cuda:
    """libcuda by ctypes; see the CUDA Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/."""

    def __init__(self, library: str = "libcuda.so.1") -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise DriverError(f"no driver: {error}") from error
        self._call("cuInit", ctypes.c_uint(0))

    def _call(self, name: str, *arguments: object) -> None:
        function: Callable[..., int] = getattr(self._library, name)
        code = function(*arguments)
        if code == _OUT_OF_MEMORY:
            raise OutOfMemoryError(f"{name}: out of memory")
        if code != 0:
            raise DriverError(f"{name}: CUDA error {code}")

    def count(self) -> int:
        """See `Driver`."""
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def enter(self, device: int) -> object:
        """See `Driver`."""
        handle, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device))
        self._call("cuCtxCreate_v2", ctypes.byref(context), ctypes.c_uint(0), handle)
        return context

    def leave(self, context: object) -> None:
        """See `Driver`."""
        self._call("cuCtxDestroy_v2", context)

    def free(self) -> int:
        """See `Driver`."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def allocate(self, size: int) -> int:
        """See `Driver`."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def fill(self, address: int, size: int) -> None:
        """See `Driver`."""
        self._call("cuMemsetD32_v2", ctypes.c_uint64(address), ctypes.c_uint(PATTERN), ctypes.c_size_t(size // 4))
        self._call("cuCtxSynchronize")


def main(arguments: Sequence[str]) -> int:
    """Scrubs what the driver shows; 0 when every device is done."""
    if arguments:
        sys.stderr.write("usage: python -m enclave.scrub\n")
        return 2
    try:
        outcomes = scrub(Cuda())
    except DriverError as error:
        outcomes = [Outcome(0, "failed", detail=str(error)[:200])]
    for each in outcomes:
        sys.stdout.write(json.dumps(asdict(each)) + "\n")
    return 0 if all(each.outcome == "done" for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
