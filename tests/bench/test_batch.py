"""What benches read of PJM's lists, out of the emulator's own text; Slurm's is read on a site (test_chaos.py)."""

from __future__ import annotations

import subprocess

from bench.batch import Pjm
from testbed.pjm.job import Job
from tests.testbed.test_pjm import SCRIPT, House


class Hub:
    """A hub whose commands are answered by an emulator without nodes."""

    name = "hub"

    def __init__(self) -> None:
        self.house = House()

    def run(self, argv, *, check):
        said = self.house.say(*argv, user="root", uid=0)
        assert check
        assert said.code == 0, said.err
        return subprocess.CompletedProcess(argv, said.code, said.out, said.err)


def test_a_jobs_name_is_read_as_pjm_shows_it_and_its_time_only_once_it_is_over():
    hub, session = Hub(), "abcdefgh12345678"
    over, runs, waits = hub.house.running(), hub.house.running(), hub.house.submit(SCRIPT.replace("gpu=1", "node=2"))
    ran: Job = hub.house.centre.jobs[over]
    ran.begun -= 3725
    hub.house.end(over)

    found = {job.number: job for job in Pjm().jobs(hub)}

    assert {number: (job.alive, job.seconds) for number, job in found.items()} == {
        str(over): (False, 3725.0), str(runs): (True, None), str(waits): (True, None),
    }  # fmt: skip
    assert {job.name for job in found.values()} == {Pjm().listed(session)}
    assert found[str(runs)].account == "rs-tanak"


def test_a_job_that_never_ran_has_no_time():
    hub = Hub()
    job = hub.house.submit()
    hub.house.say("pjdel", str(job))
    [found] = Pjm().jobs(hub)
    assert (found.alive, found.seconds) == (False, None)
