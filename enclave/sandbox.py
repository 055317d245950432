"""The sandbox: what the notebook server and its kernels can see, as one typed description, and its bubblewrap argv.

What is not named here is not there: no network but `lo`, no home, no /run, no other process, no socket of the node's.
`describe` and `argv` are pure; `look` asks the node the few things that they need to know.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from enclave import gpus
from enclave.failure import SessionFailure
from enclave.ground import Ground, Places
from enclave.launch import IGNORED
from enclave.messages import Order, Reason

HOSTNAME = "renkei"
HUB_SOCKET = "/run/renkei/hub.sock"
"""Where the server finds the doorway's second half, inside."""
KERNELS = "/run/renkei/kernels"
SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC_FILES = ("ld.so.cache", "localtime", "fonts", "alternatives", "mime.types", "ssl/certs/ca-certificates.crt")
"""Of the node's /etc; passwd, group, hosts and nsswitch.conf are made up (`etc_files`). Without the certificates pip complains
of those, and not of the network that is not there."""

UNSHARED = ("--unshare-all", "--unshare-user", "--disable-userns")
UNSHARED_BY_ROOT = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
"""What a setuid bubblewrap does where the node lets nobody make a user namespace: all the others, and no code inside makes one."""

_CLOSED = ("/proc", "/dev", "/run", "/var/run", "/sys", "/tmp", "/etc", "/root")  # noqa: S108  (names, no files)
"""Nothing at or below these is ever shown because an order says so: sockets, devices, other sessions, the node's own secrets."""
_TOO_WIDE = ("/", "/usr", "/home", "/var", "/var/lib")


class Bind(msgspec.Struct, frozen=True):
    """One path of the node that is seen inside."""

    source: str
    target: str
    device: bool = False
    """Devices on it may be used; everything else is without them."""
    writable: bool = False


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What the description needs to know of the node."""

    account: str
    """The Unix account of the job: the only one that exists inside."""
    uid: int
    gid: int
    system: tuple[str, ...]
    """Which of SYSTEM_FOLDERS are folders."""
    links: tuple[tuple[str, str], ...]
    """Which of SYSTEM_FOLDERS are symbolic links: (target, path)."""
    etc: tuple[str, ...]
    """Which of ETC_FILES exist."""
    gpu_devices: tuple[str, ...]
    places: Places
    mounted: bool
    """Whether the cloud is there before the sandbox; otherwise it arrives in it, over a folder that can't be written to."""
    user_namespace: bool
    """Whether the sandbox makes a user namespace, and forbids all others in it."""


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is there inside, in the order in which it is put there."""

    links: tuple[tuple[str, str], ...]
    memory: tuple[str, ...]
    """Empty folders in memory, the only ones that can be written besides the cloud."""
    binds: tuple[Bind, ...]
    home: str
    user_namespace: bool
    environment: dict[str, str]
    command: tuple[str, ...]


def look(ground: Ground, asked: int) -> Node:
    """The node as it is, with `ground` on it: system folders, files of /etc, the GPUs that this job may open.

    Where no GPUs were `asked` for there are none, even if the batch system would let the job open some.
    """
    import pwd

    account = pwd.getpwuid(os.getuid())
    folders = [Path(each) for each in SYSTEM_FOLDERS]
    return Node(
        account=account.pw_name,
        uid=os.getuid(),
        gid=os.getgid(),
        system=tuple(str(each) for each in folders if each.is_dir() and not each.is_symlink()),
        links=tuple((str(each.readlink()), str(each)) for each in folders if each.is_symlink()),
        etc=tuple(name for name in ETC_FILES if Path("/etc", name).exists()),
        gpu_devices=gpus.devices(Path("/dev"), os.environ) if asked else (),
        places=ground.places,
        mounted=ground.mount_first,
        user_namespace=ground.user_namespace,
    )


def etc_files(node: Node) -> dict[str, str]:
    """The files of /etc that are made up: they name this one account and no other."""
    return {
        "passwd": f"{node.account}:x:{node.uid}:{node.gid}::/home/{node.account}:/bin/bash\n",
        "group": f"{node.account}:x:{node.gid}:\n",
        "hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }


def describe(order: Order, node: Node, environment: dict[str, str], command: tuple[str, ...]) -> Sandbox:
    """The sandbox for `order` on `node`, where `command` runs with exactly `environment`.

    Raises SessionFailure when the order names software where the sandbox has its own folders.
    """
    for path in (*order.software, *filter(None, [order.kernels])):
        if not _may_be_shown(path):
            raise SessionFailure(Reason.INTERNAL, f"the sandbox can't show {path!r} to the server")
    home = f"/home/{node.account}"
    binds = [Bind("/usr", "/usr"), *(Bind(each, each) for each in node.system)]
    binds += [Bind(f"/etc/{name}", f"/etc/{name}") for name in node.etc]
    binds += [Bind(str(node.places.etc / name), f"/etc/{name}") for name in sorted(etc_files(node))]
    binds += [Bind(each, each) for each in order.software]
    if order.kernels:
        binds.append(Bind(order.kernels, KERNELS))
    binds.append(Bind(str(node.places.sockets / "hub.sock"), HUB_SOCKET))
    if node.gpu_devices:
        # CUDA reads the bus from /sys, and fails without a word where it is missing.
        binds.append(Bind("/sys", "/sys"))
        binds += [Bind(each, each, device=True) for each in node.gpu_devices]
    binds.append(Bind(str(node.places.cloud), f"{home}/cloud", writable=node.mounted))
    return Sandbox(
        links=node.links,
        memory=("/tmp", "/var/tmp", "/home", "/dev/shm", "/run"),  # noqa: S108  (inside the sandbox)
        binds=tuple(binds),
        home=home,
        user_namespace=node.user_namespace,
        environment=environment,
        command=command,
    )


def _may_be_shown(path: str) -> bool:
    plain = path.startswith("/") and not path.startswith("//") and os.path.normpath(path) == path
    return plain and path not in _TOO_WIDE and not any(f"{path}/".startswith(f"{closed}/") for closed in _CLOSED)


def argv(sandbox: Sandbox, calls: int) -> list[str]:
    """The command line that makes `sandbox` and runs its command; `calls` is a descriptor with the filter of system calls.

    Before the mount the cloud's folder is bound read-only; the mount arrives over it, by propagation, writable.
    """
    words = [
        # The scheduler signals every process at once: bubblewrap must not go before the server has ended in order.
        *("/usr/bin/env", f"--ignore-signal={IGNORED}"),
        # bubblewrap refuses to start with the capabilities that the enclave keeps for mounting.
        *("/usr/bin/setpriv", "--inh-caps=-all", "--ambient-caps=-all"),
        "/usr/bin/bwrap",
        *("--die-with-parent", "--new-session", *(UNSHARED if sandbox.user_namespace else UNSHARED_BY_ROOT)),
        *("--hostname", HOSTNAME),
        *("--seccomp", str(calls)),
        *("--proc", "/proc", "--dev", "/dev"),
    ]
    for path in sandbox.memory:
        words += ["--tmpfs", path]
    for target, path in sandbox.links:
        words += ["--symlink", target, path]
    for bind in sandbox.binds:
        words += ["--dev-bind" if bind.device else "--bind" if bind.writable else "--ro-bind", bind.source, bind.target]
    words += ["--remount-ro", "/", "--chdir", sandbox.home, "--", *sandbox.command]
    return words
