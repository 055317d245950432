"""`python -m bench.viewer_solid`: what a picture of the body in 3-D costs, of a CT of 512 x 512 x 600 with five labels; JSON.

Milliseconds of processor time (median over sides all around) and bytes of a picture as it goes to the browser, of what is turned
(JPEG) and of what is at rest (PNG); of the first picture, for which the volume is reduced; MiB of this process before and after.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from ctlab.viewing.pictures import Layers, Look, Overlay, jpeg, png
from ctlab.viewing.solid import Rendering, Solid
from ctlab.viewing.turning import Side
from ctlab.viewing.windows import WINDOWS

from bench.viewer_cases import case

SIDES = tuple(Side(azimuth, elevation) for azimuth in range(-180, 180, 30) for elevation in (-60, -20, 0, 35, 80))
LOOK = Look(WINDOWS["bone"], overlay=Overlay.LABELS)


def main() -> int:
    """Measure once; returns the exit status."""
    ct, labels = case()
    layers, solid = Layers(ct, labels.voxels), Solid()
    found: dict[str, object] = {"mib_before": _resident_mib()}
    for rendering in Rendering:
        begun = time.process_time()
        solid.picture(layers, SIDES[0], rendering, LOOK, exact=False)
        found[f"{rendering}_first_ms"] = round((time.process_time() - begun) * 1000)
        for exact in (False, True):
            times, sizes = [], []
            for side in SIDES:
                begun = time.process_time()
                pixels = solid.picture(layers, side, rendering, LOOK, exact=exact)
                sizes.append(len(png(pixels) if exact else jpeg(pixels)))
                times.append((time.process_time() - begun) * 1000)
            name = f"{rendering}_{'rest' if exact else 'turned'}"
            found[f"{name}_ms"] = {"median": round(statistics.median(times), 1), "highest": round(max(times), 1)}
            found[f"{name}_kb"] = {"median": round(statistics.median(sizes) / 1000, 1), "highest": round(max(sizes) / 1000, 1)}
    found["mib_after"] = _resident_mib()
    print(json.dumps(found, indent=1))
    return 0


def _resident_mib() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024


if __name__ == "__main__":
    sys.exit(main())
