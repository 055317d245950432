"""What a process on a node tries with another account's processes and sockets; tells what it got, as JSON.

Runs with the system's Python as the attacker, `attack.py PID…`: it is told the victim's processes, which a node may hide from it.
Nothing that it tries would harm if it succeeded.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# <sys/ptrace.h>, <sys/uio.h>, <linux/sched.h>, asm-generic/unistd.h
_SEIZE = 0x4206
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
FILES = ("environ", "mem", "maps", "smaps", "auxv", "stack", "syscall", "io", "clear_refs", "pagemap", "personality")
LINKS = ("root", "cwd", "exe", "fd/0", "fd/1", "fd/5", "fd/9", "ns/mnt", "ns/net", "ns/pid", "ns/user")
FOLDERS = ("root", "root/tmp", "cwd", "fd", "map_files")

_HTTP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _trace(pid: int) -> None:
    # Not PTRACE_ATTACH, which asks for the same right and stops the process. Ended with this one.
    _check(_libc.ptrace(ctypes.c_long(_SEIZE), pid, None, None))


def _read_memory(pid: int) -> None:
    there = ctypes.create_string_buffer(8)
    mine, theirs = _Piece(ctypes.addressof(there), 8), _Piece(0x400000, 8)
    _check(_libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))


def _take_descriptor(pid: int) -> None:
    handle = _check(_libc.syscall(_PIDFD_OPEN, pid, 0))
    for number in range(12):
        _check(_libc.syscall(_PIDFD_GETFD, handle, number, 0))


def _enter(pid: int, *spaces: str) -> None:
    argv = ["/usr/bin/nsenter", "--target", str(pid), *(f"--{each}" for each in spaces), "--preserve-credentials", "true"]
    if subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode:
        raise PermissionError(spaces)


WAYS: dict[str, Callable[[int], object]] = {
    **{name: lambda pid, name=name: Path(f"/proc/{pid}/{name}").read_bytes()[:1] for name in FILES},
    **{name: lambda pid, name=name: Path(f"/proc/{pid}/{name}").stat() for name in LINKS},
    **{f"{name}/": lambda pid, name=name: list(Path(f"/proc/{pid}/{name}/").iterdir()) for name in FOLDERS},
    "task/": lambda pid: Path(f"/proc/{pid}/task/{pid}/environ").read_bytes(),
    "trace": _trace,
    "read memory": _read_memory,
    "take a descriptor": _take_descriptor,
    "enter mount": lambda pid: _enter(pid, "mount"),
    "enter user and mount": lambda pid: _enter(pid, "user", "mount"),
    "enter user and net": lambda pid: _enter(pid, "user", "net"),
    "enter all": lambda pid: _enter(pid, "user", "mount", "pid", "net", "ipc"),
    "signal": lambda pid: os.kill(pid, signal.SIGCONT),
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)),
    "limits": lambda pid: resource.prlimit(pid, resource.RLIMIT_NICE, (0, 0)),
    "processor": lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid)),
}


def processes(victims: list[int]) -> dict[str, list[int]]:
    """Way → the processes where it worked."""
    got: dict[str, list[int]] = {}
    for pid in victims:
        for name, work in WAYS.items():
            try:
                work(pid)
            except (OSError, subprocess.SubprocessError):
                continue
            got.setdefault(name, []).append(pid)
    return got


def ports() -> Iterator[tuple[str, str, int]]:
    """Everything that listens on this host's network: protocol, address, port."""
    for line in subprocess.run(["/usr/bin/ss", "-Hlntu"], capture_output=True, text=True, check=True).stdout.splitlines():
        protocol, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        yield protocol, address.partition("%")[0].strip("[]"), int(port)


def answers(protocol: str, address: str, port: int) -> list[str]:
    """What a stranger gets out of a port: the first bytes of plain text, of HTTP, and of HTTP in TLS without a certificate."""
    there = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  (where it listens)
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    unverified = ssl._create_unverified_context()  # noqa: S323  (an attacker believes anybody)
    said = []
    for greeting, encrypted in ((b"", False), (_HTTP, False), (_HTTP, True)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in there else socket.AF_INET, kind) as plain:
                plain.settimeout(1)
                plain.connect((there, port))
                channel: socket.socket = unverified.wrap_socket(plain) if encrypted else plain
                if greeting:
                    channel.sendall(greeting)
                said.append(channel.recv(200).decode(errors="replace"))
        except OSError as error:
            said.append(type(error).__name__)
    return said


def unix_sockets() -> list[str]:
    """Names of the unix sockets of this host's network: paths, and abstract ones with an @."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return sorted({line.split(maxsplit=7)[7] for line in lines if len(line.split(maxsplit=7)) == 8})


def connects(name: str) -> bool:
    """Whether a unix socket lets this process in."""
    address = f"\0{name[1:]}" if name.startswith("@") else name
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as channel:
                channel.connect(address)
        except OSError:
            continue
        return True
    return False


def mounts() -> list[str]:
    """File systems of a cloud that this process sees."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - fuse" in line]


def main() -> int:
    """Try everything once."""
    victims = [int(each) for each in sys.argv[1:]]
    told = {
        "seen": [pid for pid in victims if Path(f"/proc/{pid}").exists()],
        "processes": processes(victims),
        "ports": {f"{protocol} {address} {port}": answers(protocol, address, port) for protocol, address, port in ports()},
        "sockets": {name: connects(name) for name in unix_sockets()},
        "mounts": mounts(),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
