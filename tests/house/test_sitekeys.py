"""Every key of a site file has a meaning, in both languages, and the examples name keys that exist."""

from __future__ import annotations

import re

import pytest

from docs import sitekeys
from tests.house.test_layout import ROOT

KEYS = [key for table in sitekeys.tables() for key in table.keys]


def test_the_keys_of_the_model_are_found():
    assert {"hub.bind_url", "login.oidc.client_id", "destination.owner.control_key", "node.python"} <= {key.path for key in KEYS}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_a_key_has_its_meaning(key: sitekeys.Key):
    assert len(key.meaning) > 8, f"{key.path}: write what it means below its field in spawner/site.py"


def test_each_has_its_japanese_and_nothing_else_has():
    wanted = {key.path for key in KEYS} | {table.heading for table in sitekeys.tables()}
    # A table that holds nothing but what its heading says needs no more than that.
    assert set(sitekeys.japanese()) == wanted


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_value_is_described_in_words_that_people_read(language):
    for key in KEYS:
        described = sitekeys.described(key.kind, language)
        assert described
        assert "^" not in described
        if language == "ja":
            assert re.search(r"[ぁ-んァ-ヶ一-龠]|`", described), f"{key.path}: {described}"


@pytest.mark.parametrize("file", ["slurm.toml", "flow.toml", "demo.toml"])
def test_what_the_examples_show_as_a_default_is_one(file):
    """`# key = value` in an example is a key of the model."""
    names = {key.path.rpartition(".")[2] for key in KEYS}
    shown = re.findall(r"^# ([a-z_]+) = ", (ROOT / "sites" / file).read_text(), flags=re.MULTILINE)

    assert set(shown) <= names
