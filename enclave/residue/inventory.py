"""What the session's account has on its node: taken before the session can do anything, and again when all of it is gone.

Things are told apart by numbers (device, inode, time of change; process id and start), so that a file that was written to in
between counts as left. Only how many and how large ever leaves this module.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enclave import job as batch
from enclave.messages import Look, Trace
from enclave.residue.node import Node, parse_mounts, read

SECONDS = 1.0
"""A folder that takes longer than this to walk through is reported as not seen: a session's end must not wait for it."""
_CLOSED = frozenset({errno.EACCES, errno.ENOENT, errno.ENOTDIR})
"""Why a folder may be left out: the account can't have written to what it can't enter, nor to what has gone meanwhile."""

Thing = tuple[int, ...]
Things = Mapping[Thing, int]
"""Identity → size in bytes."""


@dataclass(frozen=True)
class Place:
    """One place, and what was there; None: could not be seen, or not to its end."""

    trace: Trace
    path: str
    things: Things | None


def take(node: Node, uid: int) -> tuple[Place, ...]:
    """Everything that `uid` has on the node now, without the job that asks."""
    places = [Place(Trace.FILES, path, files(folder, uid, time.monotonic() + SECONDS)) for path, folder in node.folders.items()]
    places += [Place(Trace.FILES, path, None) for path in node.closed]
    places.append(Place(Trace.IPC, "", ipc(uid)))
    places.append(Place(Trace.PROCESSES, "", None if node.proc is None else processes(node.proc, uid)))
    mountinfo = None if node.proc is None else read(node.proc, "1/mountinfo")
    places.append(Place(Trace.MOUNTS, "", None if mountinfo is None else mounts(mountinfo, uid)))
    return tuple(places)


def compare(before: Iterable[Place], after: Iterable[Place]) -> tuple[Look, ...]:
    """What of `after` was not there `before`; a place that was not seen both times was not seen."""
    earlier = {(place.trace, place.path): place.things for place in before}
    looks = []
    for place in after:
        was = earlier.get((place.trace, place.path))
        if was is None or place.things is None:
            looks.append(Look(trace=place.trace, place=place.path, seen=False))
            continue
        left = {thing: size for thing, size in place.things.items() if thing not in was}
        looks.append(
            Look(trace=place.trace, place=place.path, seen=True, before=len(was), left=len(left), size=sum(left.values()))
        )
    return tuple(looks)


def files(folder: int, uid: int, until: float) -> Things | None:
    """What belongs to `uid` below the open `folder`, on that file system.

    None when that took longer than `until` (monotonic), where a folder can be entered but not listed, and where folders lie in one
    another so deep that nobody can follow: any account of the node can make those.
    """
    try:
        return _files(folder, uid, until)
    except (OSError, RecursionError):
        return None


def _files(folder: int, uid: int, until: float) -> Things | None:
    device = os.fstat(folder).st_dev
    found: dict[Thing, int] = {}
    for _, folders, names, here in os.fwalk(".", dir_fd=folder, onerror=_demand_closed):
        for name in (*folders, *names):
            if time.monotonic() > until:
                return None
            try:
                status = os.stat(name, dir_fd=here, follow_symlinks=False)
            except OSError:
                continue
            # Of folders alone: an overlay shows its files under the devices of its layers.
            if stat.S_ISDIR(status.st_mode) and status.st_dev != device:
                folders.remove(name)
                continue
            if stat.S_ISDIR(status.st_mode) and os.access(name, os.X_OK, dir_fd=here) and not os.access(name, os.R_OK, dir_fd=here):
                return None
            if status.st_uid == uid:
                found[status.st_dev, status.st_ino, status.st_ctime_ns] = status.st_size
    return found


def _demand_closed(error: OSError) -> None:
    if error.errno not in _CLOSED:
        raise error


def ipc(uid: int) -> Things | None:
    """SysV shared memory, semaphores and message queues of `uid` in the ipc namespace of this process."""
    found: dict[Thing, int] = {}
    for number, name in enumerate(("shm", "sem", "msg")):
        text = read(None, f"/proc/sysvipc/{name}")
        if text is None:
            return None
        found.update({(number, *identity): size for identity, size in parse_ipc(text, uid).items()})
    return found


