"""After a cut, with a real OpenSSH: programs go on soon, and ssh uses what it has been given meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from bench.report import Report
from cloudlink.connection import Connection
from cloudlink.loop import Loop
from cloudlink.ssh import prepared
from enclave import mount
from enclave.messages import Destination
from testbed.nearby import Nearby, certify, nearby
from tests.cloudlink.test_ssh import until
from tests.house.test_layout import ROOT


@pytest.fixture
def here() -> Iterator[Nearby]:
    with nearby() as found:
        yield found


def test_an_ssh_that_has_started_already_uses_the_certificate_that_came_since(here):
    destination = Destination(
        name="destination", gateway="127.0.0.1", port=here.line.port, account="root",
        host_keys="", path=str(here.folder), folder=".",
    )  # fmt: skip
    (here.run / "config").write_text(mount.ssh_config(destination, here.run))
    # Signed by a key that the destination does not believe.
    sign = ["ssh-keygen", "-q", "-s", str(here.run / "host"), "-I", "other", "-n", "root", str(here.run / "key.pub")]
    subprocess.run(sign, check=True)
    loop, said, up = Loop(), [], []
    words = ["ssh", "-x", "-a", f"-F{here.run}/config", "-2", "-s", "--", "destination", "sftp"]
    waiting = Connection(
        loop, prepared(words), said.append, ready=up.append, ended=lambda _, ending: said.append(ending.why), drained=lambda: None
    )
    end = time.monotonic() + 1
    until(loop, lambda: time.monotonic() > end)
    certify(here.run, serial=2)
    waiting.dial(patient=True)
    until(loop, lambda: bool(up or said))

    assert (up, said) == ([waiting], [])
    waiting.close("the test is over")
    waiting.abort()
    loop.close()


@pytest.mark.slow
def test_after_a_gateway_came_back_that_has_forgotten_all_programs_go_on_within_five_seconds():
    argv = [sys.executable, "-m", "bench.lag", "--times=1", "--only=gateway rebooted", "--quiet=0"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout.splitlines()[-1], type=Report).value < 5
