"""Puts accounts and folders where the owner's side needs them. Saying it again changes nothing that is there."""

from __future__ import annotations

import compileall
import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from dataowner import sshd
from dataowner.places import CONTROL_ACCOUNT, GROUP, PRINCIPALS_ACCOUNT, Places, make_run

EXAMPLE = """\
# Who may come to this cloud through Renkei, and how. Whoever has no section does not come in.

[owner]
# What the hub calls this cloud, and the address from which everybody comes: the gateway's.
destination = cloud
gateway = 198.51.100.1
# Where syslog writes sshd's lines, and sshd's PidFile.
#log = /var/log/auth.log
#sshd_pid = /run/sshd.pid

# One section an account: read-write or read-only, and the last day. `users` says for which people of the hub.
#[account jrs0017]
#access = read-only
#until = 2027-03-31
#users = tanaka
"""

UNIT = """\
[Unit]
Description=Renkei, the data owner's watcher
After=ssh.service

[Service]
ExecStart={program} watch
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

COMMAND = Path("/usr/local/sbin/renkei-owner")


def install(places: Places) -> list[str]:
    """What was done, a line each. Raises OSError; needs root."""
    done = _accounts()
    group = grp.getgrnam(GROUP).gr_gid
    control, principals = (pwd.getpwnam(name).pw_uid for name in (CONTROL_ACCOUNT, PRINCIPALS_ACCOUNT))
    for folder, owner, mode in (
        (places.settings.parent, 0, 0o750),
        (places.drop_in.parent, 0, 0o755),
        (places.statements.parent, 0, 0o755),
        (places.statements, control, 0o750),
        (places.documents, control, 0o700),
        (places.connections, principals, 0o700),
        (places.sessions, 0, 0o750),
    ):
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(mode)
            os.chown(folder, owner, group if owner or mode != 0o755 else 0)
            done.append(f"{folder}: made")
    if make_run(places):
        done.append(f"{places.live.parent}: made")
    for file, text in ((places.settings, EXAMPLE), (places.revoked, ""), (places.signers, ""), (places.control_keys, "")):
        if not file.exists():
            file.write_text(text)
            file.chmod(0o640)
            os.chown(file, 0, group)
            done.append(f"{file}: made")
    return done + _commands()


def _accounts() -> list[str]:
    done = []
    if GROUP not in (each.gr_name for each in grp.getgrall()):
        subprocess.run(["/usr/sbin/groupadd", "--system", GROUP], check=True, timeout=60)
        done.append(f"group {GROUP}: made")
    # No password fits; but an account that is locked, sshd does not let in by key either.
    common = ["/usr/sbin/useradd", "--system", "--gid", GROUP, "--no-create-home", "--home-dir", "/var/lib/renkei-owner"]
    for name, shell in ((PRINCIPALS_ACCOUNT, "/usr/sbin/nologin"), (CONTROL_ACCOUNT, "/bin/sh")):
        if name not in (each.pw_name for each in pwd.getpwall()):
            subprocess.run([*common, "--password", "*", "--shell", shell, name], check=True, timeout=60)
            done.append(f"account {name}: made")
    return done


def _compile(room: Path) -> None:
    """Every login starts this program, under an account that may not write here: it shall not compile it each time."""
    compileall.compile_dir(str(room), quiet=1)
    for made in (room / "__pycache__", *(room / "__pycache__").iterdir()):
        made.chmod(0o755 if made.is_dir() else 0o644)


def _commands() -> list[str]:
    _compile(Path(__file__).parent)
    program = " ".join(sshd.PROGRAM)
    COMMAND.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    COMMAND.chmod(0o755)
    done = [f"{COMMAND}: made"]
    units = Path("/etc/systemd/system")
    if units.is_dir() and shutil.which("systemctl"):
        (units / "renkei-owner.service").write_text(UNIT.format(program=program))
        (units / "renkei-owner.service").chmod(0o644)
        done.append(f"{units}/renkei-owner.service: made; systemctl enable --now renkei-owner")
    return done