def parse_ipc(text: str, uid: int) -> Things:
    """What of one table of /proc/sysvipc belongs to `uid`: (id, time of change) → bytes, where the table says how many."""
    head, *lines = [line.split() for line in text.splitlines() if line.strip()] or [[]]
    found: dict[Thing, int] = {}
    for cells in lines:
        row = {name: int(cell) for name, cell in zip(head, cells, strict=False) if cell.lstrip("-").isdecimal()}
        number = next((row[name] for name in ("shmid", "semid", "msqid") if name in row), None)
        if number is not None and uid in {row.get("uid"), row.get("cuid")}:
            found[number, row.get("ctime", 0)] = max(0, row.get("size", row.get("cbytes", 0)))
    return found


@dataclass(frozen=True)
class Process:
    """What of a process matters here."""

    pid: int
    parent: int
    uid: int
    dead: bool
    started: int
    """Clock ticks since the node's start."""
    job: str
    """The number of the Slurm job that this process supervises, or nothing."""


def processes(proc: int, uid: int) -> Things | None:
    """Processes of `uid` on the node, without this job's own; None where another job of the account makes that impossible."""
    table = {each.pid: each for name in os.listdir(proc) if name.isdecimal() and (each := _process(proc, name)) is not None}
    found = strays(table, int(os.readlink("self", dir_fd=proc)), uid)
    # They may be another session of the same account: nobody is blamed for what can't be told apart.
    return found if batch.tells_jobs_apart() or not found else None


def strays(table: Mapping[int, Process], own: int, uid: int) -> Things | None:
    """Which processes of `uid` don't belong to the tree that `own` lives in; None where some belong to another job."""
    top = _top(table, own, uid)
    found: dict[Thing, int] = {}
    for each in table.values():
        if each.uid != uid or each.dead:
            continue
        above = _ancestors(table, each.pid)
        if top in {each.pid, *above}:
            continue
        if any(table[pid].job for pid in above):
            return None
        found[each.pid, each.started] = 0
    return found


def _top(table: Mapping[int, Process], own: int, uid: int) -> int:
    """The first process of the job that runs under the account: all others of the job descend from it."""
    top = own
    for pid in _ancestors(table, own):
        if table[pid].uid != uid:
            break
        top = pid
    return top


def _ancestors(table: Mapping[int, Process], pid: int) -> list[int]:
    found: list[int] = []
    while (each := table.get(pid)) is not None and each.parent in table and each.parent not in found:
        found.append(each.parent)
        pid = each.parent
    return found


def _process(proc: int, name: str) -> Process | None:
    status, stat, command = (read(proc, f"{name}/{file}") for file in ("status", "stat", "cmdline"))
    return None if status is None or stat is None else parse_process(status, stat, command or "")


def parse_process(status: str, stat: str, command: str) -> Process | None:
    """A process out of three files of /proc/PID; None when they say something else."""
    fields = {key: rest.split() for key, _, rest in (line.partition(":") for line in status.splitlines())}
    # The second field of stat is the program's name, which may hold anything but is the last in brackets.
    after = stat.rpartition(")")[2].split()
    try:
        job = command.partition("[")[2].partition(".")[0] if command.startswith("slurmstepd: [") else ""
        return Process(
            pid=int(fields["Pid"][0]),
            parent=int(fields["PPid"][0]),
            uid=int(fields["Uid"][0]),
            dead=fields["State"][0] in {"Z", "X"},
            started=int(after[19]),
            job=job if int(fields["Uid"][0]) == 0 else "",
        )
    except (KeyError, IndexError, ValueError):
        return None


def mounts(mountinfo: str, uid: int) -> Things:
    """FUSE file systems of `uid` that the node itself sees."""
    fuse = [each for each in parse_mounts(mountinfo) if each.kind == "fuse" or each.kind.startswith(("fuse.", "fuseblk"))]
    return {(number,): 0 for number, each in enumerate(fuse) if f"user_id={uid}" in each.options.split(",")}
