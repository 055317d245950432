"""What the browser asks of a viewer, as typed values. Whatever does not fit these types is refused before anything is done.

A question names the `view` that asked (several may show one viewer) and a number; the answer repeats both.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ctlab.viewing.bookmarks import NOTE_LENGTH
from ctlab.viewing.correcting import Limits
from ctlab.viewing.pictures import Overlay
from ctlab.viewing.planes import Projection
from ctlab.viewing.solid import Rendering

PlaneName = Literal["axial", "coronal", "sagittal"]
SOLID = "3d"
"""The pane that shows the body turned, beside the planes' names."""
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Value = Annotated[int, msgspec.Meta(ge=0, le=255)]
Place = Annotated[float, msgspec.Meta(ge=-(2**20), le=2**20)]
Point = tuple[Place, Place]
"""Column and row, in voxels."""
Points = Annotated[list[Point], msgspec.Meta(min_length=1, max_length=5000)]


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is shown, as far as it changes: the viewer's traits of the same names."""

    voxel: tuple[int, int, int] | None = None
    plane: PlaneName | None = None
    arrangement: Literal["one", "three", "compare", "3d"] | None = None
    width: float | None = None
    level: float | None = None
    inverted: bool | None = None
    slab_mm: float | None = None
    projection: Projection | None = None
    overlay: Overlay | None = None
    outline: bool | None = None
    opacity: float | None = None
    hatched: bool | None = None
    hidden: Annotated[list[Value], msgspec.Meta(max_length=255)] | None = None
    rendering: Rendering | None = None
    azimuth: float | None = None
    elevation: float | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    """What all questions have."""

    view: Annotated[str, msgspec.Meta(max_length=40)]
    number: Number = 0


class Hello(Asked, frozen=True, kw_only=True, tag="hello"):
    """A view begins: what is there to show?"""


class Pane(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a frame; `overlay` where it differs from the viewer's own."""

    plane: PlaneName | Literal["3d"]
    overlay: Overlay | None = None


class See(Asked, frozen=True, kw_only=True, tag="see"):
    """A frame, after `state` has been taken over."""

    state: State = State()
    panes: Annotated[list[Pane], msgspec.Meta(min_length=1, max_length=4)]
    exact: bool = False
    took_ms: float = 0.0
    """From asking to seeing, of the last frame that this view showed; 0: none yet."""


class Probe(Asked, frozen=True, kw_only=True, tag="probe"):
    """What is under a place of a slice?"""

    plane: PlaneName
    index: Number
    point: Point


class Measure(Asked, frozen=True, kw_only=True, tag="measure"):
    """A ruler (two points), an angle (three, its corner second) or an elliptic region (two corners)."""

    kind: Literal["ruler", "angle", "region"]
    plane: PlaneName
    index: Number
    points: Annotated[list[Point], msgspec.Meta(min_length=2, max_length=3)]


class Draw(Asked, frozen=True, kw_only=True, tag="draw"):
    """A stroke of the brush or a lasso; `value` 0 erases."""

    kind: Literal["brush", "lasso"]
    plane: PlaneName
    index: Number
    points: Points
    value: Value
    radius_mm: Annotated[float, msgspec.Meta(ge=0, le=500)] = 0.0
    hu: tuple[int, int] | None = None
    only: Value | None = None

    def limits(self) -> Limits:
        """Which voxels it may change."""
        return Limits(self.hu, self.only)


class Act(Asked, frozen=True, kw_only=True, tag="act"):
    """Something without further words."""

    what: Literal["undo", "redo", "fill", "save", "volumes", "compare", "worst", "bookmarks"]
    value: Value = 0
    plane: PlaneName = "axial"


class Mark(Asked, frozen=True, kw_only=True, tag="mark"):
    """A bookmark here, with a note."""

    note: Annotated[str, msgspec.Meta(max_length=NOTE_LENGTH)]


class Unmark(Asked, frozen=True, kw_only=True, tag="unmark"):
    """Away with the bookmark at this place of the list."""

    place: Number


Question = Hello | See | Probe | Measure | Draw | Act | Mark | Unmark


def parse(content: object) -> Question:
    """The question in what a browser sent. Raises msgspec.ValidationError when it is none."""
    found: Question = msgspec.convert(content, Question)
    return found
