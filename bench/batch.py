"""The few questions that benchmarks put to a site's batch system, and its daemons; one answer each for Slurm and for PJM.

What it knows is asked of its own commands, as root on the hub's host.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Protocol

import msgspec

from testbed import processes, slurm
from testbed.host import Host, TestbedError
from testbed.layout import CENTRE, NODES
from testbed.pjm import install as pjm
from testbed.pjm.daemon import SWITCHES
from testbed.site import Testbed

_SITE = "/etc/renkei/site.toml"
_SESSIONS = range(20_101, 20_200)
"""Uids under which sessions run at a testbed."""
_TIMED_OUT = 'echo "error: Socket timed out on send/recv operation" >&2; exit 1'
_SPAN = re.compile(r"(\d+):(\d{2}):(\d{2})", re.ASCII)


class Job(msgspec.Struct, frozen=True):
    """What the batch system says of one job."""

    number: str
    name: str
    """As it lists it; see `Batch.listed`."""
    account: str
    alive: bool
    """It waits, runs or is just ending."""
    seconds: float | None
    """How long it ran; None where it has not run to its end."""


class Batch(Protocol):
    """What a benchmark asks of a batch system, and does to it."""

    answers: Mapping[str, tuple[str, ...]]
    """Command → what it does instead when its answers get lost, by a shell, the real one being at `$real`."""
    node_daemons: bool
    """Whether each node has a daemon that may die while its jobs go on."""

    def jobs(self, hub: Host) -> list[Job]:
        """Every job that waits or runs, and those that ended lately."""

    def listed(self, session: str) -> str:
        """What it calls the job of a session; of none ("") how all of them begin."""

    def processors(self, testbed: Testbed, each: int) -> None:
        """Give every node so many processors; nothing may run there, and the hub is started afterwards."""

    def read_groups(self, hub: Host) -> None:
        """Have it know the members of Unix groups as they are now."""

    def stop(self, testbed: Testbed) -> None:
        """Its controller dies."""

    def start(self, testbed: Testbed) -> None:
        """Its controller comes back."""

    def stop_node(self, testbed: Testbed, node: str) -> None:
        """A node's daemon dies."""

    def start_node(self, testbed: Testbed, node: str) -> None:
        """It comes back."""

    def lose(self, testbed: Testbed, node: str) -> None:
        """A node loses all that runs on it, and takes jobs again."""


def kill(host: Host, *programs: str, uids: range = range(0)) -> None:
    """End at once what runs of `programs` (how an argument ends) or under one of `uids` on a host."""
    _end(
        [
            each.pid
            for each in host.processes()
            if each.uid in uids or any(word.endswith(program) for word in each.argv for program in programs)
        ]
    )


def _end(pids: list[int]) -> None:
    processes.kill(pids)
    if left := processes.wait_gone(pids, 10):
        raise TestbedError(f"these processes do not end: {left}")


class Slurm:
    """Slurm, by squeue and by its two kinds of daemons."""

    answers: Mapping[str, tuple[str, ...]] = {
        "sbatch": ('"$real" "$@" > /dev/null', f'"$real" "$@" > /dev/null; {_TIMED_OUT}', _TIMED_OUT, 'sleep 2; exec "$real" "$@"'),
        "squeue": ("exit 0", _TIMED_OUT, 'sleep 4; exec "$real" "$@"'),
        "scancel": (f'"$real" "$@"; {_TIMED_OUT}', _TIMED_OUT, "exit 0"),
    }
    node_daemons = True

    def jobs(self, hub: Host) -> list[Job]:
        """Every job that slurmctld still knows."""
        argv = ["env", "SLURM_TIME_FORMAT=%s", "squeue", "--all", "--noheader", "--states=all", "--format=%i|%u|%t|%S|%e|%j"]
        found = []
        for line in hub.run(argv, check=True).stdout.splitlines():
            number, account, state, began, ended, name = line.split("|", 5)
            seconds = float(ended) - float(began) if began.isdigit() and ended.isdigit() else None
            alive = state in {"PD", "CF", "R", "CG"}
            found.append(Job(number=number, name=name, account=account, alive=alive, seconds=seconds))
        return found

    def listed(self, session: str) -> str:
        """Its whole name."""
        return f"renkei-{session}"

    def processors(self, testbed: Testbed, each: int) -> None:
        """By slurm.conf, and Slurm started again with it."""
        for name in CENTRE:
            host = testbed.host(name)
            text = host.path("/etc/slurm/slurm.conf").read_text()
            host.write("/etc/slurm/slurm.conf", re.sub(r"\bCPUs=\d+", f"CPUs={each}", text))
        self.stop(testbed)
        for name in NODES:
            self.stop_node(testbed, name)
        self.start(testbed)
        for name in NODES:
            self.start_node(testbed, name)
        slurm.wait_ready(testbed.host("hub"))

    def read_groups(self, hub: Host) -> None:
        """By slurmctld's own word: it keeps them for a while (GroupUpdateTime)."""
        hub.run(["scontrol", "reconfigure"], check=True)
        time.sleep(1)

    def stop(self, testbed: Testbed) -> None:
        """Slurmctld."""
        kill(testbed.host("hub"), "/slurmctld")

    def start(self, testbed: Testbed) -> None:
        """Slurmctld."""
        testbed.run("hub", ["/usr/sbin/slurmctld"], check=True)

    def stop_node(self, testbed: Testbed, node: str) -> None:
        """Slurmd; the steps' own processes go on."""
        kill(testbed.host(node), "/slurmd")

    def start_node(self, testbed: Testbed, node: str) -> None:
        """Slurmd."""
        testbed.run(node, ["/usr/sbin/slurmd"], check=True)

    def lose(self, testbed: Testbed, node: str) -> None:
        """Slurmd, the steps' processes and the sessions."""
        kill(testbed.host(node), "/slurmd", ".batch]", uids=_SESSIONS)
        self.start_node(testbed, node)


