"""What the owner has ended for good: the list that people read, and the key revocation list that sshd reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dataowner.places import Places, UnusableError, read, write
from dataowner.statement import SESSION
from dataowner.table import ACCOUNT

SERIAL = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
KINDS = {"session": SESSION, "serial": SERIAL, "account": ACCOUNT}


class Revocations(NamedTuple):
    """Everything that is revoked."""

    sessions: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    def hold(self, session: str, serial: str, account: str) -> bool:
        """Whether one of the three is revoked."""
        return session in self.sessions or serial in self.serials or account in self.accounts


def parse(text: str) -> tuple[tuple[str, str], ...]:
    """(kind, what) of each line. Raises ValueError for a line that revokes nothing."""
    found = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words:
            if len(words) != 2 or words[0] not in KINDS or not KINDS[words[0]].fullmatch(words[1]):
                raise ValueError(f"expected session, serial or account and its name, got {line!r}")
            found.append((words[0], words[1]))
    return tuple(found)


def load(places: Places) -> Revocations:
    """What is revoked. Raises UnusableError: then nobody may come in."""
    try:
        lines = parse(read(places.revoked, 10_000_000))
    except ValueError as error:
        raise UnusableError(f"{places.revoked}: {error}.") from error
    sessions, serials, accounts = (frozenset(what for each, what in lines if each == kind) for kind in KINDS)
    return Revocations(sessions, serials, accounts)


def add(places: Places, *entries: tuple[str, str]) -> None:
    """Revoke each (kind, what), for the watcher and for sshd. Raises UnusableError, OSError."""
    with _alone(places):
        text = read(places.revoked, 10_000_000)
        known = set(parse(text))
        text += "".join(f"{kind} {what}\n" for kind, what in dict.fromkeys(entries) if (kind, what) not in known)
        write(places.revoked, text)
        _write_krl(places)


def restore(places: Places, account: str) -> None:
    """Let `account` come in again; its sessions that were ended stay ended. Raises UnusableError, OSError."""
    with _alone(places):
        lines = read(places.revoked, 10_000_000).splitlines(keepends=True)
        write(places.revoked, "".join(line for line in lines if line.partition("#")[0].split() != ["account", account]))
        _write_krl(places)


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One at a time: of two who add a line at once, the later would take away what the other has just ended."""
    handle = os.open(places.revoked.with_name(".revoked.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def krl_specification(revoked: Revocations) -> str:
    """What `ssh-keygen -k` is told: serials, and key ids as the authority writes them."""
    return "".join(f"serial: {each}\n" for each in sorted(revoked.serials)) + "".join(
        f"id: session={each}\n" for each in sorted(revoked.sessions)
    )


def write_krl(places: Places) -> None:
    """Make sshd's list anew from ours, at once or not at all. Raises UnusableError when ssh-keygen can't, OSError."""
    with _alone(places):
        _write_krl(places)


def _write_krl(places: Places) -> None:
    with tempfile.TemporaryDirectory(prefix="renkei-owner-") as folder:
        specification, made = Path(folder, "specification"), Path(folder, "krl")
        specification.write_text(krl_specification(load(places)))
        done = subprocess.run(
            ["/usr/bin/ssh-keygen", "-q", "-k", "-f", str(made), "-s", str(places.ca), str(specification)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise UnusableError(f"{places.krl} can't be made: {done.stderr.decode(errors='replace').strip()}.")
        fresh = places.krl.with_suffix(".new")
        fresh.write_bytes(made.read_bytes())
        fresh.chmod(0o644)
        fresh.replace(places.krl)
