"""`bin/bench viewer`: how fast the CT viewer answers the wheel in Chromium, and what its pictures cost beside ipympl's.

The volume is 512 × 512 × 600 int16 with five labels, in three panes; kernel, server and browser share this machine's cores.
Before that, how soon cases that are far away are seen (`bench.viewer_cases`; in Chromium `bench.viewer_seen`), beside ipyniivue,
which is installed for it in a folder of its own (`bench.peers`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ctlab.viewing import answers
from ctlab.viewing.answers import Here
from ctlab.viewing.desk import Desk
from ctlab.viewing.flow import Flow
from ctlab.viewing.messages import Pane, See
from ctlab.viewing.pictures import Look, Overlay
from ctlab.viewing.planes import PLANES, Plane, cut
from ctlab.viewing.solid import Rendering
from ctlab.viewing.turning import Side
from ctlab.viewing.windows import WINDOWS
from ctlab.volume import Labels, Volume
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_webagg_core import FigureCanvasWebAggCore
from matplotlib.figure import Figure

from bench.peers import MissingPeerError, peers
from bench.ratio import ratio_of
from bench.report import Report, quartiles, say
from bench.viewer_cases import case, first_pictures
from bench.viewer_lab import Page, page
from bench.viewer_seen import seen as first_seen

NOTCH_S = 0.12
"""Between two notches of the wheel: somebody who leafs quickly."""
DRAG_S = 6.0
CELL = "import ctlab\nfrom bench.viewer_cases import case\nct, labels = case()\nviewer = ctlab.view(ct, labels)\nviewer"
_REMEMBER = """
window.seen = [];
document.addEventListener("ctlab-seen", (event) => window.seen.push(event.detail));
document.querySelector(".ctlab-viewer").scrollIntoView({ block: "start" });
"""


@dataclass(frozen=True)
class Seen:
    """A frame as the browser tells of it; times in ms by its own clock."""

    exact: bool
    since: float
    asked: float
    seen: float
    bytes: int
    panes: int


def beside_ipympl(ct: Volume, labels: Labels, rounds: int) -> dict[str, object]:
    """Processor time of a three-pane frame over that of matplotlib's WebAgg canvas, which is what ipympl sends; pairs."""
    desk, flow, look = Desk(ct, labels, None), Flow(), Look(WINDOWS["lung"], overlay=Overlay.LABELS)
    asked = See(view="bench", panes=[Pane(plane="axial"), Pane(plane="coronal"), Pane(plane="sagittal")])
    other = _Peer(ct, labels)
    ours, theirs = [], []
    for number in range(rounds + 2):
        voxel = (200 + number, 250 + number, 250 + 3 * number)
        begun = time.thread_time()
        answers.frame(desk, asked, Here(voxel, "axial", look, Side(), Rendering.SURFACES), flow)
        between = time.thread_time()
        other.frame(voxel)
        ended = time.thread_time()
        # The first ones fill tables and caches on both sides.
        if number >= 2:
            ours.append(between - begun)
            theirs.append(ended - between)
    ratio = ratio_of(ours, theirs)
    return {
        "ratio": ratio.median, "low": ratio.low, "high": ratio.high, "ours_ms": quartiles([each * 1000 for each in ours]),
        "ipympl_ms": quartiles([each * 1000 for each in theirs]),
    }  # fmt: skip


class _Peer:
    """Three slices and their labels as somebody shows them with matplotlib in a notebook: images that are given new data."""

    def __init__(self, ct: Volume, labels: Labels) -> None:
        self._ct, self._labels = ct, labels
        figure = Figure(figsize=(12, 4), dpi=100)
        self._canvas = FigureCanvasWebAggCore(figure)
        self._images = []
        for axes, plane in zip(figure.subplots(1, 3), PLANES.values(), strict=True):
            axes.set_axis_off()
            grey = axes.imshow(cut(ct.voxels, plane, 100), cmap="gray", vmin=-1350, vmax=150)
            over = axes.imshow(self._masked(plane, 100), cmap="tab10", vmin=0, vmax=10, alpha=0.4, interpolation="nearest")
            self._images.append((plane, grey, over))

    def _masked(self, plane: Plane, index: int) -> np.ma.MaskedArray[Any, Any]:
        values = cut(self._labels.voxels, plane, index)
        return np.ma.masked_where(values == 0, values)

    def frame(self, voxel: tuple[int, int, int]) -> bytes:
        """What goes to the browser."""
        for plane, grey, over in self._images:
            grey.set_data(cut(self._ct.voxels, plane, voxel[plane.axis]))
            over.set_data(self._masked(plane, voxel[plane.axis]))
        # What the canvas does when it is drawn, but for telling a window of it.
        self._canvas._png_is_old = True
        FigureCanvasAgg.draw(self._canvas)
        found: bytes = self._canvas.get_diff_image()
        return found


