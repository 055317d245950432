"""`python -m bench.viewer_leaf CT`: the memory of a process that opens a CT by `ctlab.view` and leafs through it; JSON.

Every slice of all three planes, quick as while the wheel turns and exact as at rest, and slabs: while it is still being read, as a
person does. MiB of the process before and at its fullest, and of the voxels of CT and labels as they are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctlab
import ctlab.viewer  # not what is measured
import numpy as np
from ctlab.viewing import answers
from ctlab.viewing.flow import Flow
from ctlab.viewing.messages import Pane, See
from ctlab.viewing.pictures import Look, Overlay
from ctlab.viewing.planes import PLANES, THIN, Projection, Slab
from ctlab.viewing.widget import Viewer
from ctlab.viewing.windows import WINDOWS

from bench.viewer_first import peak_mib

SLABS = (Slab(20, Projection.MAXIMUM), Slab(50, Projection.MEAN))
_EXACT_EVERY, _SLAB_EVERY = 16, 64
_PANES = [Pane(plane="axial"), Pane(plane="coronal"), Pane(plane="sagittal")]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure once; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewer_leaf", description=__doc__)
    parser.add_argument("ct", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only every so many slices")
    given = parser.parse_args(argv)
    before = peak_mib()
    viewer = ctlab.view(given.ct)
    opened = peak_mib()
    frames = _leaf(viewer, given.every)
    for thread in threading.enumerate():
        if thread.name.startswith("ctlab-"):
            thread.join()
    layers = viewer._desk.layers
    kept: list[np.ndarray[Any, Any]] = [layers.ct.voxels]
    if layers.labels is not None:
        kept.append(layers.labels)
    mib = sum(each.nbytes for each in kept) // 2**20
    found = {
        "kept": [str(each.dtype) for each in kept], "frames": frames, "mib_voxels": mib,
        "mib_before": before, "mib_opened": opened, "mib": peak_mib(), "mib_beside": peak_mib() - before - mib,
    }  # fmt: skip
    print(json.dumps(found))
    return 0


def _leaf(viewer: Viewer, every: int) -> int:
    desk, flow, frames = viewer._desk, Flow(), 0
    look = Look(WINDOWS["lung"], overlay=Overlay.LABELS if desk.layers.labels is not None else Overlay.NONE)
    side, rendering = viewer._here.side, viewer._here.rendering
    for name, plane in PLANES.items():
        for index in range(0, desk.ct.geometry.shape[plane.axis], every):
            voxel = list(viewer.voxel)
            voxel[plane.axis] = index
            asked = [(THIN, False)]
            if index % (_EXACT_EVERY * every) == 0:
                asked.append((THIN, True))
            if index % (_SLAB_EVERY * every) == 0:
                asked += [(slab, True) for slab in SLABS]
            for slab, exact in asked:
                here = answers.Here((voxel[0], voxel[1], voxel[2]), name, replace(look, slab=slab), side, rendering)
                answers.frame(desk, See(view="bench", panes=_PANES, exact=exact), here, flow)
                frames += 1
    return frames


if __name__ == "__main__":
    sys.exit(main())
