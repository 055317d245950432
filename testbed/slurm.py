"""The batch system: Slurm's controller on the hub, a daemon on each node, MUNGE everywhere."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from pathlib import Path

from testbed.host import Host, TestbedError
from testbed.layout import NODES, address

GPU_NODES = ("cx01", "cx02")
GPUS = 4
EPILOG, EPILOG_SETTINGS = "/etc/renkei/epilog", "/etc/renkei/epilog.json"
"""Without the second one, a node is one whose site has not taken the epilog up."""
_CPUS = 16
"""More than most machines under a testbed have: the nodes share them, and CPU time is not what the site is about."""


def gpu_devices(dev: Path = Path("/dev")) -> dict[str, tuple[int, int]]:
    """Device files of a GPU node, name → (major, minor): the machine's GPUs, or four stand-ins that are /dev/null."""
    real = {entry.name: entry.stat().st_rdev for entry in sorted(dev.glob("nvidia*")) if entry.is_char_device()}
    if any(name.removeprefix("nvidia").isdecimal() for name in real):
        return {name: (os.major(number), os.minor(number)) for name, number in real.items()}
    return {f"renkei-gpu{number}": (1, 3) for number in range(GPUS)}


def gpu_files(devices: dict[str, tuple[int, int]]) -> list[str]:
    """Those of `devices` that are one GPU each."""
    return [f"/dev/{name}" for name in devices if name.removeprefix("nvidia").isdecimal() or name.startswith("renkei-gpu")]


def configuration(gpus: int, *, accounting: bool = False) -> str:
    """slurm.conf. No node has to reach another: the controller talks to each by itself (TreeWidth).

    With `accounting` the controller tells slurmdbd on its own host what runs (testbed/accounting.py).
    """
    storage = f"slurmdbd\nAccountingStorageHost={address('hub')}" if accounting else "none"
    addresses = {name: address(name, "centre") for name in NODES}
    nodes = "\n".join(
        f"NodeName={name} NodeAddr={addresses[name]} CPUs={_CPUS} RealMemory=65536 State=UNKNOWN"
        + (f" Gres=gpu:{gpus}" if name in GPU_NODES else "")
        for name in NODES
    )
    return f"""\
ClusterName=renkei
SlurmctldHost=hub({address("hub")})
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
TreeWidth=65533
ReturnToService=2
SlurmctldTimeout=60
SlurmdTimeout=30
InactiveLimit=0
MinJobAge=300
KillWait=15
BatchStartTimeout=20
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
GroupUpdateForce=1
GroupUpdateTime=5
EnforcePartLimits=ALL
DisableRootJobs=YES
Epilog={EPILOG}
PropagateResourceLimits=NONE
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/{storage}
JobCompType=jobcomp/none
{nodes}
PartitionName=ct-link Nodes=cx01,cx02 AllowGroups=ct-link MaxTime=24:00:00 Default=NO State=UP
PartitionName=open Nodes=cx03 MaxTime=24:00:00 Default=YES State=UP
"""


def new_munge_key() -> str:
    """A key that all hosts of the centre share, as text."""
    return base64.b64encode(secrets.token_bytes(96)).decode()


def prepare(host: Host, key: str, gpus: list[str], epilog: str) -> None:
    """Write what Slurm and MUNGE need on `host`; `epilog` is the text of the site's."""
    host.folder("/etc/munge", 0o700, "munge")
    host.write("/etc/munge/munge.key", key, 0o400, "munge")
    for folder in ("/run/munge", "/var/lib/munge", "/var/log/munge"):
        host.folder(folder, 0o755 if folder == "/run/munge" else 0o700, "munge")
    host.write("/etc/slurm/slurm.conf", configuration(len(gpus)))
    # Named, or slurmd looks for a mounted cgroup file system; no plugin of this site uses it.
    host.write("/etc/slurm/cgroup.conf", "CgroupPlugin=cgroup/v1\n")
    if host.name in GPU_NODES or host.name == "hub":
        host.write("/etc/slurm/gres.conf", "".join(f"NodeName={','.join(GPU_NODES)} Name=gpu File={path}\n" for path in gpus))
    host.write(EPILOG, epilog, 0o755)
    host.write(EPILOG_SETTINGS, json.dumps({"hub": f"{address('hub')}:8443", "group": "renkei-sessions"}))
    host.folder("/run/slurm", 0o755, "slurm")
    host.folder("/var/log/slurm", 0o755, "slurm")
    host.folder("/var/spool/slurmctld", 0o700, "slurm")
    host.folder("/var/spool/slurmd", 0o755)


def start(host: Host) -> None:
    """Start MUNGE, and the controller (on the hub) or the node's daemon."""
    host.run(["/usr/sbin/munged", "--num-threads", "2"], user="munge", check=True)
    host.run(["/usr/sbin/slurmctld" if host.name == "hub" else "/usr/sbin/slurmd"], check=True)


def wait_ready(hub: Host, seconds: float = 30) -> None:
    """Return when every node waits for work.

    Raises TestbedError with Slurm's own words after `seconds`.
    """
    end = time.monotonic() + seconds
    said = ""
    while time.monotonic() < end:
        answer = hub.run(["sinfo", "--noheader", "--Node", "--format", "%N %T"])
        said = (answer.stdout + answer.stderr).strip()
        states = {line.split()[1] for line in answer.stdout.splitlines()}
        if answer.returncode == 0 and states == {"idle"}:
            return
        time.sleep(0.1)
    raise TestbedError(f"Slurm's nodes are not ready: {said}")
