"""The filter of system calls, in the kernel itself: a process of its own takes it on and tries."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.failure import SessionFailure
from enclave.messages import Reason
from enclave.syscalls import program

TRY = """
import ctypes, json, os, socket, struct, sys
text = sys.stdin.buffer.read()
libc = ctypes.CDLL(None, use_errno=True)
kept = ctypes.create_string_buffer(text, len(text))
filter_ = struct.pack("=H6xQ", len(text) // 8, ctypes.addressof(kept))
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_, 0, 0) == 0, os.strerror(ctypes.get_errno())
def call(*words):
    ctypes.set_errno(0)
    return os.strerror(ctypes.get_errno()) if libc.syscall(*words) < 0 else "done"
def opened(family):
    try:
        socket.socket(family, socket.SOCK_STREAM if family != 16 else socket.SOCK_RAW).close()
    except OSError as error:
        return error.strerror
    return "done"
add_key, request_key, keyctl, *tracing = json.loads(sys.argv[1])
print(json.dumps({
    "tracing": [call(number, 0, 0, 0, 0) for number in tracing],
    "keys": [call(add_key, b"user", b"name", b"data", 4, -3), call(request_key, b"user", b"name", 0, 0), call(keyctl, 0, -3, 1)],
    "uring": call(425, 8, 0),
    "families": {str(family): opened(family) for family in (1, 2, 10, 16, 17, 30, 38, 40)},
    "pair": len(socket.socketpair()),
    "x32": call(0x40000000 | 41, 1, 1, 0),
}))
"""
NUMBERS = {"x86_64": (248, 249, 250, 101, 298, 321, 323), "aarch64": (217, 218, 219, 117, 241, 280, 282)}


def test_what_leads_past_the_namespaces_is_refused_and_nothing_else_is():
    argv = [sys.executable, "-c", TRY, json.dumps(NUMBERS[os.uname().machine])]
    done = subprocess.run(argv, input=program(os.uname().machine), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)

    assert found["keys"] == ["Operation not permitted"] * 3
    assert found["tracing"] == ["Operation not permitted"] * 4
    assert found["uring"] == "Function not implemented"
    refused = dict.fromkeys(("17", "30", "38", "40"), "Address family not supported by protocol")
    assert found["families"] == dict.fromkeys(("1", "2", "10", "16"), "done") | refused
    assert found["pair"] == 2
    assert found["x32"] == "Function not implemented"


def test_a_machine_that_nobody_wrote_a_filter_for_gets_no_session():
    with pytest.raises(SessionFailure) as caught:
        program("riscv64")
    assert caught.value.reason is Reason.SANDBOX_IMPOSSIBLE


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@given(number=st.integers(0, 500), family=st.integers(0, 60))
def test_every_way_through_the_program_ends_in_an_answer(machine, number, family):
    """By walking it: the kernel of the other machine is not here."""
    words = [program(machine)[at : at + 8] for at in range(0, len(program(machine)), 8)]
    architecture, sockets = {"x86_64": (0xC000003E, {41, 53}), "aarch64": (0xC00000B7, {198, 199})}[machine]
    answer = walk(words, {0: number, 4: architecture, 16: family})
    stopped = number in {*NUMBERS[machine], 425, 426, 427} or (number in sockets and family not in {1, 2, 10, 16})
    assert (answer != 0x7FFF0000) == stopped
    assert walk(words, {0: number, 4: 0x40000003, 16: family}) & 0xFFFF0000 == 0x00050000


def walk(words: list[bytes], data: dict[int, int]) -> int:
    """What the filter returns for a call."""
    at, loaded = 0, 0
    while True:
        code, yes, no, value = int.from_bytes(words[at][:2], "little"), *words[at][2:4], int.from_bytes(words[at][4:], "little")
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            loaded = data[value]
        else:
            assert code in {0x15, 0x35}
            at += yes if (loaded == value if code == 0x15 else loaded >= value) else no
