"""Each figure of a report in one line, with the study's own beside it where it has one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ctlab.text import say

from linkbench.results import Ratio, Report, Trip
from phrases import N_

LIMIT = 1.15
"""That a whole pass from the mount may take, local being 1."""
PAPER_TRIP = N_("under 9 ms; about 8, 6 and 2 to 3 for three pairs of sites, read off a figure")
PAPER_READING = N_("1.5 or more; its local storage need not have been a local disk")
PAPER_COMPUTE = N_("unchanged")
PAPER_TRAINING = "1.02"
PAPER_APART = N_("they do not disturb each other")
PAPER_CUT = N_("waited, went on, ended correctly (300 s)")
"""The first link of this kind, 2024: a university's supercomputer and the medical-image cloud, by SSHFS."""


@dataclass(frozen=True)
class Figure:
    """One line: what, ours, the study's ("" where it has none), and whether ours is within its limit (None: it has none)."""

    what: str
    ours: str
    paper: str = ""
    within: bool | None = None


def figures(report: Report) -> list[Figure]:
    """Of the whole report, ratios first."""
    return [*_vision(report), *_training(report), *_cut(report), *map(_trip, report.trips)]


def _vision(report: Report) -> Iterator[Figure]:
    seen = report.vision
    yield Figure(
        say(N_("Whole pass over small images, {count} networks: mount ÷ local, geometric mean"), count=len(seen.networks)),
        f"{seen.value:.3f}",
        say(N_("none; limit {limit}"), limit=LIMIT),
        seen.value <= LIMIT,
    )
    yield Figure(say(N_("Computing alone: mount ÷ local, geometric mean")), f"{seen.compute:.3f}", say(PAPER_COMPUTE))
    for each in seen.readings:
        text = (
            N_("Reading and decoding, {count} at a time: mount ÷ local")
            if "decode" in each.what
            else N_("Reading alone, {count} at a time: mount ÷ local")
        )
        yield Figure(say(text, count=each.readers), _ratio(each.ratio), say(PAPER_READING))


def _training(report: Report) -> Iterator[Figure]:
    taught = report.training
    if taught is None:
        return
    *_, most = counts = taught.counts()
    for count in reversed(counts):
        alone = count != most
        text = N_("V-Net, one training: mount ÷ local") if count == 1 else N_("V-Net, {count} trainings at once: mount ÷ local")
        yield Figure(say(text, count=count), _ratio(taught.ratio(count)), "" if alone else PAPER_TRAINING)
    if len(counts) > 1:
        slower = {side: min(taught.times(side, most)) / min(taught.times(side, 1)) for side in ("mount", "local")}
        text = say(N_("mount {mount:.2f}, local {local:.2f}"), **slower)
        yield Figure(say(N_("V-Net, {count} at once ÷ one alone"), count=most), text, say(PAPER_APART))
    curve = taught.curve("mount")
    last = say(N_("{loss:.3f} after {count} epochs"), loss=curve.validation_loss[-1], count=len(curve.validation_loss))
    equal = say(N_("equal to the local one, value for value") if taught.same else N_("not equal to the local one"))
    yield Figure(say(N_("Validation loss (1 - Dice), trained over the link")), f"{last}; {equal}")


def _cut(report: Report) -> Iterator[Figure]:
    cut = report.cut
    if cut is None:
        yield Figure(say(N_("Inference under a cut")), say(N_("not measured: nobody said how the line is cut")), say(PAPER_CUT))
        return
    bad = len(cut.errors) + cut.different
    what = say(N_("Inference under a cut of {seconds:.0f} s: errors and wrong results"), seconds=cut.ended_s - cut.begun_s)
    yield Figure(what, say(N_("{bad} in {cases} cases"), bad=bad, cases=cut.cases), say(PAPER_CUT), bad == 0)
    resumed = "–" if cut.resumed_s is None else f"{cut.resumed_s:.1f} s"
    yield Figure(say(N_("From the cut's end to the next byte")), resumed)


def _trip(trip: Trip) -> Figure:
    text = (
        N_("Round trip: {name}, by a TCP connection") if trip.by == "tcp" else N_("Round trip: {name}, by a question to the folder")
    )
    if trip.mean is None or trip.least is None or trip.most is None:
        ours = say(N_("no answer"))
    else:
        ours = f"{trip.mean:.2f} ms ({trip.least:.2f}–{trip.most:.2f})"
        if trip.failed:
            ours += say(N_("; {count} without an answer"), count=trip.failed)
    return Figure(say(text, name=trip.name), ours, "" if trip.name == "local" else say(PAPER_TRIP))


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.median:.3f} ({ratio.least:.2f}–{ratio.most:.2f})" if ratio.pairs > 1 else f"{ratio.median:.3f}"
