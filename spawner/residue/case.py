"""What is known of a session's end while its statement is being made; on the disk, so that a hub that stops goes on with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from logging import Logger
from pathlib import Path

import msgspec

from enclave.messages import EnclaveReport, EpilogReport, Reason, SessionId
from spawner.sessions import Saved


class Case(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One session's, from the first that is said of its end."""

    session: SessionId
    user: str
    uid: int
    job: str
    destination: str
    account: str
    gpus: int
    began: float
    certificates: int
    first_serial: int
    last_serial: int
    closed: bool = False
    """Whether the hub has closed the session; before that, it may yet be only about to end."""
    reason: Reason | None = None
    enclave: EnclaveReport | None = None
    epilog: EpilogReport | None = None


def of(saved: Saved) -> Case:
    """The case of a session, as far as the hub knows it."""
    return Case(
        session=saved.id,
        user=saved.user,
        uid=saved.uid,
        job=saved.job,
        destination=saved.request.destination,
        account=saved.cloud.account,
        gpus=saved.request.gpus,
        began=saved.began,
        certificates=saved.certificates,
        first_serial=saved.first_serial,
        last_serial=saved.last_serial,
    )


def write(path: Path, content: bytes) -> None:
    """Puts a file of the hub's own to the disk, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}")
    with open(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:  # noqa: PTH123  (mode from the first byte)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    making.replace(path)


class Cases:
    """The cases below the folder `folder`, one file each."""

    def __init__(self, folder: Path, log: Logger) -> None:
        self._folder = folder
        self._log = log

    def _path(self, session: str) -> Path:
        return self._folder / f"{session}.json"

    def keep(self, case: Case) -> None:
        """Remember `case` over a restart; one that can't be written is remembered until then."""
        try:
            write(self._path(case.session), msgspec.json.encode(case))
        except OSError:
            self._log.exception("The end of session %s can't be written down", case.session)

    def forget(self, case: Case) -> None:
        """Its statement is made and stored."""
        with contextlib.suppress(OSError):
            self._path(case.session).unlink()

    def left(self) -> Iterator[Case]:
        """Those that an earlier hub process did not finish."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=Case)
            except (OSError, msgspec.MsgspecError):
                self._log.exception("%s can't be read", path)
