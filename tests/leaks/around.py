"""What is seen of a session from around it: by other people on its node, by the batch system, by the node's own root.

Each check returns what it found, and finds nothing where the walls stand; the same checks run where a wall was taken away.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp

from testbed.layout import address
from tests.enclave.sessions import ACCOUNT, OnNode
from tests.enclave.standin import BASE_URL, TOKEN

AROUND: dict[str, Callable[[OnNode, tuple[str, ...]], list[str]]] = {}
"""Name → a check of a session that goes on; it is given the words that nobody may see."""
SECRETS = (TOKEN, "the-key", "PRIVATE KEY-----")
"""Of every session here: the hub's token, the key of later calls, the SSH key."""
DETACH = "import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(b'/tmp/cloud', 2))"
"""umount(8) looks into /proc, where the other namespace's process is not."""
WRITER = """
import os, pathlib, time
own = pathlib.Path(os.environ["RENKEI_OWN"])
while True:
    try:
        own.mkdir(parents=True, exist_ok=True)
        (own / "lost").write_text("written")
        said = "done"
    except OSError as error:
        said = error.strerror
    with open("/tmp/written", "a") as log:
        log.write(f"{time.monotonic()} {said}\\n")
    time.sleep(0.02)
"""
OTHERS = ("suzuki", "rs-suzuki", "sato")
"""Accounts of the same nodes, one of them a session's."""


def around(work: Callable[[OnNode, tuple[str, ...]], list[str]]) -> Callable[[OnNode, tuple[str, ...]], list[str]]:
    """Enter a function among AROUND."""
    AROUND[work.__name__] = work
    return work


def _named(place: str, text: str, words: tuple[str, ...]) -> list[str]:
    return [f"{place}: {word}" for word in (*words, *SECRETS) if word in text]


@around
def arguments_and_environment(session: OnNode, words: tuple[str, ...]) -> list[str]:
    """What other accounts on the node read of its processes, a cell's children among them."""
    found = []
    for account in OTHERS:
        node = session.site.host(session.node)
        found += _named(f"ps as {account}", node.run(["ps", "axeww", "-o", "pid,user,args"], user=account).stdout, words)
        for pid in session.processes():
            for part in ("environ", "cmdline", "maps", "mounts", "root/tmp/keys/key"):
                answer = node.run(["cat", f"/proc/{pid}/{part}"], user=account)
                found += [f"{account} reads {part} of {pid}"] if answer.returncode == 0 and answer.stdout else []
    return found


@around
def batch_records(session: OnNode, words: tuple[str, ...]) -> list[str]:
    """What the batch system tells anybody of the job, and what it keeps of it on hub and node."""
    found = []
    questions = (["scontrol", "show", "job", session.job], ["scontrol", "show", "node"], ["squeue", "--all", "--format=%j %k %o"])
    for account in OTHERS:
        for argv in questions:
            answer = session.site.run("hub", argv, user=account, check=True)
            found += _named(f"{argv[0]} as {account}", answer.stdout, words)
    for name in ("hub", session.node):
        for top in ("/var/spool", "/var/log/slurm", "/run/slurm"):
            for path in session.site.host(name).path(top).rglob("*"):
                if path.is_file():
                    found += _named(f"{name}: {path.name}", path.read_bytes().decode(errors="replace"), words)
    return found


@around
def open_files(session: OnNode, words: tuple[str, ...]) -> list[str]:
    """No process of the session, the mount's among them, has a file open for writing on the node's own file systems."""
    node = session.site.host(session.node)
    devices = {node.path(each).stat().st_dev for each in ("/", "/tmp", "/var/tmp", "/run", "/dev/shm")}
    found = []
    for pid in session.processes():
        for descriptor in _descriptors(node.path(f"/proc/{pid}/fd")):
            with contextlib.suppress(OSError):
                status = descriptor.stat()
                told = Path(descriptor.parent.parent, "fdinfo", descriptor.name).read_text()
                flags = int(told.split("flags:")[1].split()[0], 8)
                if stat.S_ISREG(status.st_mode) and status.st_dev in devices and flags & os.O_ACCMODE != os.O_RDONLY:
                    found.append(f"{pid} writes {descriptor.readlink()}")
    return found


