"""What goes wrong at a site, on purpose: each fault is done and over when its function returns, or heals by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from bench.batch import Batch, kill
from testbed import services
from testbed.site import Testbed
from testbed.slurm import GPU_NODES

DATABASE = "/var/lib/renkei/hub/renkei.sqlite"
REAL = "/usr/local/lib/real"
"""Where a command is while another lies in its place."""


def hub(site: Testbed, _: Batch, chance: random.Random) -> str:
    """JupyterHub dies and is started again."""
    site.kill_hub()
    time.sleep(chance.uniform(0, 2))
    site.start_hub()
    return ""


def proxy(site: Testbed, _: Batch, __: random.Random) -> str:
    """The proxy dies; the hub starts another."""
    kill(site.host("hub"), "/configurable-http-proxy")
    return ""


def controller(site: Testbed, batch: Batch, chance: random.Random) -> str:
    """The batch system's controller dies and comes back."""
    batch.stop(site)
    time.sleep(chance.uniform(0, 5))
    batch.start(site)
    return ""


def node_daemon(site: Testbed, batch: Batch, chance: random.Random) -> str:
    """A node's daemon dies and comes back; its jobs go on."""
    node = chance.choice(GPU_NODES)
    batch.stop_node(site, node)
    time.sleep(chance.uniform(0, 4))
    batch.start_node(site, node)
    return ""


def node(site: Testbed, batch: Batch, chance: random.Random) -> str:
    """A node loses all that runs on it; its name."""
    lost = chance.choice(GPU_NODES)
    batch.lose(site, lost)
    return lost


def database(site: Testbed, _: Batch, chance: random.Random) -> str:
    """Nobody can write to the database for some seconds: longer than a writer waits, now and then."""
    held = chance.choice((1, 3, 13))
    program = (
        f"import sqlite3, time\nwith sqlite3.connect({DATABASE!r}, timeout=30, isolation_level=None) as it:\n"
        f" it.execute('BEGIN EXCLUSIVE'); time.sleep({held}); it.execute('ROLLBACK')"
    )
    site.run("hub", [services.PYTHON, "-c", program], user="jupyterhub", check=True)
    return ""


def answers(site: Testbed, batch: Batch, chance: random.Random) -> str:
    """A command of the batch system loses its answers for some seconds."""
    command = chance.choice(sorted(batch.answers))
    host = site.host("hub")
    # Under its own name, by which some programs know what they are.
    host.folder(REAL)
    host.run(["cp", "--no-clobber", f"/usr/bin/{command}", f"{REAL}/{command}"], check=True)
    script = f"#!/bin/sh\nreal={REAL}/{command}\n{chance.choice(batch.answers[command])}\n"
    host.write(f"/usr/local/bin/our-{command}", script, 0o755)
    host.run(["mount", "--bind", f"/usr/local/bin/our-{command}", f"/usr/bin/{command}"], check=True)
    time.sleep(chance.uniform(2, 8))
    host.run(["umount", "--lazy", f"/usr/bin/{command}"], check=True)
    return ""


Fault = Callable[[Testbed, Batch, random.Random], str]


def faults(batch: Batch) -> tuple[Fault, ...]:
    """Those that there are with a batch system: without daemons on its nodes, none of them can die."""
    return (hub, proxy, controller, *((node_daemon,) if batch.node_daemons else ()), node, database, answers)
