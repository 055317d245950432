"""Child processes of the first process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from enclave.children import Child, boxed, converse
from enclave.launch import NAMESPACES

PATH = {"PATH": "/usr/bin:/bin"}


def python(code: str) -> Child:
    return Child([sys.executable, "-c", code], environment=PATH)


async def test_what_a_child_says_stays_in_memory():
    child = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert await child.ended() == 3
    assert set(child.output().splitlines()) == {"out", "err"}
    assert not child.running


async def test_a_child_that_heeds_the_end_of_its_input_ends_by_itself():
    child = python("import sys; print(sys.stdin.readline().strip(), flush=True); sys.stdin.read(); print('bye')")
    child.tell(b"hello")
    await child.end(patience=10)
    assert await child.ended() == 0
    assert child.output().splitlines() == ["hello", "bye"]


async def test_one_that_does_not_is_killed():
    child = python("import time; print('deaf', flush=True); time.sleep(60)")
    while not child.output():  # noqa: ASYNC110  (another process's output has no event)
        await asyncio.sleep(0.01)
    await child.end(patience=0.2)
    assert await child.ended() == -9


async def test_a_flood_is_kept_to_its_tail():
    child = python("for i in range(5000): print(i)\nprint('x' * 100000)")
    await child.ended()
    assert len(child.output()) <= 200 * 1001


async def test_talking_to_one_that_has_gone_is_no_fault():
    child = python("")
    await child.ended()
    child.tell(b"hello")
    await child.end(patience=0.1)


async def test_a_command_with_an_answer():
    assert await converse(["/bin/cat"], b"text", 5) == (0, b"text", b"")
    with pytest.raises(subprocess.TimeoutExpired):
        await converse(["/bin/sleep", "60"], b"", 0.1)
    with pytest.raises(FileNotFoundError):
        await converse(["/nowhere"], b"", 1)


def test_orphans_are_buried_and_own_children_are_left_to_who_waits_for_them():
    # In a process of its own, that takes orphans in as the first process of a pid namespace does.
    code = """
import asyncio, ctypes, os, sys, time
from enclave.children import Child, bury
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
async def main():
    child = Child([sys.executable, "-c", "import os, sys\\nif os.fork() == 0:\\n os._exit(7)\\nos._exit(5)"], environment={})
    print(await child.ended())
    end = time.monotonic() + 5
    while time.monotonic() < end:
        bury()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            print("none left")
            return
        await asyncio.sleep(0.01)
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("\n")[:2] == ["5", "none left"], done.stderr


_OUTLIVING = """
import asyncio
from enclave.children import Child, boxed, no_more_boxed
from enclave.residue.traffic import Meter

INSIDE = '''
import ctypes, socket, time
ctypes.CDLL(None).prctl(15, bytes([13]) + b"NSpid:" + bytes([9]) + b"7")
listening = socket.create_server(("127.0.0.1", 0))
line = socket.create_connection(listening.getsockname())
print(listening.getsockname()[1], flush=True)
time.sleep(60)
'''

async def main():
    walls = ("--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "--as-pid-1")
    child = Child(["/usr/bin/bwrap", *walls, "/usr/bin/python3", "-c", INSIDE], environment={"PATH": "/usr/bin:/bin"})
    while not child.output():
        await asyncio.sleep(0.01)
    meter = Meter(int(child.output()))
    meter.look()
    await child.end(patience=0)
    print(list(boxed().values()), await no_more_boxed(5), boxed(), meter.total())

asyncio.run(main())
"""
"""A sandbox without `--die-with-parent`, as a cell can make it, whose process calls itself something misleading."""


_WATCHED = "from enclave import watchdog\nwatchdog.leave(lambda: None)\n"


@pytest.mark.parametrize("argv", [(*NAMESPACES, sys.executable, "-c", _OUTLIVING), (sys.executable, "-c", _WATCHED + _OUTLIVING)])
def test_a_sandbox_that_outlives_its_bubblewrap_is_ended_and_its_connections_are_not_the_mounts(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[True] True {} None\n", done.stderr


def test_outside_a_namespace_of_ones_own_nobody_is_boxed():
    assert boxed() == {}
