"""What a session stands on outside its sandbox: where its files lie, and how the cloud gets to the sandbox.

There is one ground a mechanism: `enclave.namespace` and `enclave.fusermount`. The order names the mechanism, and where the node
refuses that one there is no session: the other is never tried.
"""

from __future__ import annotations

import ctypes
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE = 4  # <sys/prctl.h>


@dataclass(frozen=True)
class Places:
    """Where the session's files outside the sandbox are: below one folder that lies in memory and that nobody else may enter."""

    run: Path

    @property
    def cloud(self) -> Path:
        """The mountpoint."""
        return self.run / "cloud"

    @property
    def keys(self) -> Path:
        """What ssh needs."""
        return self.run / "keys"

    @property
    def etc(self) -> Path:
        """The sandbox's made-up files of /etc."""
        return self.run / "etc"

    @property
    def sockets(self) -> Path:
        """Where the doorway's two halves meet the sandbox."""
        return self.run / "sockets"

    @property
    def link(self) -> Path:
        """Where the link writes how it does."""
        return self.run / "link"

    @property
    def state(self) -> Path:
        """The file that says it (`enclave.storage`)."""
        return self.link / "state.json"

    @property
    def trial(self) -> Path:
        """Where preflight lets sshfs try a mount."""
        return self.run / "trial"

    @property
    def folders(self) -> tuple[Path, ...]:
        """All of them but `run`."""
        return self.cloud, self.keys, self.etc, self.sockets, self.link, self.trial


class Ground(Protocol):
    """A mechanism's ground, prepared: its places exist."""

    @property
    def places(self) -> Places:
        """Where the session's files are."""

    @property
    def mount_first(self) -> bool:
        """Whether the sandbox has to wait for the mount; otherwise the mount reaches a sandbox that already runs."""

    @property
    def user_namespace(self) -> bool:
        """Whether the sandbox has a user namespace, in which it forbids all others; otherwise the node forbids them."""

    def unmount(self) -> None:
        """Takes the cloud out of the places and the sandbox; it is no fault when it is not there."""

    def clear(self) -> None:
        """Takes away, after `unmount`, what would outlive the session's processes."""


def mounted(cloud: Path) -> bool:
    """Whether an sshfs is mounted at `cloud`, by the kernel's own list: asking the file system itself could wait for the line."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
        return any(is_cloud(line, cloud) for line in lines)


def is_cloud(line: str, cloud: Path) -> bool:
    """Whether one line of mountinfo says that an sshfs is mounted at `cloud`."""
    before, _, after = line.partition(" - ")
    fields = before.split()
    return len(fields) > 4 and fields[4] == str(cloud) and after.split(" ")[0] == "fuse.sshfs"


def forbid_core_dumps() -> None:
    """Keeps this process's memory out of core dumps and from debuggers, its children's out of core dumps. Raises OSError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A core_pattern that is a pipe ignores the limit; an empty filter leaves it nothing to store. Inherited by all.
    Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
