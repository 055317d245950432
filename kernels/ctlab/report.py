"""A cohort at a glance, as a page of a notebook: how many cases, how fine, what HU, how much of each label, a picture of each.

HTML without any script, everything in it: what it shows are numbers and small pictures, which travel to the browser.
"""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from ctlab.facts import BIN_HU, BINS, LOWEST_HU, Facts, facts_of
from ctlab.files import whole
from ctlab.text import say
from phrases import N_, process_language

if TYPE_CHECKING:
    from ctlab.cohort import Cohort, Problem

PART_NAMES = {"train": N_("training"), "val": N_("validation")}


@dataclass(frozen=True, repr=False)
class Report:
    """What a cohort holds. A notebook shows it as a page; `save` writes that page."""

    title: str
    cases: tuple[Facts, ...]
    problems: tuple[Problem, ...]
    names: Mapping[int, str]

    def __repr__(self) -> str:
        lines = [self._summary()]
        lines += ["\t".join(row) for row in self._label_rows()]
        lines += [say(N_("left out: {text}"), text=problem.text) for problem in self.problems]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<h2>{escape(self.title)}</h2>", f"<p>{escape(self._summary())}</p>"]
        if self.problems:
            items = "".join(f"<li>{escape(problem.text)}</li>" for problem in self.problems)
            parts.append(f"{_heading(_LEFT_OUT)}<ul>{items}</ul>")
        if self.cases:
            parts.append(_heading(_LABELS) + _table(*self._label_rows()))
            parts.append(f"{_heading(_UNITS)}<p>{_said(_HISTOGRAM)}</p>")
            parts.append(_image(_histogram(self.cases), say(N_("Histogram of Hounsfield units"))))
            parts.append(_heading(_CASES) + _table(*self._case_rows()) + self._pictures())
        return f'<div lang="{process_language()}">{"".join(parts)}</div>'

    def save(self, path: str | Path) -> Path:
        """Writes the page to an HTML file, which appears whole or not at all."""
        head = f'<meta charset="utf-8"><title>{escape(self.title)}</title>'
        page = f'<!DOCTYPE html><html lang="{process_language()}"><head>{head}</head><body>{self._repr_html_()}</body></html>'
        with whole(Path(path)) as draft:
            draft.write_text(page, "utf-8")
        return Path(path)

    def _summary(self) -> str:
        count = {part: sum(case.part == part for case in self.cases) for part in PART_NAMES}
        return say(
            N_("{train} training and {val} validation cases can be used, {out} can't."),
            train=count["train"], val=count["val"], out=len(self.problems),
        )  # fmt: skip

    def _label_rows(self) -> list[tuple[str, ...]]:
        """How much of each label the cases have that have it."""
        head = (N_("label"), N_("cases with it"), N_("least, ml"), N_("median, ml"), N_("most, ml"))
        rows = [tuple(say(each) for each in head)]
        for value in sorted({*self.names, *(value for case in self.cases for value in case.ml)}):
            found = [case.ml[value] for case in self.cases if value in case.ml]
            amounts = [f"{each(found):.1f}" for each in (min, statistics.median, max)] if found else ["–"] * 3
            some = say(N_("{some} of {all}"), some=len(found), all=len(self.cases))
            rows.append((f"{value} {self._name(value)}", some, *amounts))
        return rows

    def _case_rows(self) -> list[tuple[str, ...]]:
        values = sorted({value for case in self.cases for value in case.ml})
        head = [say(each) for each in (N_("case"), N_("part"), N_("voxels"), N_("spacing, mm"), N_("stored"))]
        rows = [(*head, "HU", *(f"{self._name(value)}, ml" for value in values))]
        for case in self.cases:
            shape, spacing = " × ".join(map(str, case.shape)), " × ".join(f"{step:.2f}" for step in case.spacing)
            hu = say(N_("{low} to {high}"), low=case.lowest, high=case.highest)
            amounts = (f"{case.ml[value]:.1f}" if value in case.ml else "–" for value in values)
            rows.append((case.name, say(PART_NAMES[case.part]), shape, spacing, case.stored, hu, *amounts))
        return rows

    def _pictures(self) -> str:
        figures = []
        for case in self.cases:
            caption = f"<figcaption>{escape(case.name)}</figcaption>"
            picture = _image(case.thumbnail, case.name)
            figures.append(f'<figure style="display:inline-block;margin:.3em">{picture}{caption}</figure>')
        return f"<p>{_said(_PICTURES)}</p>{''.join(figures)}"

    def _name(self, value: int) -> str:
        return self.names.get(value) or say(N_("label {number}"), number=value)


_LEFT_OUT, _LABELS, _UNITS, _CASES = N_("Left out"), N_("Labels"), N_("Hounsfield units"), N_("Cases")
_HISTOGRAM = N_(
    "Line: the median case. Band: nine of ten cases. Air is -1000, water 0; a case far from the band was stored otherwise."
)
_PICTURES = N_("The coronal slice with most of the labels, seen from the front: the patient's right is on the left.")


def report(cohort: Cohort, show: Callable[[str], None] = print) -> Report:
    """Reads every case of `cohort` and says what is in it; what can't be used is named, and also in `cohort.problems`."""
    found: list[Facts] = []
    called = {value: [name] for value, name in cohort.names.items()}
    count = len(cohort.train) + len(cohort.val)
    for part, cases in zip(PART_NAMES, (cohort.train, cohort.val), strict=True):
        for case, ct, labels in cohort.loaded(cases):
            found.append(facts_of(part, ct, labels))
            for value, name in labels.names.items():
                if name not in called.setdefault(value, []):
                    called[value].append(name)
            show(say(N_("{done} of {all}: {case} was read"), done=len(found), all=count, case=case.name))
    # Cases that call one number differently show it here: they can't be trained together.
    names = {value: " / ".join(each) for value, each in called.items()}
    return Report(cohort.folder.name, tuple(found), cohort.problems, names)


def _histogram(cases: Sequence[Facts]) -> bytes:
    """The picture, whose few words are the same in every language: no Japanese font is needed for it."""
    parts = np.stack([case.histogram for case in cases]) * 100
    low, middle, high = np.percentile(parts, (5, 50, 95), axis=0)
    centres = LOWEST_HU + BIN_HU * (np.arange(BINS) + 0.5)
    chart = Figure(figsize=(8, 2.6), layout="constrained")
    axes = chart.subplots()
    axes.fill_between(centres, low, high, color="0.8")
    axes.plot(centres, middle, color="black", linewidth=1)
    axes.set(xlabel="HU", ylabel="%", yscale="symlog", xlim=(centres[0], centres[-1]), ylim=(0, None))
    axes.grid(alpha=0.3)
    stream = io.BytesIO()
    chart.savefig(stream, format="png", dpi=90)
    return stream.getvalue()


def _image(content: bytes, text: str) -> str:
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'


def _table(head: Iterable[str], *rows: Iterable[str]) -> str:
    first = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = []
    for name, *cells in rows:
        lines.append(f'<th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells))
    return f"<table><thead><tr>{first}</tr></thead><tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"


def _heading(text: str) -> str:
    return f"<h3>{_said(text)}</h3>"


def _said(text: str) -> str:
    return escape(say(text))
