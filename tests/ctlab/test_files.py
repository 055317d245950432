"""A file appears whole or not at all; what the dead left is swept, what the living write is not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ctlab.files import sweep, whole

from tests.ctlab.drafts import killed_while_writing, writer

MINE = re.compile(r"state-\d+\.pt")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    with whole(tmp_path / "new" / "state-1.pt") as draft:
        draft.write_bytes(b"all of it")
        assert not (tmp_path / "new" / "state-1.pt").exists()
    assert names(tmp_path / "new") == ["state-1.pt"]


def test_what_raises_leaves_nothing(tmp_path):
    with pytest.raises(TypeError), whole(tmp_path / "state-1.pt") as draft:
        draft.write_bytes(b"half" + None)
    assert names(tmp_path) == []


def test_a_dead_writers_half_is_swept_and_a_living_ones_is_not(tmp_path):
    killed_while_writing(tmp_path / "state-2.pt")
    with writer(tmp_path / "state-1.pt") as living:
        assert len(names(tmp_path)) == 2

        sweep(tmp_path, MINE)

        assert [name.rpartition("-state-")[2] for name in names(tmp_path)] == ["1.pt"]
        living.communicate()
    assert names(tmp_path) == ["state-1.pt"]


def test_a_process_id_that_came_again_protects_nothing(tmp_path):
    (tmp_path / ".1-99999999-state-1.pt").write_bytes(b"half")
    sweep(tmp_path, MINE)
    assert names(tmp_path) == []


def test_what_this_process_could_not_remove_is_swept(tmp_path):
    """A draft stays behind when the storage takes neither the file nor its removal."""
    with whole(tmp_path / "state-1.pt") as draft:
        draft.write_bytes(b"half")
        kept = draft.name
    (tmp_path / kept).write_bytes(b"half")
    sweep(tmp_path, MINE)
    assert names(tmp_path) == ["state-1.pt"]


@pytest.mark.parametrize(
    "name", ["state-1.pt", ".state-1.pt", ".7-8-mask.nii.gz", ".7-state-1.pt", ".7-8-state-1.pt~", ".x-8-state-1.pt", ".7-8-"]
)
def test_only_names_of_that_form_are_swept(tmp_path, name):
    (tmp_path / name).write_bytes(b"a person's own")
    sweep(tmp_path, MINE)
    assert names(tmp_path) == [name]


def test_a_name_tells_its_writer(tmp_path):
    with whole(tmp_path / "state-1.pt") as draft:
        assert draft.name.startswith(f".{os.getpid()}-")
        draft.write_bytes(b"")
