"""Inference while a line is cut."""

from __future__ import annotations

import threading

import msgspec
import pytest
from ctlab.phantoms import make_cohort

from linkbench.cut import Inference, command_hook, under_cut
from linkbench.results import LinkbenchError
from linkbench.settings import QUICK

SETTINGS = msgspec.structs.replace(QUICK, before_s=0.1, cut_s=0.2, after_s=0.1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut") / "cases"
    make_cohort(folder, 1, 1, 3, (32, 32, 24))
    return folder


def test_it_goes_on_and_every_byte_is_counted(cases):
    words = []
    found = under_cut(cases, SETTINGS, words.append, lambda _: None)
    assert words == ["cut", "restore"]
    assert (found.errors, found.different) == ((), 0)
    assert found.cases >= 2
    assert found.ended_s - found.begun_s >= SETTINGS.cut_s
    assert found.resumed_s is not None
    assert found.resumed_s >= 0
    assert list(found.received) == sorted(found.received)
    assert found.received[-1] >= sum(each.stat().st_size for each in cases.rglob("ct.nii.gz"))


def test_other_bytes_after_the_cut_are_counted(tmp_path):
    folder, other = tmp_path / "cases", tmp_path / "other"
    make_cohort(folder, 1, 1, 3, (32, 32, 24))
    make_cohort(other, 1, 1, 4, (32, 32, 24))

    def hook(word: str) -> None:
        if word == "cut":
            for path in other.rglob("ct.nii.gz"):
                path.replace(folder / path.relative_to(other))

    assert under_cut(folder, SETTINGS, hook, lambda _: None).different >= 1


def test_a_read_that_fails_is_an_error_and_not_the_end(tmp_path):
    work = Inference([tmp_path / "none.nii.gz"], None)
    work.ended.set()
    for _ in range(2):
        work._case(work.paths[0])
    assert len(work.errors) == 2
    assert "No such file" in work.errors[0]
    assert work.done == []


def test_the_line_is_mended_also_when_the_cut_fails(cases):
    words = []

    def hook(word: str) -> None:
        words.append(word)
        if word == "cut":
            raise LinkbenchError("no")

    before = set(threading.enumerate())
    with pytest.raises(LinkbenchError):
        under_cut(cases, SETTINGS, hook, lambda _: None)
    assert words == ["cut", "restore"]
    assert set(threading.enumerate()) <= before


def test_a_command_is_told_the_word_and_its_failure_is_a_sentence(tmp_path):
    program = tmp_path / "site cut"
    program.write_text('#!/bin/sh\necho "$1 $2" >> "$0.log"\n[ "$2" = cut ]\n')
    program.chmod(0o700)
    hook = command_hook(f"'{program}' tokyo")
    hook("cut")
    with pytest.raises(LinkbenchError, match="failed at restore"):
        hook("restore")
    assert (tmp_path / "site cut.log").read_text() == "tokyo cut\ntokyo restore\n"
