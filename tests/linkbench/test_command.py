"""The command as a centre's staff call it, on two local folders."""

from __future__ import annotations

import pytest

from linkbench.__main__ import main
from linkbench.results import read

# As little as every part can be measured with; the import of torch in the trainings' processes takes most of it.
LEAST = [
    *("--files", "2", "--rounds", "1", "--side", "64", "--readers", "2", "--cases", "1", "1", "--size", "32", "32", "24"),
    *("--at-once", "2", "--epochs", "1", "--steps", "1", "--before", "0.1", "--cut", "0.1", "--after", "0.1"),
]


def test_a_quick_run_from_the_command_to_the_comparison(tmp_path, capsys):
    mount, local, out = (tmp_path / name for name in ("mount", "local", "out"))
    mount.mkdir()
    local.mkdir()

    assert main([str(mount), str(local), "--out", str(out), "--site", "here", "--quick", *LEAST, "--cut-hook", "/bin/true"]) == 0

    found = read(out)
    assert len(found.vision.networks) == 17
    assert all(each.whole.median > 0 for each in found.vision.networks)
    assert [len(each.jobs) for each in found.training.runs] == [1, 1, 2, 2]
    assert found.training.same
    assert (found.cut.errors, found.cut.different) == ((), 0)
    assert "same kind of file system" in (out / "report.html").read_text()
    # Nothing stays behind.
    assert list(mount.iterdir()) == list(local.iterdir()) == []

    capsys.readouterr()
    assert main(["compare", str(out), str(out / "report.json"), "--out", str(tmp_path / "table.md")]) == 0
    assert (tmp_path / "table.md").read_text().startswith("| figure | here | here |")


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path / "none"), str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "takes no files" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_report_that_is_not_there_is_a_sentence(tmp_path, capsys):
    assert main(["compare", str(tmp_path)]) == 1
    assert "no report of linkbench" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--side", "48"], ["--side", "32"], ["--files", "0"], ["--cut", "nan"], ["--size", "8", "64", "64"]]
)
def test_what_can_not_be_measured_is_refused_before_anything_is_written(tmp_path, capsys, words):
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path), "--out", str(tmp_path / "out"), *words])
    assert list(tmp_path.iterdir()) == []
