"""What a report and a comparison say."""

from __future__ import annotations

import re

import pytest

from linkbench import charts as drawing
from linkbench import page
from linkbench.charts import charts
from linkbench.compare import table
from linkbench.figures import figures
from linkbench.results import read
from tests.linkbench.examples import report


def test_ratios_come_first_with_the_study_beside_them():
    whole, compute, *rest = figures(report())
    assert (whole.ours, whole.within) == ("1.100", True)
    assert compute.paper == "unchanged"
    assert any(each.ours == "3.000" and each.paper.startswith("1.5") for each in rest)
    assert any("4 trainings at once" in each.what and each.paper == "1.02" for each in rest)


def test_a_pass_that_takes_too_long_is_marked():
    assert figures(report(slower=1.2))[0].within is False
    assert 'class="bad">1.200' in page.page(report(slower=1.2), {})


@pytest.mark.parametrize(("slower", "scale", "base"), [(1.1, "linear", 0.0), (20.0, "log", 1.0)])
def test_ratios_of_several_decades_can_all_be_read(slower, scale, base):
    (axes,) = drawing._vision(report(slower=slower).vision).axes
    assert axes.get_yscale() == scale
    assert [(bar.get_y(), round(bar.get_y() + bar.get_height(), 6)) for bar in axes.patches] == [
        (base, ratio) for ratio in (slower, slower, 3.0, 1.25)
    ]


def test_a_cut_that_nobody_could_make_is_said_to_be_missing():
    (line,) = (each for each in figures(report(cut=False)) if "cut" in each.what)
    assert line.ours == "not measured: nobody said how the line is cut"
    assert "cut.png" not in charts(report(cut=False))


def test_a_destination_that_does_not_answer_is_in_the_report():
    (line,) = (each for each in figures(report()) if "nobody" in each.what)
    assert line.ours == "no answer"


def test_the_page_needs_nothing_beside_it_and_trusts_no_name(tmp_path):
    page.write(report("<script>x</script>"), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', text)) == {"data:"}
    assert {each.name for each in tmp_path.glob("*.png")} == {"vision.png", "trips.png", "training.png", "curve.png", "cut.png"}
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in tmp_path.glob("*.png"))
    assert read(tmp_path).site == "<script>x</script>"


def test_it_says_what_could_not_be_dropped_and_that_quick_is_no_figure():
    said = " ".join(page.notes(report()))
    assert "local 0 %, mount –" in said
    assert "quick form" in said


def test_it_speaks_japanese(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")
    assert "幾何平均" in page.page(report(), {})
    assert "簡易測定" in page.page(report(), {})


def test_sites_stand_side_by_side():
    head, line, *rows = table([report("Kyoto"), report("a|b", slower=1.2, cut=False)]).splitlines()
    assert head == "| figure | Kyoto | a\\|b | the study of 2024 |"
    assert set(line) <= set("| -")
    assert "| 1.100 | 1.200 |" in rows[0]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert any(row.startswith("| Inference under a cut of 5 s") and "| – |" in row for row in rows)


@pytest.mark.parametrize("count", [1, 3])
def test_sites_without_a_name_have_numbers(count):
    head = table([report("")] * count).splitlines()[0]
    assert [f"site {number}" in head for number in range(1, 4)] == [number <= count for number in range(1, 4)]
