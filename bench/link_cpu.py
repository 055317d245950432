"""`bin/bench link_cpu`: processor time that a gigabyte read over the link costs, program by program."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Report, say
from testbed import owner
from testbed.host import Host
from testbed.site import Testbed

NODE, DESTINATION, ACCOUNT = "cx01", "cloud", "jrs0017"
SIZE_MB = 1000
FOLDER, MOUNTPOINT = "/root/link", "/root/link/cloud"
FILE = f"people/{ACCOUNT}/random"
RELAY = "/opt/renkei/env/bin/python -I -S /opt/renkei/src/bench/relay.py"
AES = "aes128-gcm@openssh.com"
WAYS = {
    "sshfs": ("ssh", AES),
    "sshfs, chacha20": ("ssh", "chacha20-poly1305@openssh.com"),
    "relay, bytes": (f"{RELAY} bytes ssh", AES),
    "relay, packets": (f"{RELAY} packets ssh", AES),
}
"""What sshfs runs as its ssh, and with which cipher."""
PROGRAMS = {"sshfs": "sshfs", "python": "relay", "ssh": "ssh", "sshd": "sshd"}
"""Program to its name in the report."""


def prepare(testbed: Testbed) -> None:
    """A certificate for the node's root, and a file of random bytes at the destination."""
    node, hub, cloud = testbed.host(NODE), testbed.host("hub"), testbed.host(DESTINATION)
    node.folder(MOUNTPOINT, 0o700)
    node.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{FOLDER}/key"], check=True)
    hub.write(f"{FOLDER}.pub", node.path(f"{FOLDER}/key.pub").read_text())
    ca = f"/etc/renkei-authority/ca/{DESTINATION}"
    session = "benchbenchbench1"
    owner.vouch(cloud, session, ACCOUNT)
    signing = ["ssh-keygen", "-q", "-s", ca, "-I", f"session={session}", "-z", "1", "-n", ACCOUNT, "-V", "-1m:+2h"]
    hub.run([*signing, f"{FOLDER}.pub"], check=True)
    node.write(f"{FOLDER}/key-cert.pub", hub.path(f"{FOLDER}-cert.pub").read_text())
    node.write(f"{FOLDER}/known_hosts", f"cloud {hub.path('/etc/renkei/host_keys/cloud').read_text()}")
    target = cloud.path(f"/srv/cloud/{FILE}")
    with target.open("wb") as stream:
        for _ in range(SIZE_MB):
            stream.write(os.urandom(1_000_000))
    os.chown(target, cloud.user(ACCOUNT).uid, -1)


@contextmanager
def mounted(node: Host, program: str, cipher: str) -> Iterator[None]:
    """The destination at MOUNTPOINT."""
    settings = {
        "IdentityFile": f"{FOLDER}/key",
        "UserKnownHostsFile": f"{FOLDER}/known_hosts",
        "HostKeyAlias": "cloud",
        "BatchMode": "yes",
        "Ciphers": cipher,
        "ssh_command": program,
        "max_read": "65536",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    node.run(["sshfs", "-F", "/dev/null", "-p", "2201", *options, f"{ACCOUNT}@10.77.2.1:/srv/cloud", MOUNTPOINT], check=True)
    try:
        yield
    finally:
        node.run(["umount", MOUNTPOINT], check=True)


def spent(host: Host) -> Counter[str]:
    """Processor seconds so far of the host's programs that have to do with the link."""
    found: Counter[str] = Counter()
    for process in host.processes():
        program = Path(process.argv[0].partition(":")[0]).name
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        found[PROGRAMS.get(program, "")] += seconds  # type: ignore[assignment]  # a Counter may count fractions
    return found


def measure(testbed: Testbed, program: str, cipher: str) -> dict[str, float]:
    """Seconds of processor time for one gigabyte, by program; and the seconds that reading took."""
    node, cloud = testbed.host(NODE), testbed.host(DESTINATION)
    with mounted(node, program, cipher):
        before = spent(node) + spent(cloud)
        begun = time.monotonic()
        node.run(["dd", f"if={MOUNTPOINT}/{FILE}", "of=/dev/null", "bs=1M"], timeout=300, check=True)
        took = time.monotonic() - begun
        after = spent(node) + spent(cloud)
    return {name: round((after[name] - before[name]) * 1000 / SIZE_MB, 2) for name in PROGRAMS.values()} | {"wall": round(took, 2)}


def main() -> int:
    """Measures every way three times and keeps the one with the least processor time."""
    testbed = Testbed(f"bench-{os.getpid()}")
    try:
        testbed.up(hub=False)
        testbed.delay(0)
        prepare(testbed)
        best: dict[str, dict[str, float]] = {}
        for name, (program, cipher) in WAYS.items():
            runs = [measure(testbed, program, cipher) for _ in range(3)]
            best[name] = min(runs, key=lambda run: sum(run.values()) - run["wall"])
            say(f"{name}: {best[name]}")
    finally:
        testbed.down()
    total = sum(value for name, value in best["sshfs"].items() if name != "wall")
    Report(bench="link_cpu", value=round(total, 2), unit="s/GB", better="lower", detail=dict(best)).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
