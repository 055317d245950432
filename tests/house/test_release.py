"""THIRD-PARTY.md and the bill of materials say what is pinned now; `python -m release` writes them anew."""

from __future__ import annotations

import json

import pytest
import yaml

from release import parts, texts
from release.__main__ import made
from tests.house.test_layout import ROOT

MADE = made()


@pytest.mark.parametrize("name", MADE)
def test_what_is_kept_is_what_the_pins_make(name):
    assert (ROOT / name).read_text() == MADE[name], f"{name}: a pin has changed; run `python -m release`"


def test_every_part_that_a_site_installs_is_named_with_a_licence():
    found = parts.everything()

    assert {"jupyterhub", "torch", "configurable-http-proxy", "msgspec"} <= {part.name for part in found}
    assert {"pytest", "mypy", "properdocs"}.isdisjoint({part.name for part in found})
    assert [part.name for part in found if not part.licence] == []


def test_the_bill_refers_to_nothing_that_it_does_not_name():
    bill = json.loads(MADE["release/sbom.cdx.json"])
    refs = [component["bom-ref"] for component in bill["components"]]
    own = bill["metadata"]["component"]["bom-ref"]

    assert len(refs) == len(set(refs)) > 150
    assert {each["ref"] for each in bill["dependencies"]} == {own, *refs}
    assert {ref for each in bill["dependencies"] for ref in each["dependsOn"]} <= set(refs)


def test_the_same_content_has_the_same_serial_number():
    found, roots = parts.everything(), parts.roots()

    assert texts.bill(found, roots, "1") == texts.bill(found, roots, "1")
    assert texts.bill(found, roots, "1")[:120] != texts.bill(found[1:], roots, "1")[:120]


def test_the_citation_is_yaml_of_the_version_that_it_names():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())

    assert citation["cff-version"] == "1.2.0"
    assert {"title", "authors", "version", "license", "message"} <= set(citation)
