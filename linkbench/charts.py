"""The pictures of a report. Their few words are names and units, the same in every language: no Japanese font is needed."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from linkbench.figures import LIMIT
from linkbench.results import Cut, Report, Training, Trip, Vision

_LOCAL, _MOUNT, _PAPER = "#9aa5b1", "#1f5fa8", "#c2410c"
_MIB = 2**20
_DECADE = 10
"""Ratios that lie further apart than this are drawn on a logarithmic axis, on which the small ones can be read too."""


def charts(report: Report) -> dict[str, bytes]:
    """File name → PNG."""
    drawn = {"vision.png": _vision(report.vision), "trips.png": _trips(report.trips)}
    if report.training:
        drawn |= {"training.png": _training(report.training), "curve.png": _curve(report.training)}
    if report.cut:
        drawn["cut.png"] = _cut(report.cut)
    return {name: _png(figure) for name, figure in drawn.items()}


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()


def _vision(seen: Vision) -> Figure:
    drawn = Figure(figsize=(9, 4.2), layout="constrained")
    axes = drawn.subplots()
    names = [each.name for each in seen.networks] + [f"{each.what} ({each.readers})" for each in seen.readings]
    ratios = [each.whole for each in seen.networks] + [each.ratio for each in seen.readings]
    middles = [each.median for each in ratios]
    spread = [[each.median - each.least for each in ratios], [each.most - each.median for each in ratios]]
    colours = [_MOUNT] * len(seen.networks) + [_LOCAL] * len(seen.readings)
    apart = max(each.most for each in ratios) > _DECADE * min(each.least for each in ratios)
    if apart:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    # A logarithmic axis has no 0: there bars begin where both are as fast.
    base = 1.0 if apart else 0.0
    heights = [each - base for each in middles]
    axes.bar(names, heights, bottom=base, color=colours, yerr=spread, error_kw={"linewidth": 0.8})
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.axhline(LIMIT, color=_MOUNT, linewidth=0.8, linestyle=":", label=f"limit {LIMIT}")
    axes.axhline(1.5, color=_PAPER, linewidth=0.8, linestyle="--", label="2024, reading: 1.5")
    axes.set_ylabel("mount ÷ local")
    axes.tick_params(axis="x", rotation=60)
    for label in axes.get_xticklabels():
        label.set(horizontalalignment="right", rotation_mode="anchor")
    axes.legend()
    return drawn


def _trips(trips: tuple[Trip, ...]) -> Figure:
    drawn = Figure(figsize=(9, 0.9 + 0.4 * len(trips)), layout="constrained")
    axes = drawn.subplots()
    for row, each in enumerate(reversed(trips)):
        if each.mean is not None and each.least is not None and each.most is not None:
            axes.barh(
                row, each.mean, color=_MOUNT, xerr=[[each.mean - each.least], [each.most - each.mean]], error_kw={"linewidth": 0.8}
            )
    axes.axvline(9.0, color=_PAPER, linewidth=0.8, linestyle="--", label="2024: under 9 ms")
    axes.set_yticks(range(len(trips)), [f"{each.name} ({each.by})" for each in reversed(trips)])
    axes.set_xlabel("ms")
    axes.legend()
    return drawn


def _training(taught: Training) -> Figure:
    drawn = Figure(figsize=(9, 3.2), layout="constrained")
    axes = drawn.subplots()
    counts = taught.counts()
    for offset, side, colour in ((-0.2, "local", _LOCAL), (0.2, "mount", _MOUNT)):
        heights = [min(taught.times(side, count)) for count in counts]
        axes.bar([place + offset for place in range(len(counts))], heights, width=0.38, color=colour, label=side)
    axes.set_xticks(range(len(counts)), [f"V-Net × {count}" for count in counts])
    axes.set_ylabel("s")
    axes.legend()
    return drawn


def _curve(taught: Training) -> Figure:
    drawn = Figure(figsize=(9, 3.2), layout="constrained")
    axes = drawn.subplots()
    for side, colour, style in (("local", _LOCAL, "-"), ("mount", _MOUNT, "--")):
        curve = taught.curve(side)
        axes.plot(
            [each / 60 for each in curve.seconds], curve.validation_loss, style, color=colour, marker="o", markersize=3, label=side
        )
    axes.set(xlabel="min", ylabel="validation: 1 - Dice")
    axes.grid(alpha=0.3)
    axes.legend()
    return drawn


def _cut(cut: Cut) -> Figure:
    drawn = Figure(figsize=(9, 3.2), layout="constrained")
    axes = drawn.subplots()
    axes.step(
        [*cut.seconds, max(cut.seconds[-1], cut.ended_s)],
        [each / _MIB for each in (*cut.received, cut.received[-1])],
        where="post",
        color=_MOUNT,
    )
    axes.axvspan(cut.begun_s, cut.ended_s, color=_PAPER, alpha=0.2, label="cut")
    axes.set(xlabel="s", ylabel="MiB")
    axes.grid(alpha=0.3)
    axes.legend()
    return drawn
