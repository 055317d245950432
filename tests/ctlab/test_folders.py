"""Where data and results are."""

from __future__ import annotations

import pytest
from ctlab.errors import FolderMissingError
from ctlab.folders import data_folder, work_folder


def test_the_session_names_the_folders(tmp_path, monkeypatch):
    (tmp_path / "cloud").mkdir()
    monkeypatch.setenv("CTLAB_DATA", str(tmp_path / "cloud"))
    monkeypatch.setenv("CTLAB_WORK", str(tmp_path / "results" / "of today"))

    assert data_folder() == tmp_path / "cloud"
    assert work_folder() == tmp_path / "results" / "of today"
    assert work_folder().is_dir()


def test_on_a_laptop_they_lie_beside_the_notebook(tmp_path, monkeypatch):
    for name in ("CTLAB_DATA", "CTLAB_WORK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()

    assert data_folder().resolve() == tmp_path / "datasets"
    assert work_folder().resolve() == tmp_path / "work"


@pytest.mark.parametrize(("language", "words"), [("en", "isn't there. In a session, start it again"), ("ja", "見つかりません")])
def test_a_missing_data_folder_is_said(tmp_path, monkeypatch, language, words):
    monkeypatch.setenv("LANGUAGE", language)
    monkeypatch.setenv("CTLAB_DATA", str(tmp_path / "cloud"))

    with pytest.raises(FolderMissingError, match=words) as refused:
        data_folder()
    assert str(tmp_path / "cloud") in str(refused.value)


def test_a_results_folder_that_can_not_be_made_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CTLAB_WORK", str(tmp_path / "file" / "work"))

    with pytest.raises(FolderMissingError, match="file/work, can't be made"):
        work_folder()
