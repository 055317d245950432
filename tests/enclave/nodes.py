"""Nodes that are otherwise than the testbed makes them, and are put back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from testbed.host import Host
from testbed.site import Testbed

HIDDEN_ROOT = "/mnt/root"
"""The root that jobs see where they can't make user namespaces, as the node itself sees it."""


@contextlib.contextmanager
def replaced(site: Testbed, node: str, program: str, mode: int) -> Iterator[None]:
    """Gives `program` (a path on `node`) another mode, by a copy that lies over it and not in what the node keeps."""
    host = site.host(node)
    place = f"/mnt/{program.rpartition('/')[2]}"
    host.run(["mount", "--no-mtab", "-t", "tmpfs", "-o", "mode=0755", "none", "/mnt"], check=True)
    try:
        host.run(["cp", program, place], check=True)
        host.run(["chmod", f"{mode:o}", place], check=True)
        host.run(["mount", "--no-mtab", "--bind", place, program], check=True)
        yield
    finally:
        host.run(["umount", "--no-mtab", "--lazy", program])
        host.run(["umount", "--no-mtab", "--recursive", "--lazy", "/mnt"], check=True)


@contextlib.contextmanager
def without_user_namespaces(site: Testbed, node: str) -> Iterator[None]:
    """Makes `node` one whose jobs can't make user namespaces, with a setuid bubblewrap.

    The kernel refuses user namespaces to whoever lives in a chroot: so the batch system's daemon does, in a copy of the root.
    """
    host = site.host(node)
    with replaced(site, node, "/usr/bin/bwrap", 0o4755):
        _stop_slurmd(host)
        try:
            host.run(["mkdir", HIDDEN_ROOT], check=True)
            host.run(["mount", "--no-mtab", "--rbind", "/", HIDDEN_ROOT], check=True)
            host.run(["chroot", HIDDEN_ROOT, "/usr/sbin/slurmd"], check=True)
            yield
        finally:
            _stop_slurmd(host)
            host.run(["/usr/sbin/slurmd"], check=True)


def _stop_slurmd(host: Host) -> None:
    host.run(["pkill", "-x", "slurmd"], check=True)
    end = time.monotonic() + 10
    while host.run(["pgrep", "-x", "slurmd"]).returncode == 0:
        assert time.monotonic() < end, "slurmd does not end"
        time.sleep(0.05)
