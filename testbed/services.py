"""What runs on the hub besides Slurm: the password checker, the authority, JupyterHub."""

from __future__ import annotations

import signal
import time
import tomllib
from itertools import pairwise
from pathlib import Path

from testbed import processes
from testbed.host import Host, TestbedError
from testbed.layout import DESTINATIONS, PAGE_PORT, address

PYTHON = "/opt/renkei/env/bin/python"
SOURCE = "/opt/renkei/src"
HUB_ACCOUNT = "jupyterhub"
END_S = 60.0
"""How long JupyterHub may take to end, in seconds; on a machine that others use too its parts alone take ten."""
AUTHORITY_ACCOUNT = "renkei-authority"
HUB_LOG = "/var/log/renkei/hub.log"
AUTHORITY_LOG = "/var/log/renkei-authority/authority.log"
_PYTHON_PATH = {"PYTHONPATH": f"{SOURCE}:{SOURCE}/kernels"}
_AUTHORITY_SOCKET = "/run/renkei-authority/authority.sock"
_PAM = "auth required pam_unix.so\naccount required pam_unix.so\n"


def prepare(hub: Host, site: str, authority: str, sudoers: str | None) -> None:
    """Folders and configuration of the hub's services: texts of the site file, of the authority's file and of the sudo rule."""
    hub.folder("/etc/renkei")
    hub.folder("/etc/renkei/host_keys")
    hub.write("/etc/renkei/site.toml", site)
    hub.write("/etc/renkei/authority.toml", authority, 0o600, AUTHORITY_ACCOUNT)
    hub.folder("/var/lib/renkei/hub", 0o700, HUB_ACCOUNT)
    hub.folder("/var/log/renkei", 0o750, HUB_ACCOUNT)
    for folder in ("/var/lib/renkei-authority", "/var/log/renkei-authority"):
        hub.folder(folder, 0o700, AUTHORITY_ACCOUNT)
    hub.folder("/run/renkei-authority", 0o755, AUTHORITY_ACCOUNT)
    hub.folder("/run/saslauthd", 0o710, None, "sasl")
    hub.folder("/run/sudo", 0o711)
    hub.write("/etc/pam.d/renkei", _PAM)
    if sudoers is not None:
        hub.write("/etc/sudoers.d/renkei", sudoers, 0o440)


def make_ca_keys(hub: Host, authority: str) -> dict[str, str]:
    """Make the key that signs for each destination, where the authority's file says; destination → public half."""
    keys = {}
    for each in tomllib.loads(authority).get("destination", []):
        path = Path(each["ca_key"])
        hub.folder(str(path.parent), 0o700, AUTHORITY_ACCOUNT)
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"renkei {each['name']}", "-f", str(path)]
        hub.run(argv, user=AUTHORITY_ACCOUNT, check=True)
        keys[each["name"]] = hub.path(f"{path}.pub").read_text()
    missing = {each.name for each in DESTINATIONS} - set(keys)
    if missing:
        raise TestbedError(f"the authority's file has no destination {', '.join(sorted(missing))}")
    return keys


def pin_host_keys(hub: Host, keys: dict[str, str]) -> None:
    """Write each destination's public host key where the site file expects it."""
    for name, key in keys.items():
        hub.write(f"/etc/renkei/host_keys/{name}", f"{key}\n")


def start_checker(hub: Host) -> None:
    """Start saslauthd, which asks PAM about a password for accounts of the group `sasl`."""
    hub.run(["/usr/sbin/saslauthd", "-a", "pam", "-m", "/run/saslauthd", "-n", "5"], check=True)


def start_authority(hub: Host) -> None:
    """Start the process that signs certificates, unless it runs, and wait for its socket."""
    if authority_processes(hub):
        return
    hub.path(_AUTHORITY_SOCKET).unlink(missing_ok=True)
    hub.daemon([PYTHON, "-m", "spawner.authority", "/etc/renkei/authority.toml"], AUTHORITY_ACCOUNT, AUTHORITY_LOG, _PYTHON_PATH)
    end = time.monotonic() + 20
    while not hub.path(_AUTHORITY_SOCKET).exists():
        if not authority_processes(hub) or time.monotonic() > end:
            raise TestbedError(f"the authority did not start: {tail(hub, AUTHORITY_LOG)}")
        time.sleep(0.05)


def start_hub(hub: Host) -> None:
    """Start JupyterHub with its proxy, unless it runs, and wait until the login page answers."""
    if hub_processes(hub):
        return
    environment = {**_PYTHON_PATH, "RENKEI_SITE": "/etc/renkei/site.toml"}
    # From its own folder: JupyterHub takes files of the folder where it starts.
    argv = ["env", "--chdir=/var/lib/renkei/hub", PYTHON, "-m", "jupyterhub", "-f", f"{SOURCE}/jupyterhub_config.py"]
    hub.daemon(argv, HUB_ACCOUNT, HUB_LOG, environment)
    wait_for_page(hub)


def wait_for_page(hub: Host, seconds: float = 60) -> None:
    """Return when the login page answers.

    Raises TestbedError with the end of the hub's log when the hub ends, or after `seconds`.
    """
    end = time.monotonic() + seconds
    url = f"http://{address('hub')}:{PAGE_PORT}/hub/login"
    ask = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "5", url]
    while hub.run(ask).stdout != "200":
        if not hub_processes(hub) or time.monotonic() > end:
            raise TestbedError(f"JupyterHub did not start:\n{tail(hub, HUB_LOG)}")
        time.sleep(0.2)


def make_rules(hub: Host) -> None:
    """Give the site some quotas, unless it has any (testbed/rules.py)."""
    argv = ["env", f"PYTHONPATH={SOURCE}", PYTHON, "-m", "testbed.rules", "/etc/renkei/site.toml"]
    hub.run(argv, user=HUB_ACCOUNT, check=True)


def hub_processes(hub: Host) -> list[int]:
    """JupyterHub's own process, by the machine's number: one or none."""
    return _running(hub, "jupyterhub")


def authority_processes(hub: Host) -> list[int]:
    """The authority's process, by the machine's number: one or none."""
    return _running(hub, "spawner.authority")


def _running(hub: Host, module: str) -> list[int]:
    # Anywhere in the command line: just after its start a daemon still carries the command that detached it.
    return [each.pid for each in hub.processes() if ("-m", module) in pairwise(each.argv)]


def stop_authority(hub: Host) -> None:
    """End the authority."""
    pids = authority_processes(hub)
    processes.kill(pids, signal.SIGTERM)
    processes.wait_gone(pids, 10)


def stop_hub(hub: Host, number: signal.Signals = signal.SIGTERM) -> None:
    """End JupyterHub, by default as its service manager would; its proxy, a child, is given the same time."""
    pids = hub_processes(hub)
    processes.kill(pids, number)
    left = processes.wait_gone(pids, END_S)
    if left:
        raise TestbedError(f"JupyterHub did not end within {END_S:g} s: {tail(hub, HUB_LOG)}")


def tail(host: Host, path: str, size: int = 4000) -> str:
    """The end of a host's log."""
    try:
        return host.path(path).read_text(errors="replace")[-size:]
    except OSError as error:
        return f"({path}: {error.strerror})"
