"""Answers to what the browser asks about a case: content that becomes JSON, and pictures beside it."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace

import msgspec

from ctlab.errors import CtlabError
from ctlab.text import say
from ctlab.viewing import measures, words
from ctlab.viewing.bookmarks import Bookmark
from ctlab.viewing.desk import Desk
from ctlab.viewing.flow import Flow
from ctlab.viewing.messages import SOLID, Act, Draw, Mark, Measure, Probe, Question, See, State, Unmark
from ctlab.viewing.overlays import MATCH_STYLES, Match
from ctlab.viewing.palette import Style, style
from ctlab.viewing.pictures import Look, Overlay, jpeg, picture, png
from ctlab.viewing.planes import PLANES, Plane, Voxel, picture_shape, pixel_mm
from ctlab.viewing.solid import PIXELS, Rendering, across_mm
from ctlab.viewing.turning import Side
from ctlab.viewing.versions import now, person
from ctlab.viewing.windows import SOURCES, WINDOWS, Bytes
from phrases import N_


@dataclass(frozen=True)
class Answer:
    """One message to the browser."""

    content: dict[str, object]
    buffers: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Here:
    """What is on the screen."""

    voxel: Voxel
    plane: str
    look: Look
    side: Side
    rendering: Rendering


def overlays(desk: Desk) -> tuple[Overlay, ...]:
    """What can be laid over this case's CT."""
    has = desk.layers
    if has.truth is not None:
        return tuple(Overlay)
    return (Overlay.NONE, Overlay.LABELS) if has.labels is not None else (Overlay.NONE,)


def told(state: State) -> dict[str, object]:
    """`state` as JSON."""
    found: dict[str, object] = msgspec.to_builtins(state)
    return found


def hello(desk: Desk, state: State) -> Answer:
    """All that does not change: the case, its planes, what there is to choose from, and the words for it."""
    try:
        desk.read_bookmarks()
        problem = ""
    except CtlabError as error:
        problem = str(error)
    geometry = desk.ct.geometry
    planes = {}
    for name, plane in PLANES.items():
        rows, columns = picture_shape(geometry.shape, plane)
        planes[name] = {
            "axis": plane.axis, "inside": plane.inside, "letters": plane.letters, "rows": rows, "columns": columns,
            "mm": pixel_mm(geometry, plane),
        }  # fmt: skip
    content: dict[str, object] = {
        "is": "hello", "name": desk.ct.name, "shape": geometry.shape, "spacing": geometry.spacing, "planes": planes,
        "solid": {"rows": PIXELS, "columns": PIXELS, "mm": [across_mm(geometry) / PIXELS] * 2},
        "windows": [{"name": name, **asdict(each), "source": SOURCES[name]} for name, each in WINDOWS.items()],
        "overlays": [each.value for each in overlays(desk)], "compared": desk.truth is not None,
        "labels": _named(desk, sorted(desk.names)), "matches": _matches(), "words": words.spoken(),
        "about": _about(desk), "problem": problem, "bookmarks": _bookmarks(desk),
        "state": told(state), "revision": desk.revision, "correctable": not desk.turned_degrees, **arriving(desk),
    }  # fmt: skip
    return Answer(content)


def arriving(desk: Desk) -> dict[str, object]:
    """How much of the case is there, and, when it turned out to be none that may be shown, why."""
    return {"share": desk.share, "refused": desk.refusal}


def _about(desk: Desk) -> list[str]:
    x, y, z = desk.ct.geometry.shape
    dx, dy, dz = desk.ct.geometry.spacing
    lines = [
        say(N_("{x} × {y} × {z} voxels of {dx:.2f} × {dy:.2f} × {dz:.2f} mm"), x=x, y=y, z=z, dx=dx, dy=dy, dz=dz),
        say(N_("The patient's right is on the left of axial and coronal pictures; the front is on the left of sagittal ones.")),
    ]
    if desk.turned_degrees:
        lines.append(
            say(N_("The scan was turned by {degrees:.0f}° and is shown upright, interpolated."), degrees=desk.turned_degrees)
        )
    return lines


