"""Every text that a person may see has its Japanese."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

import phrases

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "phrases" / "locale" / "ja" / "renkei.po"
ROOMS = ("spawner", "enclave", "kernels", "linkbench")
KEYWORDS = {"_": None, "N_": None}
PLACEHOLDER = re.compile(r"\{[a-z_]*[^{}]*\}|%\([a-z_]+\)[sd]|%[sd]")
PRODUCT_NAMES = re.compile(r"(JupyterLab|JupyterHub|GPU|CPU|CT|V-Net|Dice|OpenID Connect)")
"""Said the same way in both languages."""


@cache
def marked() -> dict[str, str]:
    """Each marked text of the code and of the pages, with the first place that marks it."""
    found: dict[str, str] = {}
    for place, text in _extract():
        found.setdefault(text, place)
    return found


def _extract() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            method = {".py": "python", ".html": "jinja2.ext:babel_extract", ".j2": "jinja2.ext:babel_extract"}.get(path.suffix)
            if method is None or "node_modules" in path.parts:
                continue
            for line, message, _comments, _context in extract_from_file(method, str(path), keywords=KEYWORDS):
                assert isinstance(message, str), f"{path}:{line}: a plural, which the catalogue does not use"
                yield f"{path.relative_to(ROOT)}:{line}", message


def catalogue() -> Catalog:
    """The Japanese catalogue."""
    with CATALOGUE.open("rb") as stream:
        return read_po(stream, locale="ja", abort_invalid=True)


def test_texts_are_found():
    assert len(marked()) > 20


def test_every_marked_text_has_its_japanese():
    japanese = phrases.translator("ja")
    untranslated = {text: place for text, place in marked().items() if japanese(text) == text and not PRODUCT_NAMES.fullmatch(text)}

    assert untranslated == {}


def test_no_text_has_two_translations():
    """Of two, the later one would be read, and the other edited."""
    said = re.findall(r'^msgid ((?:".*"\n)+)', CATALOGUE.read_text(), flags=re.MULTILINE)

    assert [text for text, count in Counter(said).items() if count > 1] == []


def test_the_catalogue_holds_no_guess_and_nothing_that_nobody_says():
    entries = [message for message in catalogue() if message.id]

    assert [message.id for message in entries if message.fuzzy] == []
    assert [message.id for message in entries if message.id not in marked()] == []


@pytest.mark.parametrize("message", [each for each in catalogue() if each.id], ids=lambda message: message.id[:40])
def test_a_translation_fills_in_the_same_places(message):
    assert sorted(PLACEHOLDER.findall(message.string)) == sorted(PLACEHOLDER.findall(message.id))
