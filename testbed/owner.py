"""The data owner's side of each destination: installed as an owner would, with keys made for this testbed."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from pathlib import Path

from testbed import cloud
from testbed.host import Host, TestbedError
from testbed.layout import address
from testbed.services import HUB_ACCOUNT

PROGRAM = ("/usr/bin/python3", "-I", "-S", "/opt/renkei-owner/dataowner/__main__.py")
SETTINGS = "/etc/renkei-owner/owner.ini"
_SIGNERS = "/etc/renkei-owner/allowed_signers"
_LIVE = "/run/renkei-owner/live.json"
_NAMESPACES = 'namespaces="renkei-statement,renkei-document"'
GRANTS = {"cloud": ("jrs0017", "jrs0023", "jrs0031", "jrs0040"), "kashiwa": ("kt001",)}
"""Who may come: the curator works at the cloud itself."""


def table(host: str) -> str:
    """The owner's file of a destination."""
    gateway = address("gw", "sinet")
    head = f"[owner]\ndestination = {host}\ngateway = {gateway}\nlog = {cloud.LOG}\nsshd_pid = /run/sshd-renkei.pid\n"
    grants = "".join(f"\n[account {name}]\naccess = read-write\nuntil = 2099-12-31\n" for name in GRANTS[host])
    return head + grants


def make_hub_keys(hub: Host, site: str) -> dict[str, tuple[str, str]]:
    """Make the hub's two keys for each destination where the site file says.

    Destination → public halves of the control key and of the statement key.
    """
    keys = {}
    for each in tomllib.loads(site).get("destination", []):
        if "owner" in each:
            paths = (each["owner"]["control_key"], each["owner"]["statement_key"])
            for path in paths:
                hub.folder(str(Path(path).parent), 0o700, HUB_ACCOUNT)
                argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "renkei-hub", "-f", path]
                hub.run(argv, user=HUB_ACCOUNT, check=True)
            control, statement = (" ".join(hub.path(f"{path}.pub").read_text().split()[:2]) for path in paths)
            keys[each["name"]] = (control, statement)
    return keys


def install(host: Host, source: Path, ca_public_key: str, hub_keys: tuple[str, str] | None) -> None:
    """What docs/dataowner.en.md tells an owner to do; sshd listens already."""
    shutil.copytree(source / "dataowner", host.path("/opt/renkei-owner/dataowner"), ignore=shutil.ignore_patterns("__pycache__"))
    host.run(["chown", "-R", "root:root", "/opt/renkei-owner"], check=True)
    host.run(["chmod", "-R", "go-w", "/opt/renkei-owner"], check=True)
    host.run([*PROGRAM, "install"], check=True)
    host.write(SETTINGS, table(host.name), 0o640)
    host.write("/etc/renkei-owner/ca.pub", ca_public_key)
    if hub_keys is not None:
        control, statement = hub_keys
        host.write("/etc/renkei-owner/control_keys", f"restrict {control}\n", 0o640)
        host.write(_SIGNERS, f"hub {_NAMESPACES} {statement}\n", 0o640)
    start(host)


def start(host: Host) -> None:
    """Start the watcher and wait for its first look."""
    host.daemon([*PROGRAM, "watch"], None, "/var/log/renkei-owner.log")
    end = time.monotonic() + 20
    while not host.path(_LIVE).exists():
        if time.monotonic() > end:
            said = host.path("/var/log/renkei-owner.log").read_text() + host.path(cloud.LOG).read_text()[-2000:]
            raise TestbedError(f"{host.name}: the data owner's watcher did not start: {said}")
        time.sleep(0.05)


def command(host: Host, *words: str) -> str:
    """What the owner's command prints. Raises TestbedError when it fails."""
    return host.run([*PROGRAM, *words], check=True).stdout


def push(host: Host, signer: str, text: str, key: str) -> dict[str, object]:
    """Sign `text` with `key` (a file of the host) and hand it to the control account's program; its answer."""
    signed = host.run(["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", "renkei-statement"], input=text, check=True).stdout
    line = json.dumps({"ask": "push", "statement": text, "signature": signed})
    answer: dict[str, object] = json.loads(host.run([*PROGRAM, "control"], "renkei-control", line + "\n", check=True).stdout)
    if answer["answer"] != "pushed":
        raise TestbedError(f"{host.name}: {signer}: {answer}")
    return answer


def vouch(host: Host, session: str, account: str, user: str = "tanaka") -> None:
    """Let `session`, which no hub of this testbed knows, be alive for a day: for whoever makes certificates by hand.

    A second hub of the owner's, so to say, whose key lies at the destination itself.
    """
    key, known = "/root/other-hub", host.path("/root/other-hub-sessions")
    if not known.exists():
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = " ".join(host.path(f"{key}.pub").read_text().split()[:2])
        before = host.path(_SIGNERS).read_text()
        host.write(_SIGNERS, before + f"other-hub {_NAMESPACES} {public}\n", 0o640)
        host.write(SETTINGS, host.path(SETTINGS).read_text().replace("[owner]", "[owner]\nlongest_statement = 86400"), 0o640)
        known.touch()
    lines = {line.split()[1]: line for line in known.read_text().splitlines()} | {session: f"live {session} {account} {user}"}
    known.write_text("".join(f"{line}\n" for line in lines.values()))
    head = f"renkei-statement 1\ndestination {host.name}\nnumber {time.time_ns()}\nissued {int(time.time())}\nseconds 86400\n"
    push(host, "other-hub", head + known.read_text(), key)
