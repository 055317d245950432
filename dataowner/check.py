"""What is wrong with an installation: each finding one sentence that says what to mend."""

from __future__ import annotations

import os
import pwd
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from dataowner import history, revocations, sshd, statement, table
from dataowner.places import CONTROL_ACCOUNT, PRINCIPALS_ACCOUNT, Places, UnusableError, read

_SILENT_S = 5.0
"""A watcher looks twice a second."""


def findings(places: Places) -> list[str]:
    """Everything that is wrong, in the order in which it should be mended. Needs root."""
    found = [*_files(places), *_accounts()]
    try:
        known = table.load(places)
    except UnusableError as error:
        return [*found, f"{error} Nobody can come in."]
    return [*found, *_lists(places), *_grants(known), *_log(known), *_sshd(places, known), *_life(places, known)]


def _files(places: Places) -> Iterator[str]:
    for path in (places.settings, places.signers, places.control_keys, places.revoked, places.ca, Path(__file__)):
        try:
            status = path.stat()
        except OSError as error:
            yield f"{path}: {error.strerror}."
            continue
        if status.st_uid != 0 or stat.S_IMODE(status.st_mode) & 0o022:
            yield f"{path} has to belong to root and be writable by nobody else."
    owners = {CONTROL_ACCOUNT: (places.statements, places.documents), PRINCIPALS_ACCOUNT: (places.connections,)}
    for path, owner in ((path, owner) for owner, paths in owners.items() for path in paths):
        if not path.is_dir() or _uid(owner) is None:
            yield f"{path} or the account {owner} is missing: run install."
        elif path.stat().st_uid != _uid(owner) or stat.S_IMODE(path.stat().st_mode) & 0o022:
            yield f"{path} has to belong to {owner} and be writable by nobody else."


def _uid(account: str) -> int | None:
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def _accounts() -> Iterator[str]:
    for name in (CONTROL_ACCOUNT, PRINCIPALS_ACCOUNT):
        if _uid(name) == 0:
            yield f"The account {name} must not be root."


def _lists(places: Places) -> Iterator[str]:
    try:
        revocations.load(places)
    except UnusableError as error:
        yield f"{error} Nobody can come in."
    asked = subprocess.run(["/usr/bin/ssh-keygen", "-Q", "-l", "-f", str(places.krl)], capture_output=True, timeout=60, check=False)
    if asked.returncode != 0:
        yield f"{places.krl} is no revocation list, so sshd lets nobody in: run apply."
    try:
        lines = [line for line in read(places.signers).splitlines() if line.strip() and not line.startswith("#")]
        keys = [line for line in read(places.control_keys).splitlines() if line.strip() and not line.startswith("#")]
    except UnusableError as error:
        yield str(error)
        return
    if not lines:
        yield f"{places.signers} names nobody whose statements are believed."
    if any("namespaces=" not in line for line in lines):
        yield f"{places.signers}: a line without namespaces= believes the hub more than it has to."
    if not keys:
        yield f"{places.control_keys} holds no key of the hub's, so no statement can come."
    if not all(line.startswith("restrict") for line in keys):
        yield f"{places.control_keys}: a line that does not begin with restrict."


def _grants(known: table.Table) -> Iterator[str]:
    for account, grant in sorted(known.grants.items()):
        if not _uid(account):
            yield f"[account {account}]: this host has no such account, or it is root's number."
        if not grant.stands(time.time()):
            yield f"[account {account}]: its last day was {grant.until}; it can't come in."


def _log(known: table.Table) -> Iterator[str]:
    """Without the file `log` has nothing to tell; a host that keeps a journal alone has none (Debian from 12 on, say)."""
    if not os.access(known.settings.log, os.R_OK):
        yield f"{known.settings.log} can't be read, so log tells nothing: install rsyslog, or name the file in [owner]: log = FILE."


def _sshd(places: Places, known: table.Table) -> Iterator[str]:
    try:
        serving = sshd.served(places)
    except UnusableError:
        yield "sshd does not serve the table: run apply, and see that the watcher runs."
        return
    if serving.access != sshd.wanted(known):
        yield "sshd serves another table than the one in the file: run apply."
    for account, grant in sorted(known.grants.items()):
        yield from _effective(account, sshd.SFTP[grant.access], places, known)


def _effective(account: str, command: str, places: Places, known: table.Table) -> Iterator[str]:
    """What sshd says that it would do with `account`: another file of its configuration may have come first."""
    who = f"user={account},host=gateway,addr={re.split('/', known.settings.gateway)[0]}"
    asked = subprocess.run([sshd.SSHD, "-T", "-C", who], capture_output=True, text=True, timeout=60, check=False)
    if asked.returncode != 0:
        yield f"sshd can't say what it would do with {account}: {asked.stderr.strip()}."
        return
    said: dict[str, str] = dict(line.partition(" ")[::2] for line in asked.stdout.splitlines())
    wanted = {
        "forcecommand": command,
        "trustedusercakeys": str(places.ca),
        "revokedkeys": str(places.krl),
        "authorizedprincipalscommand": " ".join([*sshd.PROGRAM, "principals", "%u", "%i", "%s"]),
        "authorizedprincipalscommanduser": PRINCIPALS_ACCOUNT,
        "authorizedkeysfile": "none",
        "disableforwarding": "yes",
        "permittty": "no",
    }
    for name, value in wanted.items():
        if said.get(name) != value:
            yield f"sshd, for {account}: {name} is {said.get(name, 'not set')}, not {value}; other configuration comes first."


def _life(places: Places, known: table.Table) -> Iterator[str]:
    try:
        silent = time.time() - history.seen_at(places)
    except UnusableError:
        silent = float("inf")
    if silent > _SILENT_S:
        yield "The watcher does not run: nothing is suspended or ended. Start the service renkei-owner."
    try:
        fresh = [each for each in statement.current(places, set()) if each.fresh(time.time(), known.settings)]
    except UnusableError as error:
        yield str(error)
        return
    if not fresh:
        yield (
            "The hub has sent no statement lately: nobody can come in, and live sessions are suspended."
            " Ask the computing centre whether its hub runs and knows this host's key."
        )
    if os.geteuid() != 0:
        yield "check needs root."
