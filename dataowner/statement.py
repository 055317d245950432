"""What the hub signs every few seconds: which of its sessions at this destination are alive.

A statement is text, signed with SSHSIG (`ssh-keygen -Y sign`) in a namespace of its own:

    renkei-statement 1
    destination cloud
    number 1795555555000000000
    issued 1795555555
    seconds 15
    live a1b2c3d4e5f60718 jrs0017 tanaka
    over 0123456789abcdef

`number` grows with each statement of a signer, so that none counts twice. It is the hub's clock in nanoseconds: with a stolen key
nobody can say the largest number that there is, after which no other could come. `over` is the hub's word that a session has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dataowner.places import Places, UnusableError, read, write
from dataowner.table import ACCOUNT, NAME, Settings

NAMESPACE = "renkei-statement"
LIMIT = 131_072
"""Bytes of a statement: over two thousand sessions."""
SIGNATURE_LIMIT = 4096
SESSION = re.compile(r"[a-z0-9]{16}", re.ASCII)
SIGNER = re.compile(r"[a-z0-9][a-z0-9@._-]{0,63}", re.ASCII)
"""A principal of allowed_signers; it names a file."""
_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


class NotBelievedError(Exception):
    """Not a statement that counts; the text says why, and may be told to whoever brought it."""


class Statement(NamedTuple):
    """One statement, as it was signed."""

    destination: str
    number: int
    issued: int
    """Seconds since the epoch, by the hub's clock."""
    seconds: int
    """How long it holds."""
    live: Mapping[str, tuple[str, str]]
    """Session → its account here, and the person at the hub."""
    over: frozenset[str]


class Accepted(NamedTuple):
    """A statement that was believed when it came."""

    statement: Statement
    signer: str
    came: float
    """Seconds since the epoch, by this host's clock."""
    text: str
    """The signed text."""

    def fresh(self, now: float, settings: Settings) -> bool:
        """Whether it still holds at `now`: by when it came, and whatever that is said to be, by when it was issued."""
        latest = min(self.came, self.statement.issued + settings.clock_skew)
        return self.came - 1 <= now < latest + min(self.statement.seconds, settings.longest_statement)


def parse(text: str) -> Statement:
    """The statement that `text` is. Raises NotBelievedError when it is not exactly one."""
    if len(text) > LIMIT or not text.isascii() or not text.endswith("\n"):
        raise NotBelievedError("no statement: too long, not ASCII, or without its last line's end")
    lines = [line.split(" ") for line in text[:-1].split("\n")]
    heads = [("renkei-statement", "1"), *((name, "") for name in ("destination", "number", "issued", "seconds"))]
    if len(lines) < len(heads) or any(len(line) != 2 or line[0] != name for line, (name, _) in zip(lines, heads)):
        raise NotBelievedError("no statement: its head is not the five lines that it should be")
    version, destination, *numbers = (line[1] for line in lines[: len(heads)])
    if version != "1" or not NAME.fullmatch(destination) or not all(_NUMBER.fullmatch(each) for each in numbers):
        raise NotBelievedError("no statement: a value of its head is none")
    live: dict[str, tuple[str, str]] = {}
    over: list[str] = []
    for line in lines[len(heads) :]:
        if _fits(line, "live", SESSION, ACCOUNT, NAME):
            if line[1] in live:
                raise NotBelievedError("no statement: a session twice")
            live[line[1]] = (line[2], line[3])
        elif _fits(line, "over", SESSION):
            over.append(line[1])
        else:
            raise NotBelievedError("no statement: a line that says neither who is alive nor what is over")
    if live.keys() & set(over):
        raise NotBelievedError("no statement: a session both alive and over")
    number, issued, seconds = map(int, numbers)
    return Statement(destination, number, issued, seconds, live, frozenset(over))


def _fits(line: list[str], word: str, *patterns: re.Pattern[str]) -> bool:
    return len(line) == 1 + len(patterns) and line[0] == word and all(map(re.Pattern.fullmatch, patterns, line[1:]))


def signer_of(text: str, signature: str, namespace: str, places: Places) -> str:
    """Who signed `text` in `namespace`, by the owner's allowed_signers. Raises NotBelievedError."""
    with _signature(signature) as path:
        names = _keygen(["-Y", "find-principals", "-s", path, "-f", str(places.signers)]).replace(",", "\n").split("\n")
    if not SIGNER.fullmatch(names[0]):
        raise NotBelievedError("signed by nobody whom the owner knows")
    demand_signature(text, signature, names[0], namespace, places)
    return names[0]


