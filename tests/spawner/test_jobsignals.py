"""What a batch system's signal to the job's first process does, with real namespaces and a stand-in for the enclave's Python."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import msgspec
import pytest

from enclave.messages import Mechanism
from spawner.jobscript import render
from tests.spawner.test_jobscript import JOB, NODE, ORDER

STAND_IN = """\
import os, signal, sys, time
def end(number, frame):
    os.write(1, b"told\\n")
    os._exit(7)
signal.signal(signal.SIGTERM, end)
os.write(1, b"%d\\n" % len(sys.stdin.read()))
time.sleep(30)
"""
"""Says when it has read its order, and when it is told to end."""


def start(mechanism: Mechanism) -> subprocess.Popen[str]:
    """The job script as Slurm's first process of the job, once the stand-in listens."""
    script = render(JOB, msgspec.structs.replace(ORDER, mechanism=mechanism), msgspec.structs.replace(NODE, python=sys.executable))
    script = script.replace("-m enclave run", f"-c '{STAND_IN}'")
    job = subprocess.Popen(["/bin/bash", "-c", script], stdout=subprocess.PIPE, text=True, cwd="/", env={"SLURM_JOB_ID": "1"})
    assert job.stdout is not None
    assert int(job.stdout.readline()) > 100
    return job


@pytest.mark.parametrize("mechanism", Mechanism)
def test_whom_slurm_tells_alone_tells_the_session_and_ends_as_it_does(mechanism):
    """As proctrack/cgroup does: the first process and no other."""
    with start(mechanism) as job:
        job.send_signal(signal.SIGTERM)

        assert job.stdout.read() == "told\n"
        assert job.wait(10) == 7


def test_nothing_outlives_the_jobs_first_process():
    with start(Mechanism.NAMESPACES) as job:
        begun = time.monotonic()
        job.kill()

        # The stand-in holds the other end: the file ends when the last process does.
        assert job.stdout.read() == ""
        assert time.monotonic() - begun < 10
