"""The authority itself: who may ask, what is refused, what is written down."""

from __future__ import annotations

import asyncio
import datetime as dt
import fcntl
import logging
import os
import pwd
import socket
import struct
import threading
import time
from pathlib import Path

import msgspec

from spawner.audit import Audit, AuditError
from spawner.authority import table as tables
from spawner.authority.protocol import LINE_LIMIT, Accounts, AccountsRequest, Answer, Refused, Request, Signed, SignRequest, Unable
from spawner.authority.signing import BACKDATED, BadKeyError, SigningError, sign

PATIENCE = 5.0
"""Seconds that a caller has for its one line."""

log = logging.getLogger("renkei.authority")


class AlreadyRunningError(Exception):
    """Another process signs with this log; two could give the same serial twice."""


class NoRowError(Exception):
    """The table does not name this person at this destination."""


class CurrentTable:
    """The table as the file now has it: read again when the file changes, and nobody is served while it is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self._table: tables.Table | None = tables.load(path)

    def get(self) -> tables.Table:
        """The table. Raises TableError while the file can't be used; the reason is logged once a change."""
        stamp = self._look()
        if stamp != self._stamp:
            self._table, self._stamp = None, stamp
            try:
                self._table = tables.load(self._path)
                log.info("%s: read again", self._path)
            except tables.TableError as error:
                log.error("%s Nothing is signed until that is mended.", error)  # noqa: TRY400  (the sentence says it all)
        if self._table is None:
            raise tables.TableError("the table of accounts can't be used now")
        return self._table

    def _look(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)


class Serials:
    """Serial numbers that never come twice: the clock in nanoseconds, but always beyond the last one given.

    Starts beyond the last serial in the log, so that a clock set back gives no number again.
    """

    def __init__(self, logged: Path) -> None:
        # The log may have been moved away since the last one, under a name that begins alike.
        self._last = max(map(_last_serial, logged.parent.glob(f"{logged.stem}*")), default=0)
        self._lock = threading.Lock()

    def next(self) -> int:
        """A number from 1 to 2^64 - 1."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last


class _Logged(msgspec.Struct):
    serial: int


def _last_serial(path: Path) -> int:
    """The highest serial in the end of the log at `path`; 0 without a log."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 1_000_000))
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return 0
    found = 0
    for line in lines:
        try:
            found = max(found, msgspec.json.decode(line, type=_Logged).serial)
        except msgspec.MsgspecError:
            continue  # the first line of the piece may be a half one; other lines carry no serial
    return found


class Authority:
    """Answers the questions of `spawner.authority.protocol` on the table's socket, for the table's client alone."""

    def __init__(self, path: Path) -> None:
        """Read the table at `path` and take the log for this process.

        Raises TableError, AlreadyRunningError, OSError.
        """
        self._table = CurrentTable(path)
        table = self._table.get()
        self.socket = table.socket
        self._client = _uid(table.client, path)
        self._audit = Audit(table.log)
        self._lock = _only_one(Path(f"{table.log}.lock"))
        self._serials = Serials(Path(table.log))

    async def run(self) -> None:
        """Listen until cancelled."""
        with _listener(Path(self.socket)) as listener:
            server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_LIMIT)
            log.info("listening at %s", self.socket)
            async with server:
                await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                uid = _peer(writer)
                # Read whoever asks: closing on an unread question resets the connection, and the refusal may be lost with it.
                question = await reader.readline()
                if uid != self._client:
                    log.warning("uid %s asked, who may not", uid)
                    answer: Answer = Refused(reason="not for this account")
                else:
                    answer = await self.answer(question)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError) as error:  # ValueError: a line beyond the limit
            log.warning("a question was dropped: %s", error or type(error).__name__)
        finally:
            writer.close()

    async def answer(self, line: bytes) -> Answer:
        """What the caller is told about `line`; never raises for anything that a caller can send."""
        try:
            request: Request = msgspec.json.decode(line, type=Request)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Refused(reason=f"not a request: {error}")
        try:
            table = self._table.get()
            if isinstance(request, AccountsRequest):
                return Accounts(accounts=table.accounts(request.user))
            return await asyncio.to_thread(self._sign, table, request)
        except (NoRowError, BadKeyError) as error:
            log.warning("refused: %s", error)
            return Refused(reason=str(error))
        except (tables.TableError, SigningError, AuditError) as error:
            log.warning("unable: %s", error)
            return Unable(reason=str(error))

    def _sign(self, table: tables.Table, request: SignRequest) -> Signed:
        found = table.row(request.user, request.destination)
        if found is None:
            raise NoRowError(f"no account row for {request.user!r} at {request.destination!r}")
        row, destination = found
        now = int(time.time())
        serial, start, end = self._serials.next(), now - BACKDATED, now + table.lifetime
        certificate = sign(
            ca_key=destination.ca_key,
            public_key=request.public_key,
            account=row.account,
            session=request.session,
            serial=serial,
            source=destination.source,
            start=start,
            end=end,
        )
        self._audit.record(
            "signed",
            serial=serial,
            session=request.session,
            user=row.user,
            account=row.account,
            destination=row.destination,
            valid_from=_iso(start),
            valid_to=_iso(end),
        )
        return Signed(certificate=certificate, serial=serial, expires=float(end))


def _listener(path: Path) -> socket.socket:
    """A socket at `path`, in place of one that an earlier process left."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    # Who asks is told by the kernel (SO_PEERCRED), not by the file's mode.
    path.chmod(0o666)
    return listener


def _iso(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def _uid(account: str, path: Path) -> int:
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError as error:
        raise tables.TableError(f"{path}: expected a Unix account of this host, got {account!r} - at `$.client`.") from error


def _only_one(path: Path) -> int:
    """Hold the lock at `path` for as long as this process lives; the log itself may be moved away meanwhile."""
    handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise AlreadyRunningError(f"{path}: another authority writes here.") from error
    return handle


def _peer(writer: asyncio.StreamWriter) -> int:
    """The uid at the other end, from the kernel."""
    peer: socket.socket = writer.get_extra_info("socket")
    _pid, uid, _gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)
