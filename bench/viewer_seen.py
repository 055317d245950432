"""How soon a case that is far away is seen in Chromium, by `ctlab.view` and by ipyniivue: from the cell to the picture.

Both in the same Lab and the same browser, one after the other, each request for the case's files DELAY_MS longer in the kernel, and
what is imported is imported before. WebGL, which ipyniivue draws with, is computed by the processor (SwiftShader).
ipyniivue's pages have no policy: a session's own lets no widget of anywidget load its script.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.report import say
from bench.viewer_cases import SLICES, compressed, packed
from bench.viewer_lab import Guest, page

SEEN_S = 1800.0
"""On a machine that does much else, WebGL without a GPU takes minutes."""
_FAR = "import time\nfrom IPython.display import display\nfrom bench import viewer_first\nviewer_first.go_away()\n"
_BEGIN = "with open({begun!r}, 'w') as begun: begun.write(repr(time.time()))\n"
_Arm = tuple[str, Callable[[Path], Path], tuple[str, str], Path | None, int]
"""What it is called, what writes its case, its two cells, where its packages are, how many canvases it fills."""
_OURS = ("import ctlab, ctlab.viewer\n", "shown = ctlab.view({case!r})\n")
_THEIRS = ("import ipyniivue\n", "shown = ipyniivue.NiiVue()\nshown.load_volumes([{{'path': {case!r}}}])\n")
# A canvas has a picture when a twelfth of its points are of many greys between black and white: no ground, no word, no line.
_WATCH = """
const kept = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, more) {
  // What was drawn stays to be looked at.
  return kept.call(this, kind, kind.startsWith("webgl") ? { ...more, preserveDrawingBuffer: true } : more);
};
const small = new OffscreenCanvas(48, 48).getContext("2d", { willReadFrequently: true });
function pictured(canvas) {
  small.clearRect(0, 0, 48, 48);
  small.drawImage(canvas, 0, 0, 48, 48);
  const { data } = small.getImageData(0, 0, 48, 48);
  const greys = [];
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] > 30 && data[at] < 225 && data[at] === data[at + 1]) greys.push(data[at]);
  }
  return greys.length > 192 && new Set(greys).size > 16;
}
window.watch = (selector, count) => {
  window.firstSeen = null;
  const look = () => {
    const all = [...document.querySelectorAll(selector)].filter((canvas) => canvas.width > 0 && canvas.height > 0);
    if (all.length >= count && all.every(pictured)) window.firstSeen = Date.now() / 1000;
    else setTimeout(() => requestAnimationFrame(look), 50);
  };
  look();
};
document.addEventListener("DOMContentLoaded", () => window.watch(".jp-OutputArea-output canvas", WANTED));
"""


def seen(packages: Path | None) -> dict[str, dict[str, object]]:
    """Both, on the same voxels: seconds from the cell to the first picture, and processor seconds of the four parts until then.

    `packages` is where ipyniivue is, if anywhere.
    """
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="renkei-viewer-") as name:
        folder = Path(name)
        arms: list[_Arm] = [(f"packed, {SLICES} slices, in Chromium", packed, _OURS, None, 3)]
        if packages is not None:
            arms.append((f"ipyniivue, {SLICES} slices, in Chromium", compressed, _THEIRS, packages, 1))
        for arm, write, cells, guests, canvases in arms:
            case = write(folder)
            try:
                found[arm] = _one(folder, case, cells, guests, canvases)
            except TimeoutError as error:
                found[arm] = {"missing": str(error)}
            say(f"{arm}, from far away: {found[arm]}")
    return found


def _one(folder: Path, case: Path, cells: tuple[str, str], packages: Path | None, canvases: int) -> dict[str, object]:
    begun, (before, after) = folder / "begun", cells
    begun.unlink(missing_ok=True)
    guest = Guest(packages, _WATCH.replace("WANTED", str(canvases)))
    shown = [_FAR + before, (_BEGIN + after + "display(shown)\n").format(begun=str(begun), case=str(case))]
    with page(shown, guest) as lab:
        # Whoever asks waits as long as the page draws; the picture's time is told by the page itself.
        lab.driver.command_executor.client_config.timeout = SEEN_S
        spent = lab.spent()
        at = float(lab.until("first picture", lambda: lab.run("return window.firstSeen"), SEEN_S, every=1.0))
        busy = lab.spent() - spent
        seconds = at - float(begun.read_text())
    return {"s": round(seconds, 2), "processor_s": {part: round(each, 1) for part, each in busy.items()}}
