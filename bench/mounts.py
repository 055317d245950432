"""The cloud as a session mounts it, made by hand on a node: same account, same options, any program in ssh's place."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from enclave import mount
from enclave.ground import Places
from enclave.messages import Destination
from testbed import owner, services
from testbed.host import Host, TestbedError
from testbed.nearby import with_program
from testbed.site import Testbed

UNIX_ACCOUNT, CLOUD_ACCOUNT = "rs-tanaka", "jrs0017"
OWN_FOLDER = f"people/{CLOUD_ACCOUNT}"
LINK = f"{services.PYTHON} -S -P -m cloudlink --budget=1800 -- /usr/bin/ssh"
"""The link as sshfs's `ssh_command`, on a node."""
_GATEWAY, _PORT = "10.77.2.1", 2201
_PROGRAMS = ("sshfs", "cloudlink", "ssh", "sshd")
"""Who works for a mount."""


@dataclass(frozen=True)
class Mounted:
    """One mount on a node."""

    node: Host
    run: str
    """The folder on the node that holds its keys."""

    @property
    def place(self) -> str:
        """Where it is, on the node."""
        return str(Places(Path(self.run)).cloud)

    @property
    def own(self) -> str:
        """The person's own folder in it."""
        return f"{self.place}/{OWN_FOLDER}"


def vouch(testbed: Testbed, session: str = "benchbenchbench1") -> str:
    """A session that the cloud lets in, of a hub that is not there; its name."""
    owner.vouch(testbed.host("cloud"), session, CLOUD_ACCOUNT)
    return session


def certify(testbed: Testbed, node: Host, run: str, session: str, seconds: int = 7200) -> None:
    """A certificate for the key that lies in the node's folder `run`/keys, in its place at once and good for `seconds`."""
    hub, name = testbed.host("hub"), run.replace("/", "-").strip("-")
    hub.write(f"/root/{name}.pub", node.path(f"{run}/keys/key.pub").read_text())
    sign = ["ssh-keygen", "-q", "-s", "/etc/renkei-authority/ca/cloud", "-I", f"session={session}", "-z", "1"]
    hub.run([*sign, "-n", CLOUD_ACCOUNT, "-V", f"-1m:+{seconds}s", f"/root/{name}.pub"], check=True)
    certificate = hub.path(f"/root/{name}-cert.pub").read_text()
    hub.run(["rm", "-f", f"/root/{name}.pub", f"/root/{name}-cert.pub"])
    node.write(f"{run}/keys/key-cert.pub.new", certificate, 0o600, UNIX_ACCOUNT)
    node.path(f"{run}/keys/key-cert.pub.new").replace(node.path(f"{run}/keys/key-cert.pub"))


@contextlib.contextmanager
def mounted(
    testbed: Testbed,
    node: Host,
    run: str,
    session: str,
    ssh_command: str | None = None,
    *,
    port: int = _PORT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Mounted]:
    """The cloud on `node`, with a session's own sshfs and ssh options, seen by the whole node; its files lie below `run`.

    `ssh_command` is what sshfs starts in place of ssh. The cloud's owner lets in who belongs to a session that lives: this is one
    more connection of `session`. Raises TestbedError when it can't be mounted.
    """
    places, here = Places(Path(run)), Mounted(node, run)
    for folder in (run, here.place, str(places.keys)):
        node.folder(folder, 0o700, UNIX_ACCOUNT)
    node.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{places.keys}/key"], user=UNIX_ACCOUNT, check=True)
    certify(testbed, node, run, session)
    destination = Destination(
        name="cloud",
        gateway=_GATEWAY,
        port=port,
        account=CLOUD_ACCOUNT,
        host_keys=f"cloud {testbed.host('hub').path('/etc/renkei/host_keys/cloud').read_text()}",
        path="/srv/cloud",
        folder=OWN_FOLDER,
    )
    for name, text in (("known_hosts", destination.host_keys), ("config", mount.ssh_config(destination, places.keys))):
        node.write(f"{places.keys}/{name}", text, 0o600, UNIX_ACCOUNT)
    account = node.user(UNIX_ACCOUNT)
    argv = with_program(mount.command(destination, places, account.uid, account.gid), ssh_command)
    sshfs = node.popen(argv, UNIX_ACCOUNT, {"PYTHONPATH": services.SOURCE, **(environment or {})})
    try:
        end = time.monotonic() + 30
        while node.run(["mountpoint", "--quiet", here.place], user=UNIX_ACCOUNT).returncode != 0:
            if sshfs.poll() is not None or time.monotonic() > end:
                raise TestbedError("the cloud could not be mounted outside a session")
            time.sleep(0.1)
        yield here
    finally:
        node.run(["fusermount3", "-u", "-z", here.place], user=UNIX_ACCOUNT)
        try:
            sshfs.wait(30)
        finally:
            sshfs.kill()
            node.run(["rm", "-rf", run])


def spent(*hosts: Host) -> Counter[str]:
    """Processor seconds so far of the programs on `hosts` that work for mounts, by program."""
    found: Counter[str] = Counter()
    for process in (process for host in hosts for process in host.processes()):
        name = _program(process.argv)
        if name in _PROGRAMS:
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                found[name] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # type: ignore[assignment]  # a Counter may count fractions
    return found


def peak_memory(host: Host) -> int:
    """Bytes: the most that all links on `host` together have held; 0 without one."""
    total = 0
    for process in host.processes():
        if _program(process.argv) == "cloudlink":
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            total += next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total


def _program(argv: tuple[str, ...]) -> str:
    # env, prlimit and setpriv become sshfs; what is left of them would count twice.
    name = Path(argv[0].partition(":")[0]).name
    return "cloudlink" if name.startswith("python") and "cloudlink" in argv else name
