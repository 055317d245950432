"""The administrator's pages name every check, in both languages, with the remedy that the node itself prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enclave.messages import Check
from enclave.mount import PATIENCE_SECONDS
from enclave.preflight.remedies import REMEDIES
from spawner.site import LOWERABLE

DOCS = Path(__file__).parents[2] / "docs"


def rows(language: str) -> list[tuple[str, str, str]]:
    """Check, meaning and remedy of each row."""
    text = (DOCS / f"administrator.{language}.md").read_text()
    return re.findall(r"^\| `([a-z]+)` \| (.+) \| (.+) \|$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_check_has_its_row_in_the_order_of_the_table_that_a_node_prints(language):
    assert [row[0] for row in rows(language)] == [str(check) for check in Check]


def test_the_remedy_is_the_one_that_the_node_prints():
    assert {row[0]: row[2] for row in rows("en")} == {str(check): text for check, text in REMEDIES.items()}


@pytest.mark.parametrize(
    ("language", "joined"), [("en", "`swap`, `cores`, `crashes` and `gpu`"), ("ja", "`swap`、`cores`、`crashes`、`gpu`")]
)
def test_what_can_be_lowered_is_named(language, joined):
    assert re.findall("`([a-z]+)`", joined) == list(LOWERABLE)
    assert joined in (DOCS / f"administrator.{language}.md").read_text()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_how_long_a_cut_is_outlived_is_said(language):
    assert f"{PATIENCE_SECONDS} " in (DOCS / f"administrator.{language}.md").read_text()
