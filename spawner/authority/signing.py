"""One certificate, made by `ssh-keygen`: nothing here decides who may have it."""

from __future__ import annotations

import base64
import binascii
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

KEY_TYPE = "ssh-ed25519"
KEY_BYTES = 32
BACKDATED = 60
"""Seconds by which validity starts early, for clocks that do not agree."""
SSH_KEYGEN = "/usr/bin/ssh-keygen"
MEMORY = "/dev/shm"  # noqa: S108  (a private folder of random name is made in it; nothing of a certificate touches a disk)


ENVIRONMENT = {"PATH": "/usr/bin", "LC_ALL": "C"}


class SigningError(Exception):
    """No certificate came to be; the text is for the log."""


class BadKeyError(SigningError):
    """What should be signed is not a public key of the one kind that is."""


def checked_public_key(text: str) -> str:
    """`text`, if it is exactly an Ed25519 public key in OpenSSH's one-line form: no options, no comment, no second line.

    Raises BadKeyError otherwise. The wire form is RFC 8709's: two counted strings, the type's name and 32 bytes.
    """
    kind, _, body = text.partition(" ")
    if kind != KEY_TYPE:
        raise BadKeyError(f"not a key of type {KEY_TYPE}")
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKeyError("not a public key: its second word is not base64") from error
    head = struct.pack(">I", len(KEY_TYPE)) + KEY_TYPE.encode() + struct.pack(">I", KEY_BYTES)
    if len(blob) != len(head) + KEY_BYTES or not blob.startswith(head):
        raise BadKeyError("not a public key: its second word does not hold exactly one Ed25519 key")
    if base64.b64encode(blob).decode() != body:
        raise BadKeyError("not a public key: its base64 is not the usual one")
    return text


def sign(
    *, ca_key: str, public_key: str, account: str, session: str, serial: int, source: Sequence[str], start: int, end: int
) -> str:
    """A user certificate in OpenSSH's one-line form over `public_key` for the principal `account`, valid from `start` to `end`.

    Times are seconds since the epoch. The certificate permits the SFTP subsystem and nothing else, and only from the networks
    of `source`. Raises BadKeyError, SigningError.
    """
    key = checked_public_key(public_key)
    with tempfile.TemporaryDirectory(prefix="renkei-authority-", dir=MEMORY) as folder:
        subject = Path(folder, "session.pub")
        subject.write_text(key + "\n")
        command = [
            SSH_KEYGEN, "-q", "-s", ca_key, "-I", f"session={session}", "-z", str(serial), "-n", account,
            "-V", f"0x{start:x}:0x{end:x}",
            "-O", "clear", "-O", "force-command=internal-sftp", "-O", f"source-address={','.join(source)}",
            str(subject),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=4, check=False, env=ENVIRONMENT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SigningError(f"ssh-keygen: {error}") from error
        if done.returncode:
            raise SigningError(f"ssh-keygen: {done.stderr.decode(errors='replace').strip()[:400]}")
        return Path(folder, "session-cert.pub").read_text().strip()
