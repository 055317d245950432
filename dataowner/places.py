"""Where everything of the owner's side lies on the cloud's host, and how its files are read and written."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

PRINCIPALS_ACCOUNT = "renkei-principals"
"""Runs AuthorizedPrincipalsCommand and owns the records of connections; may do nothing else."""
CONTROL_ACCOUNT = "renkei-control"
"""The hub's way in: runs `control` and nothing else, and owns the statements that the hub pushed."""
GROUP = "renkei-owner"
"""The two accounts' group: what they may read, nobody else but root may."""


class UnusableError(Exception):
    """A file of the owner's side can't be used; the text is one sentence that names it. Whoever decides about access refuses."""


class Places(NamedTuple):
    """The host's files, below `root` (the tests' own folder; else the host's root)."""

    root: Path = Path("/")

    @property
    def settings(self) -> Path:
        """The owner's one file: settings, and the table of who may come."""
        return self.root / "etc/renkei-owner/owner.ini"

    @property
    def ca(self) -> Path:
        """The public key of the authority that signs for this destination."""
        return self.root / "etc/renkei-owner/ca.pub"

    @property
    def signers(self) -> Path:
        """Whose statements are believed: ssh-keygen's allowed_signers, each line with its namespaces."""
        return self.root / "etc/renkei-owner/allowed_signers"

    @property
    def control_keys(self) -> Path:
        """The hub's public key for the control account (authorized_keys)."""
        return self.root / "etc/renkei-owner/control_keys"

    @property
    def revoked(self) -> Path:
        """What the owner has ended: one `session NAME`, `serial NUMBER` or `account NAME` a line."""
        return self.root / "etc/renkei-owner/revoked"

    @property
    def krl(self) -> Path:
        """The same for sshd: a key revocation list."""
        return self.root / "etc/renkei-owner/revoked.krl"

    @property
    def drop_in(self) -> Path:
        """What `apply` writes for sshd."""
        return self.root / "etc/ssh/sshd_config.d/10-renkei-owner.conf"

    @property
    def statements(self) -> Path:
        """The last statement of each signer; the control account's."""
        return self.root / "var/lib/renkei-owner/statements"

    @property
    def documents(self) -> Path:
        """What the hub has stored for good: a folder a session; the control account's."""
        return self.root / "var/lib/renkei-owner/documents"

    @property
    def connections(self) -> Path:
        """A record for each connection that was let in; the principals account's."""
        return self.root / "var/lib/renkei-owner/connections"

    @property
    def sessions(self) -> Path:
        """A file a session, with a line for each of its connections that is over; root's, readable for the group."""
        return self.root / "var/lib/renkei-owner/sessions"

    @property
    def live(self) -> Path:
        """What the watcher saw last; root's, readable for the group."""
        return self.root / "run/renkei-owner/live.json"


def make_run(places: Places) -> bool:
    """Make the folder below /run, which is gone after every start of the machine; whether it was missing. Raises OSError."""
    folder = places.live.parent
    if folder.is_dir():
        return False
    folder.mkdir(parents=True)
    os.chown(folder, 0, places.sessions.stat().st_gid)
    folder.chmod(0o750)
    return True


def read(path: Path, limit: int = 1_000_000) -> str:
    """The text of the regular file at `path`.

    Raises UnusableError when it can't be read, is something else, is longer than `limit` bytes, or is no UTF-8.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UnusableError(f"{path} is no regular file.")
            raw = stream.read(limit + 1)
    except OSError as error:
        raise UnusableError(f"{path} can't be read: {error.strerror}.") from error
    if len(raw) > limit:
        raise UnusableError(f"{path} is longer than {limit} bytes.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UnusableError(f"{path} is no UTF-8 text.") from error


def write(path: Path, text: str, mode: int = 0o640) -> None:
    """Put `text` in the place of the file at `path`, at once or not at all; it keeps owner and group of the one before.

    Raises OSError.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(handle, mode)
            if os.geteuid() == 0 and path.exists():
                before = path.stat()
                os.fchown(handle, before.st_uid, before.st_gid)
            stream.flush()
            os.fsync(handle)
        fresh.replace(path)
    except OSError:
        fresh.unlink()
        raise
