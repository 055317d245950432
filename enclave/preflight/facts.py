"""What the checks need to know, as typed values, and the parsers of the kernel's files."""

from __future__ import annotations

import re

import msgspec


class Mount(msgspec.Struct, frozen=True):
    """One line of mountinfo."""

    device: str
    """major:minor of the file system: two mounts that show the same one have the same."""
    root: str
    """Which part of the file system is shown."""
    point: str
    writable: bool
    kind: str


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """What a process in the sandbox sees, said by itself."""

    namespaces: dict[str, str]
    """Kind to the kernel's own name of it."""
    interfaces: tuple[str, ...]
    mountinfo: str
    sockets: tuple[str, ...]
    """Paths of unix sockets in places where the node has some."""
    vsock: bool = False
    """Whether a socket to the machine under a virtual node can be opened, which no network namespace holds."""
    cuda: str | None = None
    """Why CUDA can't begin; empty: it can; None: nobody asked for a GPU."""
    capabilities: tuple[tuple[int, int], ...] = ()
    """Compute capability of each GPU that opens."""
    architectures: tuple[str, ...] | None = None
    """What torch is built for (`sm_90`, `compute_90`); None where there is no torch, or no GPU to ask for."""


class Told(msgspec.Struct, frozen=True):
    """A program that was asked something: its exit code and what it wrote. 127 where it could not be started."""

    code: int
    text: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of the node when the checks begin."""

    gpus: int
    """How many GPUs the session asked for."""
    patience: int
    """Seconds of silence on the line that a session outlives."""
    fuse: str
    """Why /dev/fuse can't be opened; empty: it can."""
    sshfs: Told
    """A mount with a session's own options and an ssh that hangs up at once."""
    ssh: Told
    """`ssh -G` of a session's own configuration."""
    certificates: Told
    """`ssh -Q key-cert`."""
    swaps: str
    """/proc/swaps."""
    swap_limit: str
    """`0` where the job's control group may not swap, whatever the node may; else empty."""
    core_pattern: str | None
    """None where it can't be read."""
    core_limit: int
    """RLIMIT_CORE, bytes; negative: unlimited."""
    exception_trace: str | None
    """debug.exception-trace; None where it can't be read."""
    timeouts: dict[str, str]
    """Name to value of each `fs.fuse.*_request_timeout` that this kernel has."""
    namespaces: dict[str, str]
    mountinfo: str
    sandbox: str = ""
    """What bubblewrap or the server wrote, where nothing came out of the sandbox."""
    inside: Inside | None = None
    expected: Expected


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What may be seen inside, by the sandbox's description."""

    memory: tuple[str, ...]
    devices: tuple[str, ...]
    sockets: tuple[str, ...]
    user_namespace: bool = True
    """Whether the sandbox makes one; otherwise nobody on the node can, which was asked before."""


def mounts(mountinfo: str) -> tuple[Mount, ...]:
    """The mounts that `mountinfo` (proc_pid_mountinfo(5)) lists; a line that is none is passed over."""
    found = []
    for line in mountinfo.split("\n"):
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if dash and len(fields) >= 6:
            writable = "rw" in fields[5].split(",") and "ro" not in after.split(" ")[-1].split(",")
            found.append(Mount(fields[2], _plain(fields[3]), _plain(fields[4]), writable, after.split(" ")[0]))
    return tuple(found)


def swaps(text: str) -> tuple[str, ...]:
    """The files and devices that /proc/swaps lists under its heading."""
    return tuple(_plain(line.split()[0]) for line in text.split("\n")[1:] if line.strip())


def _plain(word: str) -> str:
    """The kernel writes blanks and backslashes in names as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
