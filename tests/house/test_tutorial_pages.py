"""The tutorials as pages: of what people are given now, small, told in words too, and of no machine."""

from __future__ import annotations

import re

import nbformat
import pytest

from docs.tutorialpage import COMMAND, FOLDER, LARGEST, digest, rendered_from
from tests.house.test_layout import ROOT

NAMES = sorted(path.stem for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))
LANGUAGES = ("en", "ja")
ALL_BYTES = 3_000_000
each_page = pytest.mark.parametrize(("name", "language"), [(name, language) for name in NAMES for language in LANGUAGES])


def text_of(name: str, language: str) -> str:
    return (FOLDER / f"{name}.{language}.md").read_text()


def source(name: str, language: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "notebooks" / language / f"{name}.ipynb", as_version=4)


def pictures(text: str) -> list[tuple[str, str]]:
    """What each picture of a page is said to show, and its file."""
    return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text) + re.findall(r'<img alt="([^"]*)" src="([^"]+)"', text)


@each_page
def test_a_page_is_of_the_tutorial_as_people_are_given_it_now(name, language):
    of = rendered_from(text_of(name, language))

    assert of == digest(source(name, language)), f"the tutorial has changed; renew its page: {COMMAND} {name}"


def test_every_tutorial_has_its_page_in_each_language_and_no_other_is_left():
    assert {path.name for path in FOLDER.glob("*.md")} == {f"{name}.{language}.md" for name in NAMES for language in LANGUAGES}


def test_pictures_are_small_and_each_stands_on_a_page():
    files = {path.name: path.stat().st_size for path in FOLDER.glob("*.webp")}
    named = [file for name in NAMES for language in LANGUAGES for _, file in pictures(text_of(name, language))]

    assert sorted(named) == sorted(files)
    assert {name: size for name, size in files.items() if size > LARGEST} == {}
    assert sum(files.values()) < ALL_BYTES


@each_page
def test_each_picture_is_told_in_the_language_of_its_page(name, language):
    told = [text for text, _ in pictures(text_of(name, language))]

    assert all(told)
    # Names of cases under a report's pictures are the same in every language.
    sentences = [text for text in told if not text.startswith("case-")]
    assert [text for text in sentences if bool(re.search("[ぁ-ヿ一-龠]", text)) != (language == "ja")] == []


@each_page
def test_a_page_has_nothing_of_the_machine_that_ran_the_tutorial(name, language):
    text = text_of(name, language)

    assert re.findall(r"(?m)(?<![\w/~])/(?:srv|root|run|var|opt|usr)/\S*", text) == []
    assert re.findall(r"\bat 0x[0-9a-f]+|data:|<script|Traceback|\x1b", text) == []
