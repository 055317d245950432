"""The hub's side of the authority's socket."""

from __future__ import annotations

import asyncio

import msgspec

from spawner.authority.protocol import (
    LINE_LIMIT,
    Account,
    Accounts,
    AccountsRequest,
    Answer,
    Refused,
    Request,
    Signed,
    SignRequest,
    Unable,
)

TIMEOUT = 5.0
"""Seconds for one question, from connecting to the answer's last byte."""


class AuthorityDownError(Exception):
    """No decision: nobody answered in time, or the authority itself is in trouble; asking again later may help."""


class AuthorityRefusedError(Exception):
    """The authority will not sign this; the text is its reason, for the log."""


class AuthorityClient:
    """Asks the authority at the unix socket `socket`: one connection a question, so that a restart of it costs nothing."""

    def __init__(self, socket: str, *, timeout: float = TIMEOUT) -> None:
        self.socket = socket
        self.timeout = timeout

    async def accounts(self, user: str) -> tuple[Account, ...]:
        """Where `user` has an account; empty when nowhere.

        Raises AuthorityDownError and AuthorityRefusedError.
        """
        answer = await self._ask(AccountsRequest(user=user))
        if not isinstance(answer, Accounts):
            raise AuthorityDownError(f"an answer to another question: {type(answer).__name__}")
        return answer.accounts

    async def sign(self, *, user: str, destination: str, session: str, public_key: str) -> Signed:
        """A certificate over `public_key` (OpenSSH one-line form, ed25519, no comment) for `user`'s account at `destination`.

        Raises AuthorityRefusedError when the table has no such row or the key is none, AuthorityDownError.
        """
        request = SignRequest(user=user, destination=destination, session=session, public_key=public_key)
        answer = await self._ask(request)
        if not isinstance(answer, Signed):
            raise AuthorityDownError(f"an answer to another question: {type(answer).__name__}")
        return answer

    async def _ask(self, request: Request) -> Accounts | Signed:
        try:
            async with asyncio.timeout(self.timeout):
                line = await self._exchange(msgspec.json.encode(request) + b"\n")
        except TimeoutError as error:
            raise AuthorityDownError(f"no answer within {self.timeout:g} s") from error
        except (OSError, ValueError) as error:  # ValueError: a line longer than the limit
            raise AuthorityDownError(str(error)) from error
        try:
            answer: Answer = msgspec.json.decode(line, type=Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise AuthorityDownError(f"not an answer of the authority: {error}") from error
        if isinstance(answer, Refused):
            raise AuthorityRefusedError(answer.reason)
        if isinstance(answer, Unable):
            raise AuthorityDownError(answer.reason)
        return answer

    async def _exchange(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.socket, limit=LINE_LIMIT)
        try:
            writer.write(line)
            await writer.drain()
            return await reader.readline()
        finally:
            writer.close()