def _absent(command: str) -> str:
    """What a command of PJM says while its daemon is not there."""
    block = {"pjsub": "00", "pjdel": "01", "pjstat": "02", "pjsig": "07"}[command]
    return f'echo "[ERR.] PJM {block}90 {command} PJM daemon is not present." >&2; exit 1'


def _broken(command: str) -> str:
    """What it says when something broke within, so that it may have been done all the same."""
    return _absent(command).replace("90 ", "91 ", 1).replace("PJM daemon is not present", "Internal error: 5")


class Pjm:
    """The emulator of PJM, by pjstat; its daemon is the testbed's process of that role."""

    answers: Mapping[str, tuple[str, ...]] = {
        "pjsub": (
            '"$real" "$@" > /dev/null',
            f'"$real" "$@" > /dev/null; {_broken("pjsub")}',
            _absent("pjsub"),
            'sleep 2; exec "$real" "$@"',
        ),
        "pjstat": ("exit 0", _absent("pjstat"), 'sleep 4; exec "$real" "$@"'),
        "pjdel": (f'"$real" "$@" > /dev/null; {_broken("pjdel")}', _absent("pjdel"), "exit 0"),
        "pjsig": (f'"$real" "$@" > /dev/null; {_broken("pjsig")}', _absent("pjsig"), "exit 0"),
    }
    node_daemons = False
    """The emulator has none: each job's own supervisor is all of it on a node."""

    def jobs(self, hub: Host) -> list[Job]:
        """Every job in pjstat's list and in its history, whose times are whole seconds."""
        found = []
        for options in ((), ("-H", "day=1")):
            argv = ["pjstat", "-A", *options, "--data", "--choose=jid,st,usr,sdt,elp,jnam"]
            for line in hub.run(argv, check=True).stdout.splitlines():
                if not line.startswith(","):
                    continue
                number, state, account, began, lasted, name = (cell.strip() for cell in line[1:].split(",", 5))
                over = state in {"EXT", "CCL", "RJT"}
                seconds = _seconds(lasted) if over and began != "-" else None
                found.append(Job(number=number, name=name, account=account, alive=not over, seconds=seconds))
        # Between the two questions a job may have ended: what the history says is later.
        return list({job.number: job for job in found}.values())

    def listed(self, session: str) -> str:
        """Ten characters of its name are shown."""
        return f"r{session}"[:10]

    def processors(self, testbed: Testbed, each: int) -> None:
        """By the group's cores, which the site's jobs then have to ask for."""
        hub = testbed.host("hub")
        groups = json.loads(hub.path(SWITCHES).read_text())["groups"]
        pjm.turn(hub, groups={name: {**group, "cores": each} for name, group in groups.items()})
        text = hub.path(_SITE).read_text()
        asked = 'partition = "ct-link"\n'
        hub.write(_SITE, text.replace(asked, f'{asked}resources = ["gpu={{gpus}}", "vnode-core={{cpus}}"]\n'))

    def read_groups(self, hub: Host) -> None:
        """It reads them for every command."""

    def stop(self, testbed: Testbed) -> None:
        """The daemon, with what it had not written down."""
        _end([pid for pid, role in processes.marked(testbed.name).items() if role == pjm.ROLE])

    def start(self, testbed: Testbed) -> None:
        """Another daemon, which takes the jobs up."""
        pjm.start(testbed.name, testbed.host("hub"), {name: testbed.host(name) for name in NODES})

    def stop_node(self, testbed: Testbed, node: str) -> None:
        """There is none. Raises TestbedError."""
        raise TestbedError(f"{node} of {testbed.name} has no daemon of PJM that could die alone")

    def start_node(self, testbed: Testbed, node: str) -> None:
        """There is none. Raises TestbedError."""
        raise TestbedError(f"{node} of {testbed.name} has no daemon of PJM that could come back")

    def lose(self, testbed: Testbed, node: str) -> None:
        """The jobs' supervisors, before they can tell of an end, and the sessions."""
        kill(testbed.host(node), "/supervisor.py")
        kill(testbed.host(node), uids=_SESSIONS)


def _seconds(text: str) -> float | None:
    found = _SPAN.match(text)
    return None if found is None else float(sum(int(part) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)))


BATCHES: Mapping[str, type[Slurm | Pjm]] = {"slurm": Slurm, "pjm": Pjm}
"""By the word that the site file has for it."""
