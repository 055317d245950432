"""The OpenAPI document is the API: what it promises is what answers, also to inputs that nobody thought of."""

from __future__ import annotations

import json

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from spawner.console import openapi
from spawner.console.operations import OPERATIONS, Operation

pytestmark = pytest.mark.slow  # and after the pages' tests: it leaves rules and groups behind that nobody would write

load_all_checks()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
EXAMPLES = 6
"""Of each operation, of each kind."""


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(msgspec.json.encode(openapi.document("/services/quota/api/v1")))


def test_the_document_that_is_served_is_the_table_of_operations(place, document):
    assert place.call("GET", "/openapi.json", None).json() == document
    assert document["openapi"] == "3.1.0"
    served = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert served == {(each.method, each.path) for each in OPERATIONS}
    assert len({each.id for each in OPERATIONS}) == len(OPERATIONS)


def test_every_operation_that_changes_something_needs_the_scope_to_write():
    looks = {each.id for each in OPERATIONS if each.method == "GET" or each.id.startswith("preview")}
    assert {each.id for each in OPERATIONS if each.scope == "custom:quota:write"} == {each.id for each in OPERATIONS} - looks


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as-promised", "otherwise"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_it_answers_as_promised(place, admin, document, operation: Operation, mode):
    known = schemathesis.openapi.from_dict(document)[operation.path][operation.method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or "{" in operation.path):
        return  # nothing about it could be otherwise

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=known.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(base_url=f"{place.url}api/v1", headers={"Authorization": f"token {admin}"})
        case.validate_response(answer, checks=CHECKS)

    ask()
