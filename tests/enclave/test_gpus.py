"""Which GPUs a job sees: its own, on nodes with cgroups as on nodes without."""

from __future__ import annotations

import os
import stat

import pytest

from enclave.gpus import devices, granted, visible


@pytest.fixture
def dev(tmp_path):
    """A /dev with four stand-ins for GPUs and what belongs to their driver."""
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia10", "nvidiactl", "nvidia-uvm", "sda"):
        os.mknod(tmp_path / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (tmp_path / "nvidia-caps").mkdir()
    return tmp_path


def names(found, dev):
    return [each.removeprefix(f"{dev}/") for each in found]


def test_a_job_with_one_gpu_sees_that_one_and_the_drivers_own(dev):
    found = devices(dev, {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "2"})
    assert names(found, dev) == ["nvidia-caps", "nvidia-uvm", "nvidia2", "nvidiactl"]


def test_a_number_is_not_the_beginning_of_another(dev):
    found = devices(dev, {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1"})
    assert "nvidia10" not in names(found, dev)


@pytest.mark.parametrize("said", [{}, {"SLURM_JOB_GPUS": ""}, {"SLURM_JOB_GPUS": "all"}, {"SLURM_JOB_GPUS": "7"}])
def test_a_job_without_one_sees_none(dev, said):
    assert devices(dev, {"SLURM_JOB_ID": "7", **said}) == ()


@pytest.mark.parametrize(
    ("openable", "said", "own"),
    [
        ({0, 1, 2, 3}, "1,3", {1, 3}),
        ({3}, "0", {3}),  # closed by a cgroup, and numbered otherwise than the files
        ({0, 1}, None, set()),
        (set(), "0", set()),
    ],
)
def test_what_slurm_says_counts_where_more_could_be_opened(openable, said, own):
    environment = {"SLURM_JOB_ID": "7"} | ({} if said is None else {"SLURM_JOB_GPUS": said})
    assert granted(openable, environment) == own


def test_without_slurm_what_can_be_opened_counts():
    assert granted({0, 1}, {}) == {0, 1}


@pytest.mark.parametrize(("said", "inside"), [(None, None), ("", None), ("2", None), ("0,3", None), ("MIG-1", "MIG-1")])
def test_inside_no_number_is_needed(said, inside):
    assert visible(said) == inside
