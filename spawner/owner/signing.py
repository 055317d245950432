"""Signatures that a data owner checks with nothing but OpenSSH: SSHSIG, made by `ssh-keygen -Y sign`."""

from __future__ import annotations

import asyncio

from spawner.authority.signing import ENVIRONMENT, SSH_KEYGEN

SIGN_S = 5.0
"""Seconds that one signature may take."""


class SignatureError(Exception):
    """There is no signature; the text is for the log."""


async def sign(text: str, *, key: str, namespace: str) -> str:
    """The armored SSHSIG over `text` in `namespace`, by the private key in the file `key`. Raises SignatureError."""
    command = [SSH_KEYGEN, "-Y", "sign", "-q", "-f", key, "-n", namespace]
    pipe = asyncio.subprocess.PIPE
    try:
        signing = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)
    except OSError as error:
        raise SignatureError(f"ssh-keygen: {error}") from error
    try:
        async with asyncio.timeout(SIGN_S):
            signature, complaint = await signing.communicate(text.encode())
    except TimeoutError as error:
        signing.kill()
        await signing.wait()
        raise SignatureError(f"no signature within {SIGN_S:g} s") from error
    if signing.returncode != 0:
        raise SignatureError(f"ssh-keygen: {complaint.decode(errors='replace').strip()[:400]}")
    return signature.decode("ascii")
