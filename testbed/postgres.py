"""A PostgreSQL cluster of a test's own, in a temporary folder that also holds its socket."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testbed import programs
from testbed.host import TestbedError

BINARIES = "/usr/lib/postgresql/15/bin"
"""Debian 12's version."""
ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root; any other account does."""
USER = "renkei"


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The SQLAlchemy address of an empty database; it and its cluster go with the block.

    Raises TestbedError with PostgreSQL's own words when it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="renkei-postgres-"))
    try:
        shutil.chown(folder, ACCOUNT)
        data = str(folder / "data")
        _run("initdb", f"--pgdata={data}", f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        # Nobody but who may enter the folder reaches the socket, and there is no TCP.
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=250"
        _run("pg_ctl", f"--pgdata={data}", f"--log={folder}/log", f"--options={options}", "--wait", "start")
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={folder}"
        finally:
            _run("pg_ctl", f"--pgdata={data}", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _run(program: str, *arguments: str) -> None:
    """`program` of PostgreSQL as ACCOUNT, where this process is root."""
    argv = [*programs.outside(f"{BINARIES}/{program}"), *arguments]
    who = pwd.getpwnam(ACCOUNT)
    become = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"] if os.geteuid() == 0 else []
    # A file: the server that pg_ctl starts would keep a pipe open.
    with tempfile.TemporaryFile() as said:
        answer = subprocess.run(
            [*become, *argv],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            cwd="/",
            check=False,
            timeout=60,
        )
        said.seek(0)
        if answer.returncode != 0:
            raise TestbedError(f"{program}: {said.read().decode(errors='replace')[-2000:]}")
