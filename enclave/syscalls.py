"""What a program in the sandbox may not ask of the kernel: what leads past namespaces, as a seccomp program (pure bytes).

A network namespace does not hold AF_VSOCK, by which a virtual machine talks to the machine under it; nor is every other family
known for holding to it. A key in the keyring that the job was started with outlives the job where the node's daemon has one of its
own. io_uring opens sockets that no filter sees. By ptrace a cell made bubblewrap outlive its parent; bpf, perf events and
userfaultfd are how faults of a kernel have been used.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from enclave.failure import SessionFailure
from enclave.messages import Reason

FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: what libraries open on a machine without a network (linux/socket.h)."""

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
"""Offsets in struct seccomp_data; of an argument the lower half, which is all that socket(2) reads."""


@dataclass(frozen=True)
class _Machine:
    architecture: int
    """AUDIT_ARCH_* (linux/audit.h): calls in any other form, as of 32-bit programs, are refused."""
    sockets: tuple[int, int]
    """socket, socketpair."""
    keys: tuple[int, int, int]
    """add_key, request_key, keyctl."""
    tracing: tuple[int, int, int, int]
    """ptrace, perf_event_open, bpf, userfaultfd."""
    past: int | None = None
    """From this number on it is another form again (x32)."""


_IO_URING = (425, 426, 427)
_MACHINES = {
    "x86_64": _Machine(0xC000003E, (41, 53), (248, 249, 250), (101, 298, 321, 323), 0x40000000),
    "aarch64": _Machine(0xC00000B7, (198, 199), (217, 218, 219), (117, 241, 280, 282)),
}


def program(machine: str) -> bytes:
    """The filter for `machine` (as uname says it), as an array of struct sock_filter.

    Raises SessionFailure where nobody has written one: a sandbox without it would be another than what is promised.
    """
    known = _MACHINES.get(machine)
    if known is None:
        raise SessionFailure(Reason.SANDBOX_IMPOSSIBLE, f"no filter of system calls for {machine}")
    # Each check is a comparison and what follows when it holds; a jump counts the instructions that are passed over.
    words = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, known.architecture), _refuse(errno.ENOSYS), (_LOAD, 0, 0, _NUMBER_AT)]
    if known.past is not None:
        words += [(_AT_LEAST, 0, 1, known.past), _refuse(errno.ENOSYS)]
    for number in (*known.keys, *known.tracing):
        words += [(_EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    for number in _IO_URING:
        words += [(_EQUAL, 0, 1, number), _refuse(errno.ENOSYS)]
    families = _families()
    words += [(_EQUAL, 1, 0, known.sockets[0]), (_EQUAL, 0, len(families), known.sockets[1]), *families]
    words.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *word) for word in words)


def _families() -> Sequence[tuple[int, int, int, int]]:
    checks = [(_EQUAL, len(FAMILIES) - place, 0, family) for place, family in enumerate(FAMILIES)]
    return [(_LOAD, 0, 0, _FIRST_ARGUMENT_AT), *checks, _refuse(errno.EAFNOSUPPORT)]


def _refuse(number: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | number)


def descriptor() -> int:
    """An open descriptor with the filter for this machine, at its beginning, as bubblewrap reads it. Raises as `program`."""
    filter_program = program(os.uname().machine)
    found = os.memfd_create("filter", os.MFD_CLOEXEC)
    os.write(found, filter_program)
    os.lseek(found, 0, os.SEEK_SET)
    return found
