"""The OpenAPI 3.1 document, made from the table of operations and the types that it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from spawner.console.operations import OPERATIONS, PARAMETERS, Operation

VERSION = "1"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was not done (RFC 9457): a sentence in English; the hub's log has the rest."""

    status: int
    title: str
    detail: str


ERRORS = {
    400: "not understood",
    401: "nobody that the hub knows",
    403: "the token has not this scope",
    404: "no such thing",
    405: "no such method here",
    409: "not in this state",
    413: "a body larger than 64 KiB",
    502: "the hub does not answer",
    503: "the audit or the database can't be written: nothing was changed",
}

_PLACE = re.compile(r"\{([a-z]+)\}")


def document(server: str, operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """The whole document, for an API below the address `server`."""
    types = [Problem, *{kind for each in operations for kind in (each.answer, each.query, each.body) if kind is not None}]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Renkei quota console", "version": VERSION},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of the hub with the scope of the operation"}
            },
        },
        "security": [{"token": []}],
    }


def _operation(operation: Operation, components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"Needs the scope `{operation.scope}`." if operation.scope else "For everybody, about themselves.",
        "responses": {
            **_success(operation),
            **{
                str(status): {"description": what, "content": {"application/problem+json": {"schema": _reference(Problem)}}}
                for status, what in ERRORS.items()
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{PARAMETERS[name]}$"}}
        for name in _PLACE.findall(operation.path)
    ]
    if operation.query is not None:
        schema = components[operation.query.__name__]
        required = schema.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": value}
            for name, value in schema["properties"].items()
        ]
    if parameters:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _reference(operation.body)}}}
    return found


def _success(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"204": {"description": "done"}}
    return {"200": {"description": "done", "content": {"application/json": {"schema": _reference(operation.answer)}}}}


def _reference(kind: Any) -> dict[str, str]:  # noqa: ANN401  (a type)
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
