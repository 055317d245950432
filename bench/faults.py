"""What goes wrong at a site, on purpose: each fault is done and over when its function returns, or heals by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from testbed import processes, services
from testbed.site import Testbed
from testbed.slurm import GPU_NODES

DATABASE = "/var/lib/renkei/hub/renkei.sqlite"
TIMED_OUT = 'echo "error: Socket timed out on send/recv operation" >&2; exit 1'
ANSWERS = {
    "sbatch": ('"$real" "$@" > /dev/null', f'"$real" "$@" > /dev/null; {TIMED_OUT}', TIMED_OUT, 'sleep 2; exec "$real" "$@"'),
    "squeue": ("exit 0", TIMED_OUT, 'sleep 4; exec "$real" "$@"'),
    "scancel": (f'"$real" "$@"; {TIMED_OUT}', TIMED_OUT, "exit 0"),
}
"""Command of Slurm → what it does instead for some seconds, the real one being at `$real`."""


def kill(site: Testbed, host: str, *programs: str, uids: range = range(0)) -> None:
    """End at once what runs of `programs` (how an argument ends) or under one of `uids` on a host."""
    found = [
        each.pid
        for each in site.host(host).processes()
        if each.uid in uids or any(word.endswith(program) for word in each.argv for program in programs)
    ]
    processes.kill(found)
    processes.wait_gone(found, 10)


def hub(site: Testbed, chance: random.Random) -> str:
    """JupyterHub dies and is started again."""
    site.kill_hub()
    time.sleep(chance.uniform(0, 2))
    site.start_hub()
    return ""


def proxy(site: Testbed, _: random.Random) -> str:
    """The proxy dies; the hub starts another."""
    kill(site, "hub", "/configurable-http-proxy")
    return ""


def controller(site: Testbed, chance: random.Random) -> str:
    """The batch system's controller dies and comes back."""
    kill(site, "hub", "/slurmctld")
    time.sleep(chance.uniform(0, 5))
    site.run("hub", ["/usr/sbin/slurmctld"], check=True)
    return ""


def node_daemon(site: Testbed, chance: random.Random) -> str:
    """A node's daemon dies and comes back; its jobs go on."""
    node = chance.choice(GPU_NODES)
    kill(site, node, "/slurmd")
    time.sleep(chance.uniform(0, 4))
    site.run(node, ["/usr/sbin/slurmd"], check=True)
    return ""


def node(site: Testbed, chance: random.Random) -> str:
    """A node loses all that runs on it; its name."""
    lost = chance.choice(GPU_NODES)
    kill(site, lost, "/slurmd", ".batch]", uids=range(20_101, 20_200))
    site.run(lost, ["/usr/sbin/slurmd"], check=True)
    return lost


def database(site: Testbed, chance: random.Random) -> str:
    """Nobody can write to the database for some seconds: longer than a writer waits, now and then."""
    held = chance.choice((1, 3, 13))
    program = (
        f"import sqlite3, time\nwith sqlite3.connect({DATABASE!r}, timeout=30, isolation_level=None) as it:\n"
        f" it.execute('BEGIN EXCLUSIVE'); time.sleep({held}); it.execute('ROLLBACK')"
    )
    site.run("hub", [services.PYTHON, "-c", program], user="jupyterhub", check=True)
    return ""


def answers(site: Testbed, chance: random.Random) -> str:
    """A command of the batch system loses its answers for some seconds."""
    command = chance.choice(sorted(ANSWERS))
    host = site.host("hub")
    host.run(["cp", "--no-clobber", f"/usr/bin/{command}", f"/usr/local/bin/real-{command}"], check=True)
    script = f"#!/bin/sh\nreal=/usr/local/bin/real-{command}\n{chance.choice(ANSWERS[command])}\n"
    host.write(f"/usr/local/bin/our-{command}", script, 0o755)
    host.run(["mount", "--bind", f"/usr/local/bin/our-{command}", f"/usr/bin/{command}"], check=True)
    time.sleep(chance.uniform(2, 8))
    host.run(["umount", "--lazy", f"/usr/bin/{command}"], check=True)
    return ""


FAULTS: tuple[Callable[[Testbed, random.Random], str], ...] = (hub, proxy, controller, node_daemon, node, database, answers)
