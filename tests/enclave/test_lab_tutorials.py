"""The tutorials as cards of the Lab's launcher, in Chromium: a card opens the person's own copy."""

from __future__ import annotations

import json

import pytest

from enclave import presets
from tests.e2e.browser import Browser
from tests.enclave.lab import BASE, OWN, ROOT, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SOURCE = ROOT / "notebooks" / "ja"
MINE = "mine = 'and not the preset'"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    found = Lab(tmp_path_factory.mktemp("lab"), language="ja", tutorials=presets.cards(SOURCE))
    own = found.folder / "cloud" / OWN
    presets.copy(SOURCE, own)
    copy = own / "tutorials" / "00_welcome.ipynb"
    changed = json.loads(copy.read_text())
    changed["cells"][1]["source"] = MINE
    copy.write_text(json.dumps(changed))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(lab):
    found = Browser(lab.url, "ja", lab.folder / "pictures")
    found.open(f"{BASE}lab/tree/{OWN}/tutorials")
    yield found
    found.close()


def test_the_launcher_begins_with_a_card_for_each_in_the_person_s_language(page):
    assert page.cards("Tutorials") == [each.title for each in presets.cards(SOURCE)]
    assert "ようこそ" in page.cards("Tutorials")[0]
    assert page.get(".jp-Launcher-sectionTitle").text == "Tutorials"


def test_a_card_opens_the_person_s_own_copy_with_its_kernel(page):
    page.press_card(page.cards("Tutorials")[0])
    assert MINE in page.get(".jp-Notebook .jp-CodeCell .cm-content").text
    assert "00_welcome.ipynb" in page.driver.title or "00_welcome.ipynb" in page.driver.current_url
