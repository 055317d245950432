"""What a process in the sandbox sees, told by a child of the server's before anything of a person's is there."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from enclave.preflight.facts import Inside

_PLACES = ("/run", "/var", "/tmp", "/home", "/dev", "/etc", "/root", "/srv", "/mnt")  # noqa: S108  (where a node has sockets)
_MAJOR, _MINOR = 75, 76
"""The attributes COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""


def report(descriptor: int, *, gpus: bool) -> None:
    """Writes an `Inside` to `descriptor` from a child process, and returns at once; `gpus`: ask CUDA too.

    A child, because CUDA can't be used by a process whose parent has begun it, and because it may take seconds. It is handed
    over to the sandbox's first process, which buries it: the server would not.
    """
    between = os.fork()
    if between == 0:
        try:
            if os.fork() == 0:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(msgspec.json.encode(look(gpus=gpus)))
        finally:
            os._exit(0)
    os.close(descriptor)
    os.waitpid(between, 0)


def main(descriptor: int, gpus: int) -> None:
    """Writes an `Inside` to `descriptor`: all that a sandbox does in which nothing else runs."""
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(look(gpus=gpus > 0)))


def look(*, gpus: bool) -> Inside:
    """What this process sees."""
    cuda, capabilities = _cuda() if gpus else (None, ())
    return Inside(
        namespaces=namespaces(),
        interfaces=tuple(name for _, name in socket.if_nameindex()),
        mountinfo=Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"),
        sockets=tuple(_sockets()),
        vsock=_vsock(),
        cuda=cuda,
        capabilities=capabilities,
        architectures=_architectures() if capabilities else None,
    )


def namespaces() -> dict[str, str]:
    """The kernel's names for the namespaces of this process, by kind."""
    return {each.name: str(each.readlink()) for each in Path("/proc/self/ns").iterdir()}


def _sockets() -> Iterator[str]:
    for place in _PLACES:
        for folder, _, names in os.walk(place):
            for path in (f"{folder}/{name}" for name in names):
                with contextlib.suppress(OSError):
                    if stat.S_ISSOCK(os.lstat(path).st_mode):
                        yield path


def _vsock() -> bool:
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _cuda() -> tuple[str, tuple[tuple[int, int], ...]]:
    """Why CUDA can't begin, if it can't, and the compute capability of each GPU."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return str(error), ()
    if (code := cuda.cuInit(0)) != 0:
        return f"cuInit answers {code} ({_error_name(cuda, code)})", ()
    count = ctypes.c_int()
    if (code := cuda.cuDeviceGetCount(ctypes.byref(count))) != 0:
        return f"cuDeviceGetCount answers {code} ({_error_name(cuda, code)})", ()
    return "", tuple((_attribute(cuda, _MAJOR, device), _attribute(cuda, _MINOR, device)) for device in range(count.value))


def _attribute(cuda: ctypes.CDLL, number: int, device: int) -> int:
    value = ctypes.c_int()
    # A CUdevice is its ordinal (cuDeviceGet); a failed call leaves 0, which no code is built for.
    cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device)
    return value.value


def _error_name(cuda: ctypes.CDLL, code: int) -> str:
    name = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(name))
    return (name.value or b"unknown").decode("ascii", "replace")


def _architectures() -> tuple[str, ...] | None:
    """None where no torch is installed; nothing where it does not work."""
    if importlib.util.find_spec("torch") is None:
        return None
    ask = [sys.executable, "-P", "-c", "import torch; print(*torch.cuda.get_arch_list())"]
    return tuple(subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
