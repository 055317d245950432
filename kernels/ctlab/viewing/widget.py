"""The viewer as a widget: its state as traits, its pictures as answers to what the browser asks. The volume stays in the kernel.

The first pictures come along with the widget. The traits of what is shown are not synchronised by ipywidgets: the browser sends
what it changes with its next question, and hears what a cell changes in a message. So a slow line never plays an old state back to
the person who has gone on.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import msgspec
import traitlets

from ctlab.errors import CtlabError
from ctlab.text import say
from ctlab.viewing import answers
from ctlab.viewing.answers import Answer
from ctlab.viewing.bookmarks import NOTE_LENGTH, Bookmark
from ctlab.viewing.desk import Desk
from ctlab.viewing.early import Early, EarlyError
from ctlab.viewing.flow import Flow, Stats
from ctlab.viewing.messages import Hello, Question, See, State, parse
from ctlab.viewing.pictures import Look, Overlay, picture, png
from ctlab.viewing.planes import PLANES, Projection, Slab
from ctlab.viewing.solid import Rendering
from ctlab.viewing.still import still
from ctlab.viewing.turning import Side
from ctlab.viewing.windows import WINDOWS, Window
from ctlab.volume import Labels
from phrases import N_

MODULE, VERSION = "ctlab-viewer", "1.0.0"
"""The browser half: kernels/ctlab/labextension."""

STILL = "CTLAB_STILL_PICTURES"
"""Environment variable: `none` keeps the picture out of saved notebooks."""

_log = logging.getLogger(__name__)


class Viewer(widgets.DOMWidget):  # type: ignore[misc]  # ipywidgets has no types
    """A CT in a notebook: three planes, windows, labels, measuring, comparing and correcting; made by `ctlab.view`."""

    _model_name = traitlets.Unicode("ViewerModel").tag(sync=True)
    _view_name = traitlets.Unicode("ViewerView").tag(sync=True)
    _model_module = traitlets.Unicode(MODULE).tag(sync=True)
    _view_module = traitlets.Unicode(MODULE).tag(sync=True)
    _model_module_version = traitlets.Unicode(VERSION).tag(sync=True)
    _view_module_version = traitlets.Unicode(VERSION).tag(sync=True)

    _facts = traitlets.Dict().tag(sync=True)
    _first = traitlets.List(traitlets.Bytes()).tag(sync=True)
    """What a view shows before it has an answer: a kernel that runs cells one after the other gives none until it is through."""

    voxel = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int())
    """Where the crosshair is, x, y, z in RAS+, counted from 0; it decides which slices are shown."""
    plane = traitlets.Enum(tuple(PLANES), "axial")
    """Of the arrangements `one` and `compare`."""
    arrangement = traitlets.Enum(("three", "one", "compare", "3d"), "three")
    """Three planes; one; one plane with the prediction, the truth and their differences side by side; or the body turned."""
    window = traitlets.Enum(("", *WINDOWS), "lung")
    """A preset's name; empty while `width` and `level` are none of the presets."""
    width = traitlets.Float(1500.0)
    """HU."""
    level = traitlets.Float(-600.0)
    """HU."""
    inverted = traitlets.Bool(default_value=False)
    slab_mm = traitlets.Float(0.0, min=0.0)
    """Thickness of what is shown; 0: one slice."""
    projection = traitlets.Enum(tuple(map(str, Projection)), str(Projection.MAXIMUM))
    overlay = traitlets.Enum(tuple(map(str, Overlay)), str(Overlay.NONE))
    """What is laid over the CT: "labels", "truth", "both" (the truth as outlines), "differences", or "none"."""
    outline = traitlets.Bool(default_value=False)
    opacity = traitlets.Float(0.4, min=0.0, max=1.0)
    hatched = traitlets.Bool(default_value=False)
    hidden = traitlets.Tuple(())
    """Label values that are not drawn."""
    rendering = traitlets.Enum(tuple(map(str, Rendering)), str(Rendering.MAXIMUM))
    """Of the arrangement `3d`: the labels' surfaces, or the highest HU along each ray (MIP) in the window."""
    azimuth = traitlets.Float(0.0)
    """Degrees round the body, from -180 up to 180: 0 is from the front, 90 from the patient's left."""
    elevation = traitlets.Float(0.0)
    """Degrees up towards the head (90) and down towards the feet (-90)."""

    def __init__(self, desk: Desk | Early, window: str) -> None:
        """Shows what is on `desk`, first where its labels are, in the preset `window`; or what stands for it until `settle`."""
        self._coming: Future[Desk] = Future()
        self._flow = Flow()
        self._lock = threading.RLock()
        self._asking, self._choosing = "", False
        self._views: set[str] = set()
        super().__init__(_facts={}, _first=[])
        self.window = window
        if isinstance(desk, Early):
            self._show(desk.told(), [desk.picture(Look(Window(self.width, self.level)))])
        else:
            self._put(desk)
        self.observe(self._changed, list(State.__struct_fields__))
        self.on_msg(self._heard)

    @property
    def _desk(self) -> Desk:
        """What is shown. Waits until it is known; raises the CtlabError that it turned out to be."""
        return self._coming.result()

    def settle(self, make: Callable[[], Desk]) -> None:
        """Puts the desk that `make` makes in place of what stood for it, or tells why there is none. From any thread, once."""
        try:
            self._put(make())
        except Exception as error:
            if not self._coming.done():
                self._coming.set_exception(error)
            known = isinstance(error, CtlabError)
            with self._lock:
                told = str(error) if known else str(self._unforeseen(error))
                self._show({**self._facts, "is": "early", "text": "", "refused": told}, [])
            if not known:
                raise

    def _unforeseen(self, error: Exception) -> CtlabError:
        text = N_(
            "{case}: it can't be shown ({error}). Nothing was changed; run the cell again, and if it stays so, tell the "
            "administrator."
        )
        return EarlyError(text, case=self._facts["name"], error=repr(error))

    def tell(self, text: str) -> None:
        """Says more of what is waited for. For `make` of `settle`, from its thread."""
        # Without the lock: who waits for the desk may hold it.
        self._show({**self._facts, "text": f"{self._facts['text']} {text}"}, self._first)

    def _put(self, desk: Desk) -> None:
        # First: whoever waits for it may hold the lock.
        self._coming.set_result(desk)
        with self._lock:
            self._show(answers.hello(desk, self.state).content, self._pictures())
        desk.begin(self.arriving)

    def _show(self, facts: dict[str, object], first: list[bytes]) -> None:
        with self.hold_sync():
            self._facts, self._first = facts, first

    @traitlets.default("voxel")
    def _begin_voxel(self) -> tuple[int, int, int]:
        return self._desk.first_voxel()

    @traitlets.default("overlay")
    def _begin_overlay(self) -> str:
        has = self._desk.layers
        return str(Overlay.NONE if has.labels is None else Overlay.LABELS if has.truth is None else Overlay.BOTH)

    @traitlets.default("rendering")
    def _begin_rendering(self) -> str:
        return str(Rendering.MAXIMUM if self.overlay == Overlay.NONE else Rendering.SURFACES)

    def _pictures(self) -> list[bytes]:
        """Of the three planes, empty for one that needs the rest of a case that is still being read."""
        late = self._desk.show(self.voxel, PLANES.values(), self.look.slab)
        shown = ((plane, self.voxel[plane.axis]) for plane in PLANES.values())
        return [b"" if plane in late else png(picture(self._desk.layers, plane, index, self.look)) for plane, index in shown]

    def arriving(self) -> None:
        """Tells all views how much of the case is there, or that it turned out to be none that may be shown. From any thread."""
        self.send({"is": "arriving", "view": "", **answers.arriving(self._desk)})

    @property
    def labels(self) -> Labels | None:
        """The labels as they are now, corrections included, as an image of their own."""
        with self._lock:
            return self._desk.labels

    def fill_between(self, value: int, plane: str = "axial") -> int:
        """Label `value` between the slices of `plane` that have it, as the button does; how many voxels changed.

        Raises LabelError where no slice lies between two that have it, KeyError for an unknown plane.
        """
        with self._lock:
            changed = self._desk.fill(PLANES[plane], value)
            if changed and self.overlay == Overlay.NONE:
                self.overlay = Overlay.LABELS
            self._changed({})
        return changed

    def bookmark(self, note: str) -> Bookmark:
        """A bookmark where the crosshair is, kept with those that are there; a view that is open lists it when it is opened again.

        Raises BookmarkError when they can't be read or written.
        """
        with self._lock:
            self._desk.read_bookmarks()
            return answers.bookmark(self._desk, self._here, note[:NOTE_LENGTH])

    def save(self) -> str:
        """The corrected labels as a new version; the path of its file. Raises a CtlabError when there is none to save."""
        with self._lock:
            return str(self._desk.save()[1])

    def stats(self) -> Stats:
        """How many pictures, bytes and milliseconds so far."""
        with self._lock:
            return self._flow.stats()

    @property
    def look(self) -> Look:
        """How pictures are made now."""
        return Look(
            Window(self.width, self.level),
            self.inverted,
            Slab(self.slab_mm, Projection(self.projection)),
            Overlay(self.overlay),
            self.outline,
            self.opacity,
            self.hatched,
            frozenset(self.hidden),
        )

    @property
    def state(self) -> State:
        """All traits of the person's, as the browser hears them."""
        return State(**{name: getattr(self, name) for name in State.__struct_fields__})

    @property
    def _here(self) -> answers.Here:
        return answers.Here(self.voxel, self.plane, self.look, Side(self.azimuth, self.elevation), Rendering(self.rendering))

    @traitlets.validate("azimuth", "elevation")
    def _degrees(self, proposal: dict[str, Any]) -> float:
        name = proposal["trait"].name
        return float(getattr(Side(**{name: proposal["value"]}).bounded(), name))

    @traitlets.validate("voxel")
    def _inside(self, proposal: dict[str, Any]) -> tuple[int, int, int]:
        x, y, z = proposal["value"]
        shape = self._desk.ct.geometry.shape
        if any(not 0 <= each < count for each, count in zip((x, y, z), shape, strict=True)):
            raise traitlets.TraitError(
                say(N_("There is no voxel {voxel} here: the CT has {shape}."), voxel=(x, y, z), shape=" × ".join(map(str, shape)))
            )
        return x, y, z

    @traitlets.validate("overlay")
    def _there(self, proposal: dict[str, Any]) -> str:
        overlay = Overlay(proposal["value"])
        if overlay not in answers.overlays(self._desk):
            names = ", ".join(each.value for each in answers.overlays(self._desk))
            raise traitlets.TraitError(
                say(N_("There is no {name} to lay over this CT. Choose one of: {names}."), name=overlay.value, names=names)
            )
        return str(overlay)

    @traitlets.validate("hidden")
    def _values(self, proposal: dict[str, Any]) -> tuple[int, ...]:
        if not all(isinstance(each, int) and 0 < each < 256 for each in proposal["value"]):
            raise traitlets.TraitError(say(N_("A label value is a whole number from 1 to 255.")))
        return tuple(sorted(set(proposal["value"])))

    @traitlets.observe("window")
    def _preset(self, change: dict[str, Any]) -> None:
        if change["new"]:
            chosen = WINDOWS[change["new"]]
            self._choosing = True
            self.width, self.level = chosen.width, chosen.level
            self._choosing = False

    @traitlets.observe("width", "level")
    def _of_a_preset(self, _: dict[str, Any]) -> None:
        if not self._choosing:
            here = Window(self.width, self.level)
            self.window = next((name for name, window in WINDOWS.items() if window == here), "")

    def _changed(self, _: dict[str, Any]) -> None:
        """Tells every view but the one whose change it is."""
        if self._views - {self._asking}:
            self.send(
                {"is": "state", "view": "", "but": self._asking, "state": answers.told(self.state), "revision": self._desk.revision}
            )

    def _heard(self, _: object, content: object, _buffers: object) -> None:
        with self._lock:
            try:
                question = parse(content)
            except msgspec.ValidationError as error:
                _log.warning("a viewer was asked what it does not know: %s", error)
                return
            self._views.add(question.view)
            try:
                self._check_open()
                with self._for(question.view):
                    answer = self._answer(question)
            except CtlabError as error:
                answer = Answer({"is": "problem", "text": str(error)})
            self.send({**answer.content, "view": question.view, "number": question.number}, answer.buffers)

    def _check_open(self) -> None:
        if not self._coming.done():
            raise EarlyError(
                N_(
                    "This picture is preliminary: the series is still being read. Nothing can be measured or changed before it "
                    "is known."
                )
            )

    def _answer(self, question: Question) -> Answer:
        if isinstance(question, See):
            self._take(question.state)
            self._flow.seen(question.took_ms)
            return answers.frame(self._desk, question, self._here, self._flow)
        if isinstance(question, Hello):
            return answers.hello(self._desk, self.state)
        answer = answers.answer(self._desk, question, self._here)
        if self.overlay == Overlay.NONE and self._desk.correction is not None and answer.content.get("changed"):
            self.overlay = Overlay.LABELS
        return answer

    def _take(self, state: State) -> None:
        """What the person changed; what lies beyond the volume or beyond sense becomes the nearest that doesn't."""
        shape = self._desk.ct.geometry.shape
        if state.voxel is not None:
            self.voxel = tuple(min(max(each, 0), count - 1) for each, count in zip(state.voxel, shape, strict=True))
        if state.width is not None or state.level is not None:
            window = Window(state.width or self.width, self.level if state.level is None else state.level).bounded()
            self.width, self.level = window.width, window.level
        if state.overlay in answers.overlays(self._desk):
            self.overlay = state.overlay
        if state.opacity is not None:
            self.opacity = min(max(state.opacity, 0.0), 1.0)
        if state.slab_mm is not None:
            self.slab_mm = min(max(state.slab_mm, 0.0), 1000.0)
        if state.hidden is not None:
            self.hidden = tuple(each for each in state.hidden if each)
        for name in ("plane", "arrangement", "inverted", "projection", "outline", "hatched", "rendering", "azimuth", "elevation"):
            if (value := getattr(state, name)) is not None:
                setattr(self, name, value)

    @contextmanager
    def _for(self, view: str) -> Iterator[None]:
        self._asking = view
        try:
            yield
        finally:
            self._asking = ""

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        bundle: dict[str, object] = super()._repr_mimebundle_(**kwargs)
        # Of a series that isn't known no picture is kept: whoever opens the notebook later would take it for the case.
        if os.environ.get(STILL) != "none" and self._coming.done() and self._coming.exception() is None:
            with self._lock:
                late = self._desk.show(self.voxel, PLANES.values(), self.look.slab)
                planes = [plane for plane in PLANES.values() if plane not in late]
                bundle["image/png"] = still(self._desk.layers, self.voxel, self.look, planes)
        return bundle