def demand_signature(text: str, signature: str, signer: str, namespace: str, places: Places) -> None:
    """Raise NotBelievedError unless `signer` signed `text` in `namespace`."""
    with _signature(signature) as path:
        if not _keygen(["-Y", "verify", "-I", signer, "-n", namespace, "-s", path, "-f", str(places.signers)], text):
            raise NotBelievedError("the signature does not fit")


@contextlib.contextmanager
def _signature(signature: str) -> Iterator[str]:
    """A file that holds `signature`: ssh-keygen takes it by path only."""
    if len(signature) > SIGNATURE_LIMIT or not signature.isascii():
        raise NotBelievedError("no signature")
    with tempfile.TemporaryDirectory(prefix="renkei-owner-") as folder:
        path = Path(folder, "signature")
        path.write_text(signature, encoding="ascii")
        yield str(path)


def _keygen(arguments: list[str], text: str = "") -> str:
    """What ssh-keygen prints when it succeeds; empty when it does not."""
    try:
        done = subprocess.run(
            ["/usr/bin/ssh-keygen", *arguments],
            input=text.encode(),
            capture_output=True,
            timeout=10,
            check=False,
            env={"PATH": "/usr/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else ""


def accept(text: str, signature: str, places: Places, settings: Settings, now: float) -> Accepted:
    """Believe a statement that has come at `now`, and keep it as its signer's last one.

    Raises NotBelievedError, also for one that is not newer than the signer's last; UnusableError, OSError.
    """
    statement = parse(text)
    signer = signer_of(text, signature, NAMESPACE, places)
    if statement.destination != settings.destination:
        raise NotBelievedError("a statement for another destination")
    if abs(now - statement.issued) > settings.clock_skew:
        raise NotBelievedError(f"issued {now - statement.issued:.0f} s before it came: the clocks differ, or it is an old one")
    if statement.number > (now + settings.clock_skew) * 1e9:
        raise NotBelievedError("its number lies in the future: no later one could follow")
    if statement.seconds > settings.longest_statement:
        raise NotBelievedError(f"it claims to hold {statement.seconds} s; the owner allows {settings.longest_statement:g}")
    with _alone(places):
        last = places.statements / signer
        if last.exists() and _kept(last, signer)[0].statement.number >= statement.number:
            raise NotBelievedError("not newer than the last one")
        write(last, json.dumps({"came": now, "text": text, "signature": signature}))
    return Accepted(statement, signer, now, text)


def current(places: Places, believed: set[str]) -> list[Accepted]:
    """The last statement of each signer, fresh or not, whose signature fits.

    `believed` remembers which did, so that a caller who looks often asks ssh-keygen once a statement. Raises UnusableError when the
    folder can't be read; a file of it that can't be used is no statement.
    """
    found, fitting = [], set()
    try:
        names = sorted(path.name for path in places.statements.iterdir())
        keys = read(places.signers)
    except OSError as error:
        raise UnusableError(f"{places.statements} can't be read: {error.strerror}.") from error
    for name in names:
        if SIGNER.fullmatch(name):
            try:
                accepted, signature = _kept(places.statements / name, name)
                mark = repr((name, accepted.statement.number, signature, keys))
                if mark not in believed:
                    demand_signature(accepted.text, signature, name, NAMESPACE, places)
            except (UnusableError, NotBelievedError):
                continue
            found.append(accepted)
            fitting.add(mark)
    believed.clear()
    believed.update(fitting)
    return found


def _kept(path: Path, signer: str) -> tuple[Accepted, str]:
    """What was kept of `signer`, and its signature. Raises UnusableError, NotBelievedError."""
    try:
        value = json.loads(read(path, 2 * LIMIT))
        came, text, signature = value["came"], value["text"], value["signature"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableError(f"{path} holds no statement.") from error
    if not (isinstance(came, float) and isinstance(text, str) and isinstance(signature, str)):
        raise UnusableError(f"{path} holds no statement.")
    return Accepted(parse(text), signer, came, text), signature


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One at a time: two connections of the hub's may bring statements at once."""
    handle = os.open(places.statements / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
