"""Several sites' reports side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ctlab.text import say

from linkbench.figures import figures
from linkbench.results import Report
from phrases import N_


def table(reports: Sequence[Report]) -> str:
    """A Markdown table: a line a figure, a column a site; the study's own last. What a site did not measure is a dash."""
    found = [figures(each) for each in reports]
    papers = {each.what: each.paper for lines in found for each in lines if each.paper}
    names = list(dict.fromkeys(each.what for lines in found for each in lines))
    ours = [{each.what: each.ours for each in lines} for lines in found]
    sites = [each.site or say(N_("site {number}"), number=number) for number, each in enumerate(reports, 1)]
    head = [say(N_("figure")), *sites, say(N_("the study of 2024"))]
    facts = [
        (say(N_("form")), [say(N_("full") if each.settings.full else N_("quick")) for each in reports]),
        (say(N_("begun")), [each.date for each in reports]),
        (say(N_("machine")), [", ".join(map(each.machine.__getitem__, ("processor", "cores", "GPU"))) for each in reports]),
        (say(N_("load before and after")), [f"{each.load[0]:.1f}, {each.load[1]:.1f}" for each in reports]),
    ]  # fmt: skip
    rows = [
        *([name, *(each.get(name, "–") for each in ours), papers.get(name, "–")] for name in names),
        *([name, *values, "–"] for name, values in facts),
    ]
    return "".join(_line(row) for row in (head, ["---"] * len(head), *rows))


def _line(cells: Sequence[str]) -> str:
    # A site's name is somebody else's text.
    return "| " + " | ".join(" ".join(each.replace("|", "\\|").split()) for each in cells) + " |\n"