def wheel(lab: Page, notches: int) -> list[Seen]:
    """The wheel over the axial pane, notch after notch, there and back; what was seen, exact pictures at the end included."""
    x, y = _middle(lab)
    _forget(lab)
    for number in range(notches):
        begun = time.monotonic()
        lab.mouse("mouseWheel", x, y, deltaX=0, deltaY=120 if number % 100 < 50 else -120)
        time.sleep(max(0.0, NOTCH_S - (time.monotonic() - begun)))
    _rest(lab)
    return _seen(lab)


def drag(lab: Page) -> tuple[float, list[Seen]]:
    """The window dragged for DRAG_S with all three panes following: frames a second, and what was seen."""
    x, y = _middle(lab)
    _forget(lab)
    lab.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    end, number = time.monotonic() + DRAG_S, 0
    while time.monotonic() < end:
        number += 1
        lab.mouse("mouseMoved", x + 60 * np.sin(number / 20), y + 40 * np.cos(number / 15), button="left", buttons=1)
    lab.mouse("mouseReleased", x, y, button="left", clickCount=1)
    _rest(lab)
    quick = [each for each in _seen(lab) if not each.exact]
    span = (quick[-1].seen - quick[0].seen) / 1000
    return (len(quick) - 1) / span, quick


def _middle(lab: Page) -> tuple[float, float]:
    script = "const { x, y, width, height } = document.querySelector('.ctlab-pane canvas').getBoundingClientRect();"
    box = lab.run(f"{script} return [x + width / 2, y + height / 2]")
    return float(box[0]), float(box[1])


def _rest(lab: Page) -> None:
    lab.until("pictures at rest", lambda: lab.run("return document.querySelector('.ctlab-viewer').ctlab.told().exact"))


def _forget(lab: Page) -> None:
    lab.run("window.seen = []")


def _seen(lab: Page) -> list[Seen]:
    found = lab.run("return window.seen")
    return [
        Seen(each["exact"], each["since"], each["asked"], each["seen"], int(each["bytes"]), len(each["panes"])) for each in found
    ]


def p95(values: Sequence[float]) -> float:
    """The nearest-rank 95th percentile."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def _from_far_away() -> dict[str, dict[str, object]]:
    """First pictures, ours and ipyniivue's; where that can't be had, what the installer said."""
    try:
        packages = peers()
    except MissingPeerError as error:
        say(f"ipyniivue can't be installed here, so it is not measured: {error}")
        return {**first_pictures(None), **first_seen(None), "ipyniivue": {"missing": str(error)}}
    return {**first_pictures(packages), **first_seen(packages)}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bin/bench viewer", description=__doc__)
    parser.add_argument("--notches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=30, help="frames beside matplotlib's")
    given = parser.parse_args(argv)
    say("a CT of 512 x 512 x 600…")
    ct, labels = case()
    size = ct.voxels.nbytes
    kernel = beside_ipympl(ct, labels, given.rounds)
    del ct, labels
    say(f"kernel time beside ipympl's: {kernel}")
    first = _from_far_away()
    with page([CELL]) as lab:
        lab.until("viewer", lambda: lab.run("return document.querySelector('.ctlab-pane canvas') !== null"))
        lab.run(_REMEMBER)
        _rest(lab)
        time.sleep(3)
        before = lab.spent()
        seen = wheel(lab, given.notches)
        busy = lab.spent() - before
        quick = [each for each in seen if not each.exact]
        waits = [each.seen - each.since for each in quick]
        say(f"wheel: p95 {p95(waits):.1f} ms over {len(quick)} frames of {given.notches} notches")
        before = lab.spent()
        rate, dragged = drag(lab)
        busy_dragging = lab.spent() - before
        say(f"dragging the window: {rate:.1f} frames/s")
    detail: dict[str, object] = {
        "notches": given.notches, "frames": len(quick), "wheel_ms": quartiles(waits), "kernel": kernel,
        "bytes_100_slices_share": round(sum(each.bytes for each in seen) / len(quick) * 100 / size, 5),
        "bytes_a_slice": round(statistics.median(each.bytes for each in quick)),
        "drag_frames_per_s": round(rate, 1), "drag_ms": quartiles([each.seen - each.since for each in dragged]),
        "processor_ms_a_frame": {name: round(each * 1000 / len(quick), 1) for name, each in busy.items()},
        "drag_processor_ms_a_frame": {name: round(each * 1000 / len(dragged), 1) for name, each in busy_dragging.items()},
        "first_pictures": first,
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    Report(bench="viewer", value=round(p95(waits), 1), unit="ms", better="lower", detail=detail).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
