"""The REST API: one handler an address of the table of operations. Bodies and queries are hostile until `msgspec` has read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from tornado import web

from spawner.console import openapi
from spawner.console.access import ConsoleHandler
from spawner.console.errors import BROKEN, NOT_KNOWN, NOT_UNDERSTOOD, ConsoleError
from spawner.console.office import Office
from spawner.console.operations import OPERATIONS, PARAMETERS, Asked, Operation

BODY_LIMIT = 65_536


class ApiHandler(ConsoleHandler):
    """The operations of one address, by method."""

    operations: Mapping[str, Operation]

    def initialize(self, office: Office, operations: Mapping[str, Operation] = MappingProxyType({})) -> None:
        """Given by the application's table of routes."""
        super().initialize(office)
        self.operations = operations

    async def prepare(self) -> None:
        """Everything happens here, whatever the method: what the table does not hold is refused."""
        try:
            await self._answer()
        except ConsoleError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self.office.log.warning("%s %s: %s", self.request.method, self.request.path, error)
            self.refuse(error.status, error.sentence)
        except web.HTTPError as error:
            self.refuse(error.status_code, NOT_UNDERSTOOD)
        except Exception:
            self.office.log.exception("%s %s", self.request.method, self.request.path)
            self.refuse(500, BROKEN)

    def refuse(self, status: int, sentence: str) -> None:
        """Say why not."""
        if self._finished:
            return
        self.set_status(status)
        self.set_header("Content-Type", "application/problem+json")
        problem = openapi.Problem(status=status, title=HTTPStatus(status).phrase, detail=sentence)
        self.finish(msgspec.json.encode(problem))

    async def _answer(self) -> None:
        operation = self.operations.get(self.request.method or "")
        if operation is None:
            self.set_header("Allow", ", ".join(self.operations))
            raise ConsoleError(405, NOT_UNDERSTOOD)
        caller = await self.ask_hub()
        if caller is None:
            self.set_header("WWW-Authenticate", "Bearer")
            raise ConsoleError(401, NOT_KNOWN)
        self.caller = caller
        self.demand(operation.scope)
        answer = await operation.run(self.office, caller, self._asked(operation))
        if operation.answer is None:
            self.set_status(204)
            self.finish()
            return
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(answer))

    def _asked(self, operation: Operation) -> Asked:
        given = {name: values for name, values in self.request.query_arguments.items() if name != "_xsrf"}
        if operation.query is None and given:
            raise ConsoleError(400, NOT_UNDERSTOOD, f"no query here: {sorted(given)!a:.200}")
        try:
            query = None if operation.query is None else msgspec.convert(_flat(given), operation.query, strict=False)
            body = None
            if operation.body is not None:
                if not (self.request.headers.get("Content-Type", "")).startswith("application/json"):
                    raise ConsoleError(400, NOT_UNDERSTOOD, "the body is not application/json")
                body = msgspec.json.decode(self.request.body, type=operation.body)
            elif self.request.body:
                raise ConsoleError(400, NOT_UNDERSTOOD, "a body where none belongs")
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ConsoleError(400, NOT_UNDERSTOOD, str(error)) from error
        return Asked(path=self.path_kwargs, query=query, body=body)


class NothingHandler(ApiHandler):
    """Addresses below the API that there are not."""

    async def _answer(self) -> None:
        raise ConsoleError(404, NOT_UNDERSTOOD)


class DocumentHandler(ConsoleHandler):
    """The OpenAPI document; it says nothing of anybody, so anybody may read it."""

    def get(self) -> None:
        """Answer it."""
        self.set_header("Content-Type", "application/json")
        base = self.hub_auth.base_url.rstrip("/")
        self.finish(msgspec.json.encode(openapi.document(f"{base}/api/v1")))


def routes(prefix: str, office: Office) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The API's routes below `prefix`."""
    below = f"{re.escape(prefix)}api/v1"
    addresses: dict[str, dict[str, Operation]] = {}
    for each in OPERATIONS:
        addresses.setdefault(each.path, {})[each.method] = each
    found: list[tuple[str, type[web.RequestHandler], dict[str, Any]]] = [
        (f"{below}/openapi\\.json", DocumentHandler, {"office": office}),
    ]
    for path, operations in addresses.items():
        pattern = re.sub(r"\{([a-z]+)\}", lambda place: f"(?P<{place[1]}>{PARAMETERS[place[1]]})", path)
        found.append((f"{below}{pattern}", ApiHandler, {"office": office, "operations": operations}))
    found.append((f"{below}(?:/.*)?", NothingHandler, {"office": office}))
    return found


def _flat(arguments: dict[str, list[bytes]]) -> dict[str, str]:
    if any(len(values) != 1 for values in arguments.values()):
        raise ConsoleError(400, NOT_UNDERSTOOD, "a name twice in the query")
    return {name: values[0].decode() for name, values in arguments.items()}
