"""The batch system runs real jobs, on the nodes and for the people that it should."""

import os
import stat
import time
from pathlib import Path

import pytest

from testbed import slurm
from testbed.site import Testbed


def submit(site: Testbed, user: str, *options: str) -> tuple[int, str]:
    script = "#!/bin/sh\nhostname; id -un; echo $CUDA_VISIBLE_DEVICES\n"
    answer = site.run("hub", ["sbatch", "--parsable", "--output=/tmp/job-%j", *options], user=user, input=script)
    return answer.returncode, (answer.stdout + answer.stderr).strip()


def output(site: Testbed, node: str, job: str) -> list[str]:
    path = site.host(node).path(f"/tmp/job-{job}")
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text().count("\n") == 3):
        assert time.monotonic() < end, site.run("hub", ["scontrol", "show", "job", job]).stdout
        time.sleep(0.05)
    return path.read_text().splitlines()


def test_every_gpu_that_is_announced_has_a_device_file() -> None:
    devices = slurm.gpu_files(slurm.gpu_devices())
    assert devices
    assert f"Gres=gpu:{len(devices)}" in slurm.configuration(len(devices))


@pytest.mark.site
def test_the_machines_own_gpus_take_the_place_of_stand_ins(tmp_path: Path) -> None:
    for name, minor in (("nvidia0", 0), ("nvidia1", 1), ("nvidiactl", 255), ("nvidia-uvm", 0)):
        os.mknod(tmp_path / name, stat.S_IFCHR | 0o666, os.makedev(195, minor))
    (tmp_path / "nvidia-caps").mkdir()

    devices = slurm.gpu_devices(tmp_path)

    assert devices["nvidiactl"] == (195, 255)
    assert slurm.gpu_files(devices) == ["/dev/nvidia0", "/dev/nvidia1"]
    assert "Gres=gpu:2" in slurm.configuration(2)


@pytest.mark.site
def test_a_session_account_gets_the_gpus_it_asks_for(site: Testbed) -> None:
    begun = time.monotonic()
    status, job = submit(site, "rs-tanaka", "--partition=ct-link", "--nodelist=cx01", "--gres=gpu:1")
    assert status == 0
    node, account, gpus = output(site, "cx01", job)
    assert (node, account, gpus) == ("cx01", "rs-tanaka", "0")
    assert time.monotonic() - begun < 10


@pytest.mark.site
def test_the_dedicated_nodes_are_for_those_whom_the_administrator_permits(site: Testbed) -> None:
    status, said = submit(site, "rs-yamada", "--partition=ct-link")
    assert status != 0
    assert "not permitted to use this partition" in said


@pytest.mark.site
def test_everybody_may_use_the_ordinary_node(site: Testbed) -> None:
    status, job = submit(site, "rs-yamada", "--partition=open")
    assert status == 0
    assert output(site, "cx03", job)[:2] == ["cx03", "rs-yamada"]


@pytest.mark.site
def test_more_gpus_than_a_node_has_are_refused_at_once(site: Testbed) -> None:
    status, said = submit(site, "rs-tanaka", "--partition=ct-link", "--gres=gpu:64")
    assert status != 0
    assert "Requested node configuration is not available" in said


@pytest.mark.site
def test_a_credential_made_on_a_node_says_on_the_hub_who_made_it(site: Testbed) -> None:
    credential = site.run("cx01", ["munge", "--no-input", "--restrict-uid", "0"], user="rs-tanaka", check=True).stdout
    decoded = site.run("hub", ["unmunge"], input=credential, check=True).stdout
    assert "UID:" in decoded
    assert "rs-tanaka (20101)" in decoded
    assert "cx01" in decoded
