"""What sshd is told: one file of its configuration, made from the owner's table, and the reload that makes it count.

Everything stands below `Match User` for the accounts of the table: whoever else uses this sshd is not touched, and an account
without a grant has no authority that could vouch for it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from dataowner import connections, revocations
from dataowner.places import CONTROL_ACCOUNT, PRINCIPALS_ACCOUNT, Places, UnusableError, read, write
from dataowner.table import READ_ONLY, READ_WRITE, Settings, Table, load

SSHD = "/usr/sbin/sshd"
PROGRAM = ("/usr/bin/python3", "-I", "-S", str(Path(__file__).resolve().with_name("__main__.py")))
"""How sshd runs this program: the system's Python, and nothing that an environment could add to it."""
_RELOAD_S = 10.0
SFTP = {READ_WRITE: "internal-sftp -l INFO", READ_ONLY: "internal-sftp -R -l INFO"}
"""What serves an account. It logs each file that is opened and closed, with the bytes that were read and written."""


class Served(NamedTuple):
    """What the running sshd serves; connections that began earlier may be served otherwise and have to come again."""

    access: dict[str, str]
    """By account."""
    since: int
    """Ticks since the machine's start."""


def text(table: Table, places: Places, *, penalties: str = "") -> str:
    """Sshd's configuration for `table`; `penalties`: the line that keeps one person's failures from counting for all."""
    served = sorted(table.grants)
    writers = [name for name in served if table.grants[name].access == READ_WRITE]
    program = " ".join(PROGRAM)
    lines = [
        "# Written by the data owner's program from /etc/renkei-owner/owner.ini: changes here are lost.",
        "# All people come from the gateway's one address: what one of them does wrong must not lock out the others.",
        "MaxStartups 200:30:400",
        *([penalties] if penalties else []),
    ]
    if writers:
        lines += [f"Match User {','.join(writers)}", f"  ForceCommand {SFTP[READ_WRITE]}"]
    if served:
        lines += [
            f"Match User {','.join(served)}",
            f"  TrustedUserCAKeys {places.ca}",
            f"  RevokedKeys {places.krl}",
            f"  AuthorizedPrincipalsCommand {program} principals %u %i %s",
            f"  AuthorizedPrincipalsCommandUser {PRINCIPALS_ACCOUNT}",
            "  CASignatureAlgorithms ssh-ed25519",
            "  AuthorizedKeysFile none",
            # Of two values the first counts: whoever is not named above reads.
            f"  ForceCommand {SFTP[READ_ONLY]}",
            *_WALLS,
            "  LogLevel VERBOSE",
        ]
    lines += [
        f"Match User {CONTROL_ACCOUNT}",
        f"  AuthorizedKeysFile {places.control_keys}",
        f"  ForceCommand {program} control",
        *_WALLS,
        "  MaxSessions 1",
        # A hub that was cut off leaves its old connection behind.
        "  ClientAliveInterval 15",
        "  ClientAliveCountMax 2",
        "Match all",
    ]
    return "\n".join(lines) + "\n"


_WALLS = (
    "  AuthenticationMethods publickey",
    "  PasswordAuthentication no",
    "  KbdInteractiveAuthentication no",
    "  DisableForwarding yes",
    "  PermitTTY no",
    "  PermitUserRC no",
)


def served(places: Places) -> Served:
    """What sshd serves since when. Raises UnusableError while that is not certain: then nobody comes in."""
    path = _served_file(places)
    try:
        value = json.loads(read(path))
        return Served({str(name): str(access) for name, access in value["access"].items()}, int(value["since"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableError(f"{path} says nothing.") from error


def wanted(table: Table) -> dict[str, str]:
    """The access of each account that sshd should serve."""
    return {name: grant.access for name, grant in table.grants.items()}


def apply(places: Places) -> None:
    """Write sshd's file and the revocation list anew, and make the running sshd take them up; nobody comes in meanwhile.

    Raises UnusableError when the table is wrong or sshd does not take it; then the file from before stands again.
    """
    table = load(places)
    revocations.write_krl(places)
    before = read(places.drop_in) if places.drop_in.exists() else None
    fresh = text(table, places, penalties=_penalties(table.settings))
    if fresh == before and _served_file(places).exists():
        return
    _served_file(places).unlink(missing_ok=True)
    write(places.drop_in, fresh)
    os.chown(places.drop_in, 0, places.settings.stat().st_gid)
    checked = subprocess.run([SSHD, "-t"], capture_output=True, timeout=60, check=False)
    if checked.returncode != 0:
        if before is None:
            places.drop_in.unlink()
        else:
            write(places.drop_in, before)
        raise UnusableError(f"sshd does not take the table: {checked.stderr.decode(errors='replace').strip()}.")
    _reload(Path(table.settings.sshd_pid))
    value = {"access": wanted(table), "since": _ticks()}
    path = _served_file(places)
    write(path, json.dumps(value))
    os.chown(path, 0, places.settings.stat().st_gid)


def _served_file(places: Places) -> Path:
    return places.live.with_name("served.json")


def _penalties(settings: Settings) -> str:
    """The line that this sshd knows for it: OpenSSH counts failures by address since 9.8."""
    line = f"PerSourcePenaltyExemptList {settings.gateway}"
    asked = subprocess.run([SSHD, "-t", "-o", line.replace(" ", "=", 1)], capture_output=True, timeout=60, check=False)
    return line if asked.returncode == 0 else ""


def _reload(pid_file: Path) -> None:
    """SIGHUP to the sshd that listens, and wait until it does so again. None that listens will read the file when it starts."""
    pid = _listening(pid_file)
    if pid is None:
        return
    before = pid_file.stat().st_mtime_ns
    os.kill(pid, signal.SIGHUP)
    until = time.monotonic() + _RELOAD_S
    while time.monotonic() < until:
        # sshd removes the file, starts itself anew, listens, and writes it again.
        if pid_file.exists() and pid_file.stat().st_mtime_ns != before:
            return
        time.sleep(0.02)
    raise UnusableError("sshd did not take up its configuration within 10 s.")


def _listening(pid_file: Path) -> int | None:
    try:
        pid = int(pid_file.read_text())
        there = connections.process(pid)
    except (OSError, ValueError):
        return None
    return pid if there is not None and there.name == "sshd" else None


def _ticks() -> int:
    """Now, as the kernel writes a process's start."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")) + 1
