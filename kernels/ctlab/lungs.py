"""Lungs and inflammation in them as numbers: millilitres of each lung, and how much of it is inflamed.

A label image says lung and inflammation, not whose side. Which lung is the right one is decided by where it lies in the patient
(world coordinates, RAS+: x grows to the right), never by the order of voxels. Inflamed lung counts as lung: the volume of a
lung is that of both labels together.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ctlab.errors import LabelError
from ctlab.files import whole
from ctlab.lungsides import LEFT, RIGHT, sides
from ctlab.text import plain_cell, say
from ctlab.volume import Labels, Volume
from phrases import N_

BODY_ABOVE_HU = -500
"""What counts as body for finding its middle."""

CSV_HEAD = (
    "case", "right_lung_ml", "right_affected_ml", "right_affected_percent", "left_lung_ml", "left_affected_ml",
    "left_affected_percent", "lungs_ml", "affected_ml", "affected_percent",
)  # fmt: skip
"""The same in both languages: programs read it."""


@dataclass(frozen=True)
class Lung:
    """One lung, or both together."""

    lung_ml: float
    """Volume, inflamed or not."""
    affected_ml: float
    """Of it inflamed."""

    @property
    def percent(self) -> float | None:
        """Inflamed part in percent; None when there is no lung."""
        return 100 * self.affected_ml / self.lung_ml if self.lung_ml else None


@dataclass(frozen=True, repr=False)
class LungReport:
    """Both lungs of one case; a notebook shows it as a table."""

    case: str
    right: Lung
    left: Lung

    @property
    def both(self) -> Lung:
        """Right and left together."""
        return Lung(self.right.lung_ml + self.left.lung_ml, self.right.affected_ml + self.left.affected_ml)

    def __repr__(self) -> str:
        return repr(LungTable((self,)))

    def _repr_html_(self) -> str:
        return LungTable((self,))._repr_html_()


@dataclass(frozen=True, repr=False)
class LungTable:
    """Lungs of some cases; a notebook shows it as a table."""

    reports: tuple[LungReport, ...]

    def save(self, path: str | Path) -> Path:
        """Writes a table (CSV, a row a case) that a spreadsheet opens; it appears whole or not at all."""
        with whole(Path(path)) as draft, draft.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(CSV_HEAD)
            for each in self.reports:
                writer.writerow([plain_cell(each.case), *_exact(each.right), *_exact(each.left), *_exact(each.both)])
        return Path(path)

    def __repr__(self) -> str:
        return "\n".join("\t".join(row) for row in self._rows())

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        lines = ["".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)]
        for first, *others in body:
            lines.append(f'<th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in others))
        caption = escape(say(N_("Lungs: volume with inflammation, and the inflamed part")))
        return f"<table><caption>{caption}</caption>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def _rows(self) -> list[tuple[str, ...]]:
        head = (N_("case"), N_("side"), N_("lung, ml"), N_("inflamed, ml"), N_("inflamed, %"))
        rows = [tuple(map(say, head))]
        for each in self.reports:
            named = ((N_("right"), each.right), (N_("left"), each.left), (N_("both"), each.both))
            rows += [(each.case, say(side), *_shown(lung)) for side, lung in named]
        return rows


def lung_report(ct: Volume, labels: Labels, *, lung: Sequence[int] = (1,), inflammation: Sequence[int] = (2,)) -> LungReport:
    """Both lungs of `ct` by its label image; `lung` and `inflammation` are the label values that stand for them.

    Raises LabelError when the label image doesn't lie on the grid of `ct`, or no voxel is lung or inflammation.
    """
    labels.check_fits(ct)
    inflamed = np.isin(labels.voxels, inflammation)
    marked = inflamed | np.isin(labels.voxels, lung)
    if not marked.any():
        raise LabelError(N_("{case}: the label image marks neither lung nor inflammation."), case=labels.name)
    side = sides(marked, labels.geometry.affine, _middle_mm(ct))

    def of(which: int) -> Lung:
        here = side == which
        ml = labels.geometry.voxel_ml
        return Lung(int(np.count_nonzero(here)) * ml, int(np.count_nonzero(here & inflamed)) * ml)

    return LungReport(labels.name, of(RIGHT), of(LEFT))


def lung_table(
    cases: Iterable[tuple[Volume, Labels]], *, lung: Sequence[int] = (1,), inflammation: Sequence[int] = (2,)
) -> LungTable:
    """`lung_report` of each case, read one after the other. Raises LabelError as it does."""
    return LungTable(tuple(lung_report(ct, labels, lung=lung, inflammation=inflammation) for ct, labels in cases))


def _middle_mm(ct: Volume) -> float:
    """World x of the middle of everything that is no air."""
    count, places = 0, np.zeros(3)
    for x, plane in enumerate(ct.voxels):  # one after the other: a mask of the whole would be as large as the CT
        body = plane > BODY_ABOVE_HU
        here = int(np.count_nonzero(body))
        rows, columns = body.sum(axis=1), body.sum(axis=0)
        places += (x * here, rows @ np.arange(len(rows)), columns @ np.arange(len(columns)))
        count += here
    centre = places / count if count else (np.array(ct.voxels.shape) - 1) / 2
    return float(ct.geometry.affine[0, :3] @ centre + ct.geometry.affine[0, 3])


def _exact(lung: Lung) -> tuple[str, ...]:
    return (f"{lung.lung_ml:.6g}", f"{lung.affected_ml:.6g}", "" if lung.percent is None else f"{lung.percent:.6g}")


def _shown(lung: Lung) -> tuple[str, ...]:
    return (f"{lung.lung_ml:.0f}", f"{lung.affected_ml:.1f}", "–" if lung.percent is None else f"{lung.percent:.1f}")
