"""The course of a training as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from ctlab.history import Epoch
from ctlab.viewing.palette import colour
from phrases import N_, process_language, translator

if TYPE_CHECKING:
    from ctlab.training import TrainingResult

JAPANESE_FONTS = ("Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic", "IPAGothic", "Hiragino Sans", "Yu Gothic", "Meiryo")
MARKERS = "osD^vPX"


class Chart(Figure):
    """A figure that a notebook shows as a picture, without pyplot's global state."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=100)
        return stream.getvalue()


def curves(result: TrainingResult) -> Chart:
    """Training loss, validation Dice of each label, and the device's waiting over the epochs; the epoch whose network was kept is
    marked.
    """
    return chart(result.history, result.model.names, result.best.number)


def chart(history: Sequence[Epoch], labels: Mapping[int, str], kept: int | None = None) -> Chart:
    """The curves of `history`, with one epoch at least; `labels` names the labels, and the epoch numbered `kept` is marked.

    Texts are Japanese only where a Japanese font is installed: boxes in place of letters help nobody.
    """
    font = _japanese_font() if process_language() == "ja" else None
    speak = translator("ja" if font else "en")
    names = labels if font or process_language() != "ja" else {}
    drawn = Chart(figsize=(12, 3.4), layout="constrained")
    left, right, waits = drawn.subplots(1, 3, width_ratios=(3, 3, 2))
    epochs = [epoch.number for epoch in history]
    left.plot(epochs, [epoch.loss for epoch in history], color="black", marker="o")
    left.set_title(speak(N_("training: loss (Dice loss + cross-entropy)")))
    for value in history[0].dice:
        shade = tuple(part / 255 for part in colour(value))
        label = names.get(value) or speak(N_("label {number}")).format(number=value)
        marker = MARKERS[(value - 1) % len(MARKERS)]
        right.plot(epochs, [epoch.dice[value] for epoch in history], color=shade, marker=marker, label=label)
    if kept is not None:
        right.axvline(kept, color="grey", linestyle=":", label=speak(N_("kept")))
    waits.plot(epochs, [100 * epoch.waited for epoch in history], color="black", marker="o")
    waits.set_ylim(0, 100)
    waits.set_title(speak(N_("the device waits for data (%)")))
    right.set_ylim(0, 1)
    right.set_title(speak(N_("validation: Dice")))
    right.legend()
    for axes in (left, right, waits):
        axes.set_xlabel(speak(N_("epoch")))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    if font:
        for text in drawn.findobj(Text):
            text.set(fontfamily=[font, "DejaVu Sans"])
    return drawn


def _japanese_font() -> str | None:
    known = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in JAPANESE_FONTS if name in known), None)