def _descriptors(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from folder.iterdir()


@around
def mount_and_memory(session: OnNode, words: tuple[str, ...]) -> list[str]:
    """Neither the cloud nor anything that the session holds is seen from the node's own namespaces, root's view included."""
    node = session.site.host(session.node)
    shown = [*session.mounts(), *session.kept()]
    segments = node.run(["ipcs", "-m", "-q", "-s"]).stdout.splitlines()
    return shown + node.run(["ls", "-A", "/dev/shm"]).stdout.split() + [line for line in segments if line.startswith("0x")]


@around
def the_door(session: OnNode, words: tuple[str, ...]) -> list[str]:
    """The one port that the session has answers nobody without the proxy's certificate; it has no other."""
    found: list[str] = []

    async def knock(context: ssl.SSLContext | bool, name: str) -> None:
        url = f"https://{address(session.node)}:{session.hub.port}{BASE_URL}api"
        with contextlib.suppress(aiohttp.ClientError, ssl.SSLError, OSError):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http, http.get(url) as answer:
                found.append(f"{name}: {answer.status}")

    session.hub.thread.do(knock(session.hub.browser(believed=False), "a stranger's certificate"))
    session.hub.thread.do(knock(False, "no certificate"))
    uid = session.site.host(session.node).user(ACCOUNT).uid
    lines = session.site.run(session.node, ["ss", "-H", "-l", "-t", "-u", "-n", "-e"], check=True).stdout.splitlines()
    mine = [line.split() for line in lines if f"uid:{uid}" in line]
    assert mine, "the session's own port was not listed"
    return found + [f"listens at {words[4]}" for words in mine if not words[4].endswith(f":{session.hub.port}")]


def without_its_mount(session: OnNode) -> list[str]:
    """Writes below the mountpoint that succeed after sshfs was killed, and after the dead mount is gone too.

    A cell's child writes all the time. The enclave is stopped meanwhile: it would end the session before anybody could write.
    """
    session.cell(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WRITER!r}], start_new_session=True)")
    node = session.site.host(session.node)
    enclave, server, sshfs = (_process(session, line) for line in ("-m enclave run", "-m enclave.inside", "/usr/bin/sshfs"))
    log = node.path(f"/proc/{server}/root/tmp/written")
    found = [f"before: {said}" for said in _after(log, 0, "done")]
    node.run(["kill", "-STOP", str(enclave)], check=True)
    try:
        node.run(["kill", "-KILL", str(sshfs)], check=True)
        found += _after(log, time.monotonic(), "Transport endpoint is not connected")
        node.run(["nsenter", "--target", str(enclave), "--mount", "/usr/bin/python3", "-c", DETACH], check=True)
        found += _after(log, time.monotonic(), "Read-only file system")
    finally:
        node.run(["kill", "-CONT", str(enclave)])
    return found


def _after(log: Path, begun: float, expected: str = "") -> list[str]:
    """What was told of writes in half a second from `begun` (on the machine's clock) on, apart from what is `expected`."""
    time.sleep(0.6)
    told = [line.split(" ", 1) for line in log.read_text().splitlines()]
    later = [words for moment, words in told if float(moment) > begun + 0.1]
    assert later, "nobody wrote"
    return sorted({words for words in later if words != expected})


def _process(session: OnNode, part: str) -> int:
    """The last process with `part` in its command line: those before it only started it."""
    return max(pid for pid, line in session.processes().items() if part in line and "bwrap" not in line and "unshare" not in line)


def page_cache_after(session: OnNode, end: Callable[[], None]) -> list[str]:
    """Whether the file system whose pages hold what was read is still there after `end`: its pages go with it.

    The kernel lists every FUSE connection by the number of its device, whichever namespace it belongs to.
    """
    number = session.cell("import os; print(os.minor(os.stat(os.environ['RENKEI_MOUNT']).st_dev))").strip()
    assert number in connections(session)
    end()
    give_up = time.monotonic() + 10
    while number in connections(session) and time.monotonic() < give_up:
        time.sleep(0.1)
    return [f"FUSE connection {number}"] if number in connections(session) else []


def connections(session: OnNode) -> list[str]:
    """The FUSE connections of the machine."""
    listing = "mount --no-mtab -t fusectl none /mnt && ls /mnt"
    return session.site.run(session.node, ["unshare", "--mount", "sh", "-c", listing], check=True).stdout.split()
