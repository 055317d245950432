"""How a job proves that it is the job which the hub submitted: a MUNGE credential, decoded and held against what is known."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from spawner.schedulers.command import CommandError, run

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
CREDENTIAL = re.compile(r"MUNGE:[A-Za-z0-9+/=]{16,8192}:", re.ASCII)
_PAYLOAD_LIMIT = 1024


class ProofError(Exception):
    """The proof is none; the text says why, for the log."""


class Credential(msgspec.Struct, frozen=True):
    """What munged vouches for: who encoded this payload, and on which host."""

    uid: int
    host: str
    """IP address of the host where it was encoded."""
    payload: str


async def unmunge(command: str, credential: str, limit: int = _PAYLOAD_LIMIT) -> Credential:
    """What munged says of `credential`, which it accepts once only (it refuses replays and what is too old).

    `limit` is for its payload, in bytes.

    Raises ProofError.
    """
    if not CREDENTIAL.fullmatch(credential):
        raise ProofError("no MUNGE credential")
    try:
        answer = await run((command, "--numeric", "--keys=STATUS,ENCODE_HOST,UID"), env=ENVIRONMENT, stdin=credential, timeout_s=5)
    except CommandError as error:
        raise ProofError(str(error)) from error
    if answer.code != 0:
        raise ProofError(f"unmunge: exit code {answer.code}: {answer.err.strip()[:200]!r}")
    return parse_unmunge(answer.out, limit)


def parse_unmunge(text: str, limit: int = _PAYLOAD_LIMIT) -> Credential:
    """The credential in unmunge's metadata lines, an empty line, and the payload. Raises ProofError."""
    head, separator, payload = text.partition("\n\n")
    fields = {}
    for line in head.splitlines():
        key, colon, value = line.partition(":")
        if not colon or key in fields:
            raise ProofError(f"not what unmunge says: {line[:100]!r}")
        fields[key] = value.strip()
    uid = fields.get("UID", "")
    if not separator or fields.get("STATUS") != "0":
        raise ProofError(f"not accepted: {head[:200]!r}")
    if not (uid.isascii() and uid.isdigit() and len(uid) <= 10) or len(payload) > limit:
        raise ProofError(f"not accepted: {head[:200]!r}")
    try:
        address = str(ipaddress.ip_address(fields.get("ENCODE_HOST", "")))
    except ValueError as error:
        raise ProofError(f"no address: {head[:200]!r}") from error
    return Credential(int(uid), address, payload)
