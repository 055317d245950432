"""The destinations: their sshd, and the data that people are let in for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testbed import processes
from testbed.accounts import CLOUD, KASHIWA, Accounts
from testbed.host import STANDALONE, Host, TestbedError

ACCOUNTS: dict[str, Accounts] = {"cloud": CLOUD, "kashiwa": KASHIWA}
CURATOR = "curator"
LOG = "/var/log/sshd.log"

_SSHD = """\
Include /etc/ssh/sshd_config.d/10-renkei-owner.conf
Port 22
HostKey /etc/ssh/renkei_host_ed25519_key
PidFile /run/sshd-renkei.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM no
UseDNS no
Subsystem sftp internal-sftp
LoginGraceTime 30
PrintMotd no
"""
"""What a destination's sshd has of its own; who comes in, and how, is the data owner's part (testbed/owner.py)."""


def make_host_key(host: Host) -> str:
    """A new host key for a destination; the public half as `TYPE BASE64`."""
    host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", "/etc/ssh/renkei_host_ed25519_key"], check=True)
    return " ".join(host.path("/etc/ssh/renkei_host_ed25519_key.pub").read_text().split()[:2])


def start(host: Host) -> None:
    """Start syslog and sshd on a destination: nobody comes in before the data owner's side is there."""
    background_log(host)
    host.folder("/run/sshd")
    host.write("/etc/ssh/sshd_config", _SSHD)
    listen(host)


def background_log(host: Host) -> None:
    """Start what writes the host's log, and wait until it listens."""
    host.daemon([*STANDALONE, "/opt/renkei/src/testbed/syslog.py", "/dev/log", LOG, host.name], None, "/var/log/syslog-errors.log")
    end = time.monotonic() + 10
    while not host.path("/dev/log").is_socket():
        if time.monotonic() > end:
            raise TestbedError(f"{host.name}: nothing writes its log")
        time.sleep(0.02)


def stop(host: Host) -> None:
    """End sshd and every session on a destination; `listen` brings it back."""
    # Again until there is none: a connection that came meanwhile would look like a server that runs.
    while found := [each.pid for each in host.processes() if "sshd" in each.argv[0]]:
        processes.kill(found)
        processes.wait_gone(found, 5)


def listen(host: Host) -> None:
    """Start sshd, unless it runs."""
    if not any("sshd" in each.argv[0] for each in host.processes()):
        host.run(["/usr/sbin/sshd"], check=True)


def fill(host: Host, phantoms: Path, real: Path) -> None:
    """Make /srv/cloud: an own folder for each person, and data sets with different owners and modes.

    `phantoms` and `real` are folders of the machine that are copied.
    """
    datasets = "/srv/cloud/datasets"
    host.folder("/srv/cloud/people")
    host.folder(datasets, 0o755, CURATOR)
    for account in ACCOUNTS[host.name].accounts:
        if account.name != CURATOR:
            host.folder(f"/srv/cloud/people/{account.name}", 0o700, account.name)
    _copy(host, phantoms, f"{datasets}/phantom-chest")
    _copy(host, real, f"{datasets}/real-ct")
    if host.name == "cloud":
        _copy(host, real, f"{datasets}/society-jrs")
        host.folder(f"{datasets}/society-jrs", 0o750, CURATOR, "jrs")


def _copy(host: Host, source: Path, target: str) -> None:
    """Copy a folder of the machine into the host as the curator's, readable by everyone who gets to it."""
    shutil.copytree(source, host.path(target))
    host.folder(target, 0o755, CURATOR)
    curator = host.user(CURATOR)
    for folder, _, names in os.walk(host.path(target)):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            os.chown(path, curator.uid, curator.gid, follow_symlinks=False)
            path.chmod(0o755 if stat.S_ISDIR(path.stat().st_mode) else 0o644)


def phantoms(source: Path, store: Path) -> Path:
    """The demonstration's phantoms, made once and kept in `store`.

    Raises TestbedError when the generator fails.
    """
    library = source / "kernels" / "ctlab"
    parts = [path.read_bytes() for path in (library / "phantoms.py", library / "anatomy.py", Path(__file__))]
    done = store / f"data-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"
    if not done.exists():
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="data-making-", dir=store) as making:
            path = os.pathsep.join((str(source), str(source / "kernels")))
            # The tutorial's network learns the lungs in minutes; inflammation takes longer than a first look has.
            argv = [sys.executable, "-m", "ctlab.phantoms", making, "--marking", "lungs"]
            argv += ["--train", "8", "--val", "3", "--seed", "1"]
            answer = subprocess.run(
                argv, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=900, cwd="/"
            )
            if answer.returncode != 0:
                raise TestbedError(f"the phantoms can't be made: {answer.stderr.strip()[-2000:]}")
            with contextlib.suppress(FileExistsError):  # another testbed was quicker
                Path(making).rename(done)
            Path(making).mkdir(exist_ok=True)
    return done
