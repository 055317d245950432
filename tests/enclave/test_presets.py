"""Everybody finds an own copy of the tutorials, and keeps what they made of it."""

from __future__ import annotations

import pytest

from enclave.presets import copy


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


def test_a_copy_that_fails_leaves_no_half_file(presets, own):
    (presets / "03_three.ipynb").symlink_to("/nowhere")
    with pytest.raises(FileNotFoundError):
        copy(presets, own)
    assert not [each for each in (own / "tutorials").iterdir() if each.name.startswith(".") or "three" in each.name]
