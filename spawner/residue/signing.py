"""The statement's signature, made and checked with OpenSSH's own tool, so that a data owner needs nothing of ours to check it."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from pathlib import Path

from spawner.authority.signing import ENVIRONMENT, SSH_KEYGEN
from spawner.owner.owners import Owner
from spawner.owner.protocol import DOCUMENT_NAMESPACE
from spawner.owner.signing import SignatureError, sign

KEY = "key"
"""In the statements' folder: signs where a destination has no owner's side, and so no key of its own."""
KEYGEN_S = 30.0
"""Seconds that one ssh-keygen may take."""
_MAKING = threading.Lock()
"""Sessions may end together, and each asks for the key in a thread of its own."""


async def signature(document: str, owner: Owner | None, folder: Path) -> str:
    """The hub's SSHSIG over `document`, by the key that `owner` knows. Raises SignatureError."""
    key = owner.site.statement_key if owner is not None else await _own_key(folder)
    return await sign(document, key=key, namespace=DOCUMENT_NAMESPACE)


async def _own_key(folder: Path) -> str:
    return await asyncio.to_thread(_make_key, folder)


def _make_key(folder: Path) -> str:
    path = folder / KEY
    with _MAKING:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = _keygen("-q", "-t", "ed25519", "-N", "", "-C", "renkei-hub", "-f", str(path))
            if made is None or made.returncode != 0:
                raise SignatureError("ssh-keygen made no key")
    return str(path)


def signer(document: bytes, signed: Path, signers: Path) -> str | None:
    """Who of the allowed `signers` (ssh-keygen's file) signed `document`, by the file `signed`; None when nobody did."""
    found = _keygen("-Y", "find-principals", "-s", str(signed), "-f", str(signers))
    if found is None:
        return None
    name = found.stdout.decode(errors="replace").partition("\n")[0].strip()
    if found.returncode != 0 or not name:
        return None
    checking = ("-Y", "verify", "-n", DOCUMENT_NAMESPACE, "-s", str(signed), "-f", str(signers), "-I", name)
    checked = _keygen(*checking, given=document)
    return name if checked is not None and checked.returncode == 0 else None


def _keygen(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes] | None:
    """How ssh-keygen ended, told `words` and `given`; None when it did not within `KEYGEN_S`, or is not there."""
    try:
        return subprocess.run(
            [SSH_KEYGEN, *words], input=given, capture_output=True, check=False, timeout=KEYGEN_S, env=ENVIRONMENT
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
