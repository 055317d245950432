"""Everywhere on the testbed's hosts where something of a session could be left, as bytes to look through."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.host import Host
from testbed.init import KEPT_DESCRIPTOR
from testbed.layout import HOSTS
from testbed.site import Testbed
from tests.leaks.scan import Canary, find

CLOUD = "/srv/cloud"
"""Where images belong."""
OWNERS_LOG = "/upper/var/log/sshd.log"
"""The data owner's own record, at the cloud, of who opened which file: it names them by intent."""


def kept_files(host: Host) -> Iterator[tuple[str, bytes]]:
    """Every file that `host` holds or has changed, and its name; also what a mount hides and what Slurm and syslog keep."""
    base = f"/proc/{host.first}/fd/{KEPT_DESCRIPTOR}"
    for folder, folders, files in os.walk(base):
        inside = folder.removeprefix(base)
        if f"{inside}/".startswith(f"/upper{CLOUD}/"):
            folders.clear()
            continue
        for name in (*folders, *files):
            if f"{inside}/{name}" == OWNERS_LOG:
                continue
            yield f"the name of {inside}/{name}", name.encode(errors="surrogateescape")
            path = Path(folder, name)
            if path.is_symlink():
                yield f"{inside}/{name}", str(path.readlink()).encode()
            elif path.is_file():
                yield f"{inside}/{name}", path.read_bytes()


def _processes(host: Host) -> Iterator[tuple[str, bytes]]:
    """Arguments and environment of every process on `host`."""
    for each in host.processes():
        for part in ("cmdline", "environ"):
            yield f"{part} of {each.argv[0]}", Path(f"/proc/{each.pid}/{part}").read_bytes()


def _ipc(host: Host) -> list[str]:
    """The host's own POSIX queues and SysV segments. Nobody here uses any: one that is there was left."""
    listing = "mount --no-mtab -t mqueue none /mnt && ls -A /mnt && ipcs -m -q -s"
    lines = host.run(["unshare", "--mount", "sh", "-c", listing], check=True).stdout.splitlines()
    return [line for line in lines if line and not line.startswith(("-", "key "))]


def _batch(host: Host) -> Iterator[tuple[str, bytes]]:
    """What the batch system tells about its jobs."""
    for argv in (["scontrol", "--all", "show", "job"], ["scontrol", "--all", "show", "node"]):
        yield " ".join(argv), host.run(argv).stdout.encode()


def leaks(site: Testbed, canaries: tuple[Canary, ...], hosts: Sequence[str] = HOSTS) -> list[str]:
    """Each place on `hosts`, outside the clouds' data, where one of `canaries` is, and in what form; what shared memory is left."""
    found = []
    for name in hosts:
        host = site.host(name)
        sources = [kept_files, _processes, *([_batch] if name == "hub" else [])]
        for source in sources:
            for place, data in _patient(source(host)):
                found += [f"{name}: {place}: {hit}" for hit in find(data, canaries)]
        found += [f"{name}: shared memory: {line}" for line in _ipc(host)]
    return found


def _patient(entries: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """`entries` without those that went away while they were read: a log was turned, a process ended."""
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            return
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield entry
