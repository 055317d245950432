"""Everybody finds an own copy of the tutorials, and keeps what they made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclave.presets import Card, cards, copy


@pytest.fixture
def presets(tmp_path):
    folder = tmp_path / "presets"
    folder.mkdir()
    for name in ("01_one.ipynb", "02_two.ipynb", "notes.txt"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def test_notebooks_and_nothing_else_are_copied(presets, own):
    assert copy(presets, own) == 2
    assert sorted(each.name for each in (own / "tutorials").iterdir()) == ["01_one.ipynb", "02_two.ipynb"]


def test_what_the_person_made_of_one_stays(presets, own):
    copy(presets, own)
    (own / "tutorials" / "01_one.ipynb").write_text("mine")
    (own / "tutorials" / "02_two.ipynb").unlink()
    assert copy(presets, own) == 1
    assert (own / "tutorials" / "01_one.ipynb").read_text() == "mine"
    assert (own / "tutorials" / "02_two.ipynb").read_text() == "02_two.ipynb"


def test_a_new_version_brings_what_is_new_and_touches_no_copy(presets, own):
    copy(presets, own)
    mine, untouched = own / "tutorials" / "01_one.ipynb", own / "tutorials" / "02_two.ipynb"
    mine.write_text("mine")
    before = mine.stat().st_mtime_ns, untouched.stat().st_mtime_ns
    for name in ("01_one.ipynb", "02_two.ipynb", "03_three.ipynb"):
        (presets / name).write_text("the new version")
    assert copy(presets, own) == 1
    assert (mine.read_text(), untouched.read_text()) == ("mine", "02_two.ipynb")
    assert (mine.stat().st_mtime_ns, untouched.stat().st_mtime_ns) == before
    assert (own / "tutorials" / "03_three.ipynb").read_text() == "the new version"


def test_all_that_the_project_has_reach_the_person(own):
    presets = Path(__file__).parents[2] / "notebooks" / "ja"
    copy(presets, own)
    found = {each.name: each.read_bytes() for each in (own / "tutorials").iterdir()}
    assert found == {each.name: each.read_bytes() for each in presets.iterdir()}
    assert len(found) == 7


def test_a_card_has_the_notebook_s_heading_and_one_that_can_not_be_read_its_name(presets):
    cells = [
        {"cell_type": "code", "source": ["# no heading"]},
        {"cell_type": "markdown", "source": ["# A **good**\n", "\n", "text"]},
    ]
    (presets / "01_one.ipynb").write_text(json.dumps({"cells": cells}))
    assert cards(presets) == (Card("01_one.ipynb", "01 A good"), Card("02_two.ipynb", "02_two"))


def test_a_copy_that_fails_leaves_no_half_file(presets, own):
    (presets / "03_three.ipynb").symlink_to("/nowhere")
    with pytest.raises(FileNotFoundError):
        copy(presets, own)
    assert not [each for each in (own / "tutorials").iterdir() if each.name.startswith(".") or "three" in each.name]
