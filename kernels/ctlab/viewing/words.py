"""What the viewer's controls say, by the names that its browser half knows them by; sent along in the language of the process."""

from __future__ import annotations

from collections.abc import Mapping

from ctlab.text import say
from ctlab.viewing.overlays import Match
from phrases import N_

PLANES: Mapping[str, str] = {"axial": N_("axial"), "coronal": N_("coronal"), "sagittal": N_("sagittal")}
SEEN_FROM: Mapping[str, str] = {
    "axial": N_("seen from the feet"),
    "coronal": N_("seen from the front"),
    "sagittal": N_("seen from the patient's left"),
}
WINDOWS: Mapping[str, str] = {
    "soft tissue": N_("soft tissue"),
    "lung": N_("lung"),
    "liver": N_("liver"),
    "bone": N_("bone"),
    "brain": N_("brain"),
    "mediastinum": N_("mediastinum"),
    "abdomen": N_("abdomen"),
}
OVERLAYS: Mapping[str, str] = {
    "none": N_("hide"),
    "labels": N_("labels"),
    "prediction": N_("prediction"),
    "truth": N_("truth"),
    "both": N_("prediction and truth"),
    "differences": N_("differences"),
}
MATCHES: Mapping[Match, str] = {
    Match.CORRECT: N_("correct"),
    Match.ONLY_PREDICTED: N_("only predicted"),
    Match.ONLY_TRUE: N_("only in the truth"),
    Match.OTHER_LABEL: N_("another label"),
}
CONTROLS: Mapping[str, str] = {
    "viewer": N_("CT viewer"),
    "arrangement": N_("Arrangement"),
    "three": N_("three planes"),
    "one": N_("one plane"),
    "compare": N_("side by side"),
    "3d": N_("3-D"),
    "rendering": N_("3-D shows"),
    "surfaces": N_("surfaces of the labels"),
    "mip": N_("maximum (MIP)"),
    "turned": N_("3-D, turned by {azimuth}° round the body, {elevation}° towards the head"),
    "noSurfaces": N_("The labels are hidden: there is no surface to show."),
    "window": N_("Window"),
    "ownWindow": N_("own"),
    "tool": N_("Mouse"),
    "toolWindow": N_("window"),
    "toolScroll": N_("slices"),
    "toolPan": N_("move"),
    "toolZoom": N_("zoom"),
    "toolRuler": N_("ruler"),
    "toolAngle": N_("angle"),
    "toolRegion": N_("region"),
    "toolBrush": N_("brush"),
    "toolEraser": N_("eraser"),
    "toolLasso": N_("lasso"),
    "slab": N_("Slab"),
    "thin": N_("thin slice"),
    "maximum": N_("maximum"),
    "minimum": N_("minimum"),
    "mean": N_("mean"),
    "overlay": N_("Labels"),
    "outline": N_("outlines"),
    "hatched": N_("hatching"),
    "opacity": N_("opacity"),
    "inverted": N_("invert"),
    "cine": N_("cine"),
    "reset": N_("reset view"),
    "full": N_("full screen"),
    "help": N_("keys"),
    "sources": N_("Window presets, width and level in HU, and whose values they are"),
    "slice": N_("{plane}, slice {slice} of {count}"),
    "show": N_("show {name}"),
    "draw": N_("draw {name}"),
    "undo": N_("undo"),
    "redo": N_("redo"),
    "fill": N_("fill between slices"),
    "save": N_("save as a new version"),
    "brushSize": N_("brush, mm"),
    "limited": N_("only HU from"),
    "to": N_("to"),
    "correct": N_("Correct"),
    "agreement": N_("Compare with the truth"),
    "compute": N_("compute"),
    "worst": N_("worst slice"),
    "mistakes": N_("Mistakes, the largest first"),
    "bookmarks": N_("Bookmarks"),
    "note": N_("note"),
    "mark": N_("set a bookmark here"),
    "remove": N_("remove"),
    "clear": N_("clear measurements"),
    "label": N_("label"),
    "prediction": N_("prediction"),
    "truth": N_("truth"),
    "reading": N_("being read: {percent} %"),
    "waiting": N_("The kernel is busy; the picture follows when it is free."),
}
KEYS: Mapping[str, str] = {
    "↑ ↓": N_("one slice back or on"),
    "Page ↑ ↓": N_("ten slices back or on"),
    "Home End": N_("first or last slice"),
    "1 – 7": N_("window presets"),
    "Shift + ← → ↑ ↓": N_("window width and level"),
    "Alt + ← → ↑ ↓": N_("move the crosshair"),
    "Enter": N_("use the tool at the crosshair"),
    "+ −": N_("zoom"),
    "3-D: ← → ↑ ↓": N_("turn by 5°"),
    "3-D: Page ↑ ↓": N_("turn by 45° to the side"),
    "3-D: Home End": N_("from the front, from behind"),
    "V": N_("3-D: surfaces or maximum"),
    "Space": N_("reset view"),
    "I": N_("invert"),
    "C": N_("cine"),
    "H O": N_("labels on or off, outlines"),
    "W S P Z": N_("mouse: window, slices, move, zoom"),
    "R A G": N_("mouse: ruler, angle, region"),
    "B E L": N_("mouse: brush, eraser, lasso"),
    "[ ]": N_("smaller or larger brush"),
    "Ctrl + Z Y": N_("undo, redo"),
    "F": N_("full screen"),
    "M": N_("set a bookmark here"),
}


def spoken() -> dict[str, dict[str, str]]:
    """All of it in the language of the process, by group and name."""
    groups = {"planes": PLANES, "seen": SEEN_FROM, "windows": WINDOWS, "overlays": OVERLAYS, "controls": CONTROLS, "keys": KEYS}
    return {group: {name: _unfilled(text) for name, text in words.items()} for group, words in groups.items()}


def _unfilled(text: str) -> str:
    """`text` translated, its places left for the browser to fill."""
    return say(text, **{name: f"{{{name}}}" for name in ("plane", "slice", "count", "name", "azimuth", "elevation", "percent")})
