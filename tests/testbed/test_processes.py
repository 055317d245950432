"""Processes of the testbed are found by what stands in their command lines."""

from __future__ import annotations

import os
import subprocess

import pytest

from testbed import processes

AGAIN = 'exec sh -c "$0" "$0" renkei-again'


@pytest.fixture
def restless():
    """The pid of a program that becomes another one without pause."""
    with subprocess.Popen(["/bin/sh", "-c", AGAIN, AGAIN, "renkei-again"]) as child:
        yield child.pid
        child.kill()


def test_a_program_that_is_just_becoming_another_is_seen(restless):
    """For a moment such a process has no arguments; a service that is looked for then has not ended."""
    missed = sum(restless not in {each.pid for each in processes.everything()} for _ in range(300))

    assert missed == 0


def test_what_has_ended_is_not_seen():
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid not in {each.pid for each in processes.everything()}
