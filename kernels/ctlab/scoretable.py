"""Scores as tables: for the notebook (HTML without any script), as text, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ctlab.bootstrap import Estimate
from ctlab.files import whole
from ctlab.metrics import Finding, Marks
from ctlab.text import plain_cell, say
from phrases import N_

if TYPE_CHECKING:
    from ctlab.scores import Scores

DASH = "–"

CSV_HEAD = ("case", "patient", "label", "name", "finding", "dice", "hd95_mm", "nsd", "truth_ml", "prediction_ml", "error_ml")
"""The same in both languages: programs read it."""

ABSENT = "absent"
"""The finding of a label that neither truth nor prediction has."""

HOW = N_(
    "Worst case first. In brackets: the interval that holds the mean with 95 % (drawn over patients; with fewer than about 20 it "
    "is too narrow). A label that only truth or only prediction has counts as Dice 0, NSD 0 and, for HD95, the image's diagonal. A "
    "label that neither has is in no mean."
)


@dataclass(frozen=True)
class _Table:
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def html(self) -> str:
        lines = ["".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.head)]
        for first, *others in self.rows:
            lines.append(f'<th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in others))
        return f"<table><caption>{escape(self.caption)}</caption>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def text(self) -> str:
        return "\n".join([self.caption, *("\t".join(row) for row in (self.head, *self.rows))])


def html(scores: Scores) -> str:
    """All labels in one table, then a table of cases for each label, folded when there are more than three."""
    shown = " open" if len(scores.names) <= 3 else ""
    parts = [_overview(scores).html(), f"<p>{escape(say(HOW))}</p>"]
    for value in scores.names:
        table = _cases(scores, value)
        parts.append(f"<details{shown}><summary>{escape(table.caption)}</summary>{table.html()}</details>")
    return "".join(parts)


def text(scores: Scores) -> str:
    """The same as lines of text."""
    return "\n\n".join([_overview(scores).text(), *(_cases(scores, value).text() for value in scores.names), say(HOW)])


def save(scores: Scores, path: Path) -> Path:
    """Writes CSV with a row for each case and label; returns `path`."""
    with whole(path) as draft, draft.open("w", encoding="utf-8-sig", newline="") as stream:  # the mark tells Excel the encoding
        writer = csv.writer(stream)
        writer.writerow(CSV_HEAD)
        writer.writerows(_csv_rows(scores))
    return path


def _csv_rows(scores: Scores) -> Iterator[tuple[object, ...]]:
    for score in scores.cases:
        for value, name in scores.names.items():
            marks = score.marks.get(value)
            first = (plain_cell(score.case.name), plain_cell(score.patient), value, plain_cell(name))
            yield (*first, marks.finding, *_numbers(marks)) if marks else (*first, ABSENT, "", "", "", 0, 0, 0)


def _numbers(marks: Marks) -> tuple[str, ...]:
    exact = (marks.dice, marks.hd95_mm, marks.nsd, marks.truth_ml, marks.prediction_ml, marks.error_ml)
    return tuple(f"{number:.6g}" for number in exact)


def _overview(scores: Scores) -> _Table:
    head = (
        N_("label"), N_("cases with it"), N_("missed"), N_("only predicted"), "Dice", N_("HD95, mm"), "NSD", N_("error, ml"),
        N_("size of error, ml"),
    )  # fmt: skip
    rows = []
    for value, name in scores.names.items():
        found = scores.summary(value)
        counts = found.findings[Finding.MISSED], found.findings[Finding.INVENTED]
        having = say(N_("{some} of {all}"), some=sum(found.findings.values()), all=found.cases)
        rows.append((
            name, having, *map(str, counts), _interval(found.dice, 3), _interval(found.hd95_mm, 1), _interval(found.nsd, 3),
            _interval(found.error_ml, 1, signed=True), _interval(found.distance_ml, 1),
        ))  # fmt: skip
    return _Table(say(N_("All cases; NSD within {mm:g} mm"), mm=scores.tolerance_mm), tuple(map(say, head)), tuple(rows))


def _cases(scores: Scores, value: int) -> _Table:
    head = (N_("case"), "Dice", N_("HD95, mm"), "NSD", N_("truth, ml"), N_("prediction, ml"), N_("error, ml"), "")
    having = [(score.case.name, score.marks[value]) for score in scores.cases if value in score.marks]
    ordered = sorted(having, key=lambda each: (each[1].dice, each[0]))
    return _Table(scores.names[value], tuple(say(cell) if cell else "" for cell in head), _rows(ordered))


def _rows(cases: Sequence[tuple[str, Marks]]) -> tuple[tuple[str, ...], ...]:
    remarks = {Finding.FOUND: "", Finding.MISSED: say(N_("missed")), Finding.INVENTED: say(N_("only predicted"))}
    return tuple(
        (
            name, f"{marks.dice:.3f}", f"{marks.hd95_mm:.1f}", f"{marks.nsd:.3f}", f"{marks.truth_ml:.1f}",
            f"{marks.prediction_ml:.1f}", f"{marks.error_ml:+.1f}", remarks[marks.finding],
        )
        for name, marks in cases
    )  # fmt: skip


def _interval(found: Estimate | None, digits: int, *, signed: bool = False) -> str:
    if found is None:
        return DASH
    sign = "+" if signed else ""
    mean = f"{found.mean:{sign}.{digits}f}"
    if not math.isfinite(found.low):  # one patient
        return mean
    return f"{mean} ({found.low:{sign}.{digits}f} – {found.high:{sign}.{digits}f})"