def _named(desk: Desk, values: list[int]) -> list[dict[str, object]]:
    return [{"value": value, "name": desk.name_of(value), **_styled(style(value))} for value in values]


def _matches() -> list[dict[str, object]]:
    return [{"name": say(words.MATCHES[match]), **_styled(MATCH_STYLES[match])} for match in Match]


def _styled(looks: Style) -> dict[str, object]:
    return {"colour": looks.colour, "hatch": looks.hatch}


def frame(desk: Desk, asked: See, here: Here, flow: Flow) -> Answer:
    """The pictures that `asked` names, quick ones or exact ones."""
    begun = time.perf_counter()
    told_of, sent = [], []
    planes = dict.fromkeys(PLANES[pane.plane] for pane in asked.panes if pane.plane != SOLID)
    late = desk.show(here.voxel, planes, here.look.slab)
    for pane in asked.panes:
        pixels: Bytes | None
        own = pane.overlay is None or pane.overlay not in overlays(desk)
        look = here.look if own or pane.overlay is None else replace(here.look, overlay=pane.overlay)
        if pane.plane == SOLID:
            desk.whole()
            index, pixels = 0, desk.solid.picture(desk.layers, here.side, here.rendering, look, exact=asked.exact)
        else:
            plane = PLANES[pane.plane]
            index = here.voxel[plane.axis]
            pixels = None if plane in late else picture(desk.layers, plane, index, look, enlarged=asked.exact)
        if pixels is None:
            sent.append(b"")  # it has not come yet
        else:
            sent.append(png(pixels) if asked.exact else jpeg(pixels, flow.quality))
        told_of.append({"plane": pane.plane, "overlay": pane.overlay and pane.overlay.value, "index": index})
    flow.sent([len(each) for each in sent if each], (time.perf_counter() - begun) * 1000, exact=asked.exact)
    content: dict[str, object] = {
        "is": "frame", "exact": asked.exact, "type": "image/png" if asked.exact else "image/jpeg", "panes": told_of,
        "revision": desk.revision, "voxel": here.voxel, "share": desk.share,
    }  # fmt: skip
    return Answer(content, sent)


def answer(desk: Desk, question: Question, here: Here) -> Answer:
    """The answer to anything but hello and see. Raises a CtlabError whose sentence is the answer."""
    if isinstance(question, Probe):
        return _probed(desk, question)
    if isinstance(question, Measure):
        return _measured(desk, question, here)
    if isinstance(question, Draw):
        plane = PLANES[question.plane]
        changed = desk.draw(
            question.kind, plane, question.index, question.points, question.value,
            radius_mm=question.radius_mm, limits=question.limits(),
        )  # fmt: skip
        return _edited(desk, changed)
    if isinstance(question, Act):
        return _acted(desk, question)
    if isinstance(question, Mark):
        bookmark(desk, here, question.note)
    elif isinstance(question, Unmark):
        desk.keep_bookmarks([each for number, each in enumerate(desk.bookmarks) if number != question.place])
    return Answer({"is": "bookmarks", "bookmarks": _bookmarks(desk)})


def bookmark(desk: Desk, here: Here, note: str) -> Bookmark:
    """A new bookmark at `here`, kept. Raises BookmarkError when it can't be written."""
    width, level = here.look.window.width, here.look.window.level
    place = Bookmark(voxel=here.voxel, plane=here.plane, width=width, level=level, note=note, who=person(), when=now())
    desk.keep_bookmarks([*desk.bookmarks, place])
    return place


def _probed(desk: Desk, asked: Probe) -> Answer:
    found = desk.found_at(PLANES[asked.plane], asked.index, asked.point)
    if found is None:
        return Answer({"is": "probe", "text": ""})
    x, y, z = found.mm
    parts = [f"{found.hu} HU", _patient(x, y, z)]
    if found.label:
        parts.append(desk.name_of(found.label))
    if found.truth:
        parts.append(say(N_("truth: {name}"), name=desk.name_of(found.truth)))
    return Answer({"is": "probe", "voxel": found.voxel, "hu": found.hu, "text": " · ".join(parts)})


