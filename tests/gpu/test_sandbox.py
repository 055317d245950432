"""A GPU opens inside the sandbox: a driver that can't begin there makes programs compute on the CPU without a word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from enclave import syscalls
from enclave.namespace import Namespaces
from enclave.preflight.facts import Inside
from enclave.sandbox import Bind, Sandbox, argv, look

ROOT = Path(__file__).parents[2]
ASK = "import sys, msgspec; from enclave.preflight.probe import look; sys.stdout.buffer.write(msgspec.json.encode(look(gpus=True)))"


@pytest.fixture(scope="module")
def seen() -> Inside:
    """What the preflight's probe sees in a sandbox with the devices of this machine."""
    node = look(Namespaces(), 1)
    software = sorted({sys.prefix, sys.base_prefix, str(ROOT)} - {"/usr"})
    binds = [Bind(each, each) for each in ("/usr", *node.system, "/etc/ld.so.cache", "/sys", *software)]
    binds += [Bind(each, each, device=True) for each in node.gpu_devices]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    box = Sandbox(
        links=node.links,
        memory=("/tmp", "/home"),
        binds=tuple(binds),
        home="/home",
        user_namespace=True,
        environment=environment,
        command=(sys.executable, "-P", "-c", ASK),
    )
    calls = syscalls.descriptor()
    try:
        done = subprocess.run(argv(box, calls), env=environment, capture_output=True, check=True, pass_fds=[calls])
    finally:
        os.close(calls)
    return msgspec.json.decode(done.stdout, type=Inside)


def test_cuda_begins_inside(seen):
    assert seen.cuda == ""
    assert len(seen.capabilities) >= 1


def test_torch_is_built_for_the_devices(seen):
    from enclave.preflight.checks import runs

    assert seen.architectures
    assert all(runs(each, seen.architectures) for each in seen.capabilities)
