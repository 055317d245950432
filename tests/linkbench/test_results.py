"""Ratios, and reports that are read again."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkbench.results import LinkbenchError, geometric, ratio_of, read
from tests.linkbench.examples import report

TIMES = st.floats(0.001, 1000.0)


def test_the_median_pair_counts():
    found = ratio_of([2.0, 3.0, 40.0], [1.0, 1.0, 10.0])
    assert (found.median, found.least, found.most, found.pairs) == (3.0, 2.0, 4.0, 3)


@pytest.mark.parametrize(("times", "others"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([-1.0], [1.0])])
def test_what_are_no_pairs_of_times_gives_no_ratio(times, others):
    with pytest.raises(ValueError, match="no pairs"):
        ratio_of(times, others)


@given(st.lists(TIMES, min_size=1, max_size=20))
def test_a_geometric_mean_lies_between_and_turns_over(ratios):
    found = geometric(ratios)
    assert min(ratios) * (1 - 1e-9) <= found <= max(ratios) * (1 + 1e-9)
    assert math.isclose(geometric([1 / each for each in ratios]), 1 / found, rel_tol=1e-9)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=9), st.floats(0.1, 10.0))
def test_a_ratio_does_not_depend_on_the_unit(pairs, unit):
    times, others = zip(*pairs, strict=True)
    scaled = ratio_of([unit * each for each in times], [unit * each for each in others])
    assert scaled.median == pytest.approx(ratio_of(times, others).median)


def test_the_value_is_the_mean_over_the_networks():
    assert report(slower=1.1).vision.value == pytest.approx(1.1)
    assert report().vision.compute == pytest.approx(1.0)


def test_trainings_at_once_last_as_long_as_the_last_of_them():
    taught = report().training
    assert taught is not None
    assert taught.counts() == [1, 4]
    assert taught.ratio(4).median == 1.0
    assert taught.same


def test_a_report_is_read_as_it_was_written(tmp_path):
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(report()))
    assert read(tmp_path) == read(tmp_path / "report.json") == report()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_no_report_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(LinkbenchError, match="no report of linkbench"):
        read(tmp_path)


def test_another_version_is_refused(tmp_path):
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(report(), kind="linkbench 0")))
    with pytest.raises(LinkbenchError, match="another version"):
        read(tmp_path)