def _patient(x: float, y: float, z: float) -> str:
    """Patient coordinates by their sides: R or L, A or P, H or F."""
    sides = (("R", "L"), ("A", "P"), ("H", "F"))
    return (
        " ".join(f"{plus if value >= 0 else minus} {abs(value):.1f}" for (plus, minus), value in zip(sides, (x, y, z), strict=True))
        + " mm"
    )


def _measured(desk: Desk, asked: Measure, here: Here) -> Answer:
    plane = PLANES[asked.plane]
    mm, points = pixel_mm(desk.ct.geometry, plane), asked.points
    if asked.kind == "ruler":
        value = measures.distance_mm(points[0], points[1], mm)
        return Answer({"is": "measured", "value": value, "text": f"{value:.1f} mm"})
    if asked.kind == "angle":
        value = measures.angle_degrees(points[0], points[1], points[-1], mm)
        return Answer({"is": "measured", "value": value, "text": f"{value:.1f}°"})
    found = desk.region(plane, _index(desk, plane, asked.index), (points[0], points[1]), here.look.slab)
    text = say(
        N_("{mean:.1f} ± {sd:.1f} HU ({low} to {high}), {area:.1f} mm²"),
        mean=found.mean, sd=found.sd, low=found.lowest, high=found.highest, area=found.area_mm2,
    )  # fmt: skip
    return Answer({"is": "measured", "value": found.mean, "region": asdict(found), "text": text})


def _index(desk: Desk, plane: Plane, index: int) -> int:
    return min(index, desk.ct.geometry.shape[plane.axis] - 1)


def _edited(desk: Desk, changed: int) -> Answer:
    count = desk.correction.count if desk.correction else 0
    available = [each.value for each in overlays(desk)]
    return Answer({"is": "edited", "changed": changed, "revision": desk.revision, "count": count, "overlays": available})


def _acted(desk: Desk, asked: Act) -> Answer:
    plane = PLANES[asked.plane]
    match asked.what:
        case "undo":
            return _edited(desk, int(desk.undo()))
        case "redo":
            return _edited(desk, int(desk.redo()))
        case "fill":
            return _edited(desk, desk.fill(plane, asked.value))
        case "worst":
            return Answer({"is": "worst", "plane": asked.plane, "index": desk.worst_slice(plane)})
    return _told(desk, asked)


def _told(desk: Desk, asked: Act) -> Answer:
    match asked.what:
        case "save":
            version, path = desk.save()
            text = say(N_("Saved as version {number}: {path}"), number=version.number, path=path)
            return Answer({"is": "saved", "text": text, "file": version.file})
        case "compare":
            return _compared(desk)
        case "volumes":
            return _volumes(desk)
    return Answer({"is": "bookmarks", "bookmarks": _bookmarks(desk)})


def _volumes(desk: Desk) -> Answer:
    found = desk.volumes_ml()
    named = zip(found.values(), _named(desk, list(found)), strict=True)
    return Answer({"is": "volumes", "labels": [{**row, "ml": here, "truth_ml": there} for (here, there), row in named]})


def _compared(desk: Desk) -> Answer:
    agreements = [
        {
            "value": each.value, "name": desk.name_of(each.value), **_styled(style(each.value)), "ml": each.predicted_ml,
            "truth_ml": each.true_ml, "dice": _number(each.dice), "hd95_mm": _number(each.hd95_mm),
        }
        for each in desk.agreements()
    ]  # fmt: skip
    mistakes = [
        {"name": say(words.MATCHES[each.kind]), "ml": each.ml, "voxel": each.voxel, **_styled(MATCH_STYLES[each.kind])}
        for each in desk.mistakes()
    ]
    return Answer({"is": "compared", "agreements": agreements, "mistakes": mistakes})


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def _bookmarks(desk: Desk) -> list[dict[str, object]]:
    return [msgspec.to_builtins(each) for each in desk.bookmarks]
