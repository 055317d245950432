"""Slurm's accounting on the hub: MariaDB and slurmdbd, so that sacct answers. A site is brought up without; some tests add it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from testbed import processes, services, slurm
from testbed.host import Host, TestbedError
from testbed.layout import address

_DATA = "/var/lib/mysql"
_SOCKET = "/run/mysqld/mysqld.sock"
"""Where libmariadb looks for `localhost`."""
_MARIADB = (
    "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={_DATA}", f"--socket={_SOCKET}", "--skip-networking",
    "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0",
)  # fmt: skip
_LOG = "/var/log/slurm/mariadb.log"
_SLURMDBD = f"""\
AuthType=auth/munge
DbdHost=localhost
DbdAddr={address("hub")}
SlurmUser=slurm
LogFile=/var/log/slurm/slurmdbd.log
PidFile=/run/slurm/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct
"""
WAIT_S = 30.0


@contextlib.contextmanager
def kept(hub: Host) -> Iterator[None]:
    """The controller on `hub` tells an accounting of its own what runs, until the block is left.

    Raises TestbedError when a part of it does not start.
    """
    try:
        _start_database(hub)
        _configure(hub, accounting=True)
        _start_slurmdbd(hub)
        _restart_controller(hub)
        yield
    finally:
        _configure(hub, accounting=False)
        _restart_controller(hub)
        for program in ("slurmdbd", "mariadbd"):
            _end(hub, program)


def _start_database(hub: Host) -> None:
    for folder in (_DATA, str(Path(_SOCKET).parent)):
        hub.folder(folder, 0o700, "slurm")
    share = hub.path("/usr/share/mysql")
    tables = "".join((share / name).read_text() for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql"))
    # The kernel tells MariaDB which account asks: there is no password. Each statement of a bootstrap ends its line.
    account = "CREATE USER slurm@localhost IDENTIFIED VIA unix_socket;\nGRANT ALL ON slurm_acct.* TO slurm@localhost;\n"
    script = f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}\nFLUSH PRIVILEGES;\n{account}"
    hub.run([*_MARIADB, "--bootstrap"], user="slurm", input=script, check=True)
    hub.daemon(_MARIADB, "slurm", _LOG)
    _wait(lambda: hub.path(_SOCKET).exists(), "MariaDB", hub, _LOG)


def _start_slurmdbd(hub: Host) -> None:
    hub.write("/etc/slurm/slurmdbd.conf", _SLURMDBD, 0o600, "slurm")
    hub.run(["/usr/sbin/slurmdbd"], user="slurm", check=True)
    answers = ["sacctmgr", "--noheader", "--immediate", "list", "cluster"]
    _wait(lambda: hub.run(answers).returncode == 0, "slurmdbd", hub, "/var/log/slurm/slurmdbd.log")


def _configure(hub: Host, *, accounting: bool) -> None:
    gpus = len(slurm.gpu_files(slurm.gpu_devices()))
    hub.write("/etc/slurm/slurm.conf", slurm.configuration(gpus, accounting=accounting))


def _restart_controller(hub: Host) -> None:
    """Jobs do not notice: the controller finds them by the state that it saves."""
    _end(hub, "slurmctld")
    hub.run(["/usr/sbin/slurmctld"], check=True)
    slurm.wait_ready(hub)


def _end(hub: Host, program: str) -> None:
    pids = [each.pid for each in hub.processes() if each.argv[0].rpartition("/")[2] == program]
    processes.kill(pids, signal.SIGTERM)
    if processes.wait_gone(pids, WAIT_S):
        raise TestbedError(f"{program} does not end")


def _wait(ready: Callable[[], bool], program: str, hub: Host, log: str) -> None:
    end = time.monotonic() + WAIT_S
    while not ready():
        if time.monotonic() > end:
            raise TestbedError(f"{program} does not answer: {services.tail(hub, log)}")
        time.sleep(0.1)
