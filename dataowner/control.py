"""What the control account answers: one JSON object a line, one answer a line, nothing else.

- `{"ask": "push", "statement": TEXT, "signature": SSHSIG}`: a new statement. The answer says which of the sessions that it names
  may not go on, and what the watcher sees of the others.
- `{"ask": "witness", "session": ID}`: what the cloud saw of a session.
- `{"ask": "store", "session": ID, "document": TEXT, "signature": SSHSIG}`: keep a signed document of a session for good.

Every input is hostile: it may come from whoever has stolen the hub.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import syslog
import time
from collections.abc import Mapping
from typing import BinaryIO, Callable

from dataowner import history, principals, revocations, statement, table
from dataowner.places import Places, UnusableError, write

LINE_LIMIT = 262_144
"""Bytes of a request, its newline included."""
DOCUMENT_LIMIT = 65_536
DOCUMENTS = 8
"""Documents that a session may have."""
SESSIONS = 100_000
"""Sessions that may have documents: with the two above, what a stolen hub could fill is known."""
CONNECTIONS = 32
"""Connections at once: the hub needs one, and one that was cut off lingers half a minute. Each takes this host some 20 MB."""
DOCUMENT_NAMESPACE = "renkei-document"
REVOKED, NO_GRANT = "revoked", "no-grant"


class BadRequestError(Exception):
    """Not a request, or not now; the text is told to whoever asked."""


def serve(source: BinaryIO, target: BinaryIO, places: Places) -> None:
    """Answer each line of `source` on `target` until its end, or until a line that is too long.

    One connection of too many is refused.
    """
    try:
        place = _place(places)
    except OSError as error:
        _say(target, _unable(error))
        return
    if place is None:
        _say(target, {"answer": "refused", "reason": "too many connections"})
        return
    try:
        _converse(source, target, places)
    finally:
        os.close(place)


def _place(places: Places) -> int | None:
    """A lock that makes this connection one of not too many, and goes with its process; None when all are held."""
    for number in range(CONNECTIONS):
        handle = os.open(places.statements / f".connection-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return handle
    return None


def _say(target: BinaryIO, answer: Mapping[str, object]) -> None:
    target.write(json.dumps(answer).encode() + b"\n")
    target.flush()


def _converse(source: BinaryIO, target: BinaryIO, places: Places) -> None:
    while True:
        line = source.readline(LINE_LIMIT + 1)
        if not line:
            return
        if len(line) > LINE_LIMIT or not line.endswith(b"\n"):
            answer: Mapping[str, object] = {"answer": "refused", "reason": "a line that is too long or has no end"}
        else:
            answer = reply(line, places, time.time())
        _say(target, answer)
        if not line.endswith(b"\n"):
            return


def reply(line: bytes, places: Places, now: float) -> Mapping[str, object]:
    """The answer to one line."""
    try:
        verb, values = parse(line)
        return VERBS[verb][1](values, places, now)
    except (BadRequestError, statement.NotBelievedError) as error:
        return {"answer": "refused", "reason": str(error)}
    except (UnusableError, OSError) as error:
        return _unable(error)


def _unable(error: Exception) -> Mapping[str, object]:
    # What is wrong here is the owner's to mend: the hub is told no more than that.
    syslog.openlog("renkei-owner", syslog.LOG_PID, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_ERR, f"control: {str(error)!a}")
    return {"answer": "unable", "reason": "the owner's side can't answer now"}


def parse(line: bytes) -> tuple[str, dict[str, str]]:
    """The request's verb and its values, each of which is text. Raises BadRequestError."""
    try:
        value = json.loads(line.decode("utf-8"))
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequestError("no JSON, or text that is none") from error
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise BadRequestError("no request")
    verb = value.pop("ask", "")
    if verb not in VERBS or value.keys() != set(VERBS[verb][0]):
        raise BadRequestError("no request")
    if "session" in value and not statement.SESSION.fullmatch(value["session"]):
        raise BadRequestError("no session's name")
    return verb, value


def push(values: Mapping[str, str], places: Places, now: float) -> Mapping[str, object]:
    """Take a statement; say who may not go on and what is seen of the others."""
    settings = table.load(places).settings
    accepted = statement.accept(values["statement"], values["signature"], places, settings, now)
    everything = principals.standing(places)
    ended: list[Mapping[str, str]] = []
    read_only: list[str] = []
    for session, (account, user) in accepted.statement.live.items():
        grant = everything.table.grant(account, now)
        if everything.revoked.hold(session, "", account):
            ended.append({"session": session, "why": REVOKED})
        elif grant is None or (grant.users and user not in grant.users):
            ended.append({"session": session, "why": NO_GRANT})
        elif grant.access == table.READ_ONLY:
            read_only.append(session)
    return {
        "answer": "pushed",
        "number": accepted.statement.number,
        "ended": ended,
        "read_only": read_only,
        "seen": _seen(places, accepted.statement),
    }


def _seen(places: Places, named: statement.Statement) -> list[Mapping[str, object]]:
    """The live connections of the sessions that the statement names; none while no watcher tells."""
    try:
        found = history.live(places)
    except UnusableError:
        return []
    return [
        {
            "session": each.session,
            "serial": each.serial,
            "access": each.access,
            "opened": each.opened,
            "state": each.state,
            "bytes_out": each.bytes_out,
            "bytes_in": each.bytes_in,
            "last_byte": each.last_byte,
        }
        for each in found
        if each.session in named.live
    ]


def witness(values: Mapping[str, str], places: Places, _: float) -> Mapping[str, object]:
    """What the cloud saw of a session, and whether its owner ended it."""
    session = values["session"]
    revoked = session in revocations.load(places).sessions
    return {"answer": "witness", "revoked": revoked, **history.witness(places, session)._asdict()}


def store(values: Mapping[str, str], places: Places, _: float) -> Mapping[str, object]:
    """Keep a document under its digest, with its signature beside it: `ssh-keygen -Y verify` checks the two for ever.

    What is there already stays as it is.
    """
    document = values["document"].encode()
    if len(document) > DOCUMENT_LIMIT:
        raise BadRequestError(f"a document longer than {DOCUMENT_LIMIT} bytes")
    signer = statement.signer_of(values["document"], values["signature"], DOCUMENT_NAMESPACE, places)
    folder = places.documents / values["session"]
    if not folder.exists() and sum(1 for _ in places.documents.iterdir()) >= SESSIONS:
        raise BadRequestError("no room for another session")
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(document).hexdigest()
    path = folder / name
    if not path.exists():
        if sum(1 for each in folder.iterdir() if re.fullmatch(r"[0-9a-f]{64}", each.name)) >= DOCUMENTS:
            raise BadRequestError(f"a session has {DOCUMENTS} documents at most")
        write(path.with_suffix(".sig"), values["signature"], 0o400)
        write(path, values["document"], 0o400)
    return {"answer": "stored", "digest": name, "signer": signer}


VERBS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, str], Places, float], Mapping[str, object]]]] = {
    "push": (("statement", "signature"), push),
    "witness": (("session",), witness),
    "store": (("session", "document", "signature"), store),
}
"""What may be asked, with exactly these values."""
