"""Nodes that lack something: each made so on the testbed's hosts alone, and put right afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from testbed.host import Host

Hosts = list[Host]
OLD_SSHFS = """\
#!/bin/sh
# An sshfs from before contain_symlinks, which says what libfuse says of an option that nobody knows.
case "$*" in *contain_symlinks*) echo "fuse: unknown option(s): \\`-o contain_symlinks'" >&2; exit 1 ;; esac
exec /run/renkei-real-program "$@"
"""
PRETENDING_UNSHARE = """\
#!/bin/sh
# A session has a /proc of its own, which shows the machine's: what it shall see otherwise is laid over it there.
for word; do
  shift
  set -- "$@" "$word"
  [ "$word" != --keep-caps ] || set -- "$@" /usr/bin/python3 -I -S /run/renkei-pretend
done
exec /run/renkei-real-program "$@"
"""
PRETEND = """\
import ctypes, os, sys
if ctypes.CDLL(None).mount(b"/run/renkei-pretended", {target!r}.encode(), None, 4096, None) != 0:
    sys.exit("can't pretend")
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextlib.contextmanager
def replaced(nodes: Hosts, path: str, script: str) -> Iterator[None]:
    """The program at `path` is `script` meanwhile, which finds the real one at /run/renkei-real-program."""
    for node in nodes:
        node.run(["cp", path, "/run/renkei-real-program"], check=True)
        node.write("/run/renkei-stand-in", script, 0o755)
        node.run(["mount", "--bind", "/run/renkei-stand-in", path], check=True)
    try:
        yield
    finally:
        for node in nodes:
            node.run(["umount", path], check=True)
            node.run(["rm", "/run/renkei-stand-in", "/run/renkei-real-program"], check=True)


@contextlib.contextmanager
def pretended(nodes: Hosts, target: str, text: str) -> Iterator[None]:
    """A session sees `text` at `target`, a file of /proc."""
    for node in nodes:
        node.write("/run/renkei-pretended", text)
        node.write("/run/renkei-pretend", PRETEND.format(target=target))
    try:
        with replaced(nodes, "/usr/bin/unshare", PRETENDING_UNSHARE):
            yield
    finally:
        for node in nodes:
            node.run(["rm", "/run/renkei-pretended", "/run/renkei-pretend"], check=True)


@contextlib.contextmanager
def without_fuse(nodes: Hosts) -> Iterator[None]:
    """There is no /dev/fuse."""
    for node in nodes:
        node.run(["mv", "/dev/fuse", "/dev/fuse.away"], check=True)
    try:
        yield
    finally:
        for node in nodes:
            node.run(["mv", "/dev/fuse.away", "/dev/fuse"], check=True)


def without_namespaces(nodes: Hosts) -> contextlib.AbstractContextManager[None]:
    """Ordinary users may not make user namespaces."""
    return replaced(nodes, "/usr/bin/unshare", "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")


def with_old_sshfs(nodes: Hosts) -> contextlib.AbstractContextManager[None]:
    """sshfs knows no contain_symlinks."""
    return replaced(nodes, "/usr/bin/sshfs", OLD_SSHFS)


def with_swap(nodes: Hosts) -> contextlib.AbstractContextManager[None]:
    """A partition is used as swap."""
    heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    return pretended(nodes, "/proc/swaps", f"{heading}/dev/dm-1                               partition\t8388604\t\t0\t\t-2\n")


def with_core_handler(nodes: Hosts) -> contextlib.AbstractContextManager[None]:
    """Cores go to a program of the node's."""
    return pretended(nodes, "/proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h\n")


def as_it_is(_nodes: Hosts) -> contextlib.AbstractContextManager[None]:
    """A node with stand-ins for GPUs."""
    return contextlib.nullcontext()
