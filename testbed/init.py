"""The first process of a host, or of the switch: makes its namespaces and its root, then reaps children until it is killed.

Run as `python3 -I -S init.py MARK` with an order (JSON) on stdin; standard library only, because it must not depend on what
it hides. It answers `ready` on stdout, or one line that says what failed, and goes on alone. The mark in its arguments is how
the testbed finds it again; killing it ends the host and everything in it.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

# linux/sched.h and linux/mount.h
_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2

KEPT_DESCRIPTOR = 9
"""The open folder of everything that the host writes: `upper` (changes to the root) and the folders held in memory."""
_MEMORY_FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "run": 0o755, "dev/shm": 0o1777}
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0), "fuse": (10, 229)}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = (source.encode(), str(target).encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _check(_libc.mount(*arguments), f"mount {target}")


def _bind(source: str, target: Path, *, read_only: bool = False) -> None:
    _mount(source, target, flags=_MS_BIND | _MS_REC)
    if read_only:
        _mount("none", target, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID)


def _fill_dev(dev: Path, extra: dict[str, tuple[int, int]]) -> None:
    """Device files that any program of the host may use; the machine's own are not among them."""
    os.umask(0)
    for name, (major, minor) in {**_DEVICES, **extra}.items():
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    os.umask(0o022)
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    _mount("mqueue", dev / "mqueue", "mqueue", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _mount("devpts", dev / "pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    for name, target in {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        (dev / name).symlink_to(target)


def _make_root(base: Path, order: dict[str, Any]) -> Path:
    """The host's root below `base`: the machine's own root underneath, everything written on top of it in memory.

    Between the two lies what was unpacked for hosts alone, if there is any.
    """
    _mount("renkei-testbed", base, "tmpfs", data="mode=0700")
    for name in ("upper", "work", "root"):
        (base / name).mkdir()
    root = base / "root"
    lower = f"{order['layer']}:/" if order["layer"] else "/"
    _mount("overlay", root, "overlay", data=f"lowerdir={lower},upperdir={base}/upper,workdir={base}/work")
    _mount("proc", root / "proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, order.get("proc", ""))
    _mount("sysfs", root / "sys", "sysfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | _MS_RDONLY)
    _mount("dev", root / "dev", "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=0755")
    _fill_dev(root / "dev", {name: (major, minor) for name, (major, minor) in order["devices"].items()})
    for name, mode in _MEMORY_FOLDERS.items():
        folder = base / name.replace("/", "-")
        folder.mkdir()
        folder.chmod(mode)
        _bind(str(folder), root / name)
    for target, source in order["read_only"].items():
        place = root / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        _bind(source, place, read_only=True)
    os.dup2(os.open(base, os.O_RDONLY | os.O_DIRECTORY), KEPT_DESCRIPTOR)
    return root


def _lay_layer(base: Path, source: str) -> str:
    """A copy in memory of the folder `source`, as a path for overlayfs, which takes none that lies within another of its layers."""
    _mount("renkei-layer", base, "tmpfs", data="mode=0755")
    shutil.copytree(source, base, symlinks=True, dirs_exist_ok=True)
    # By descriptor: the next mount on `base` hides it.
    return f"/proc/self/fd/{os.open(base, os.O_RDONLY | os.O_DIRECTORY)}"


def _become_host(order: dict[str, Any]) -> None:
    socket.sethostname(order["hostname"])
    _mount("none", Path("/"), flags=_MS_REC | _MS_PRIVATE)
    if order["layer"]:
        order["layer"] = _lay_layer(Path(order["base"]), order["layer"])
    root = _make_root(Path(order["base"]), order)
    os.chdir(root)
    # The host's root takes the place of the machine's, which is then let go: a mere chroot would forbid user namespaces.
    subprocess.run(["/usr/sbin/pivot_root", ".", "."], check=True)
    _check(_libc.umount2(b".", _MNT_DETACH), "leave the machine's root")
    os.chdir("/")


def _quiet_network() -> None:
    """No IPv6 on the links to come: the site's rules speak of IPv4 addresses, and there shall be no second way."""
    path = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
    if path.exists():
        path.write_text("1")


def _reap_for_ever() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
        signal.sigwait({signal.SIGCHLD})


def _start(order: dict[str, Any]) -> None:
    _quiet_network()
    if order["kind"] == "host":
        _become_host(order)


def main() -> int:
    """Make the namespaces, put the first process into them, and return once it is ready."""
    order = json.load(sys.stdin)
    os.setsid()
    _check(_libc.unshare(_NEWNET if order["kind"] == "switch" else _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET), "unshare")
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading) as stream:
            answer = stream.read()
        sys.stdout.write(answer or "its first process died\n")
        return 0 if answer == "ready\n" else 1
    os.close(reading)
    try:
        _start(order)
    except (OSError, subprocess.SubprocessError) as error:
        os.write(writing, f"{error}\n".encode())
        return 1
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.write(writing, b"ready\n")
    os.close(writing)
    _reap_for_ever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
