"""The report as one page that needs nothing beside it, with the pictures and the numbers as files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import msgspec
from ctlab.files import whole
from ctlab.text import say

from linkbench.charts import charts
from linkbench.figures import figures
from linkbench.results import FILE, Report
from phrases import N_, process_language

PAGE = "report.html"
_STYLE = """body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b1f24}
table{border-collapse:collapse;width:100%}
th,td{border-bottom:1px solid #d0d7de;padding:.35em .6em;text-align:left;vertical-align:top}
img{max-width:100%}.bad{color:#b42318;font-weight:bold}"""
_TITLES = {
    "vision.png": N_("Small images: whole pass of each network, and reading alone"),
    "trips.png": N_("Round trips"),
    "training.png": N_("V-Net: seconds, one training and several at once"),
    "curve.png": N_("V-Net: validation loss over the training"),
    "cut.png": N_("Inference: bytes that came, and the cut"),
}
_COLD = N_(
    "Every image is read once in its life: it was written, flushed and dropped from this machine's page cache (posix_fadvise, no "
    "right needed) before; cases are dropped before each training. The caches of the cloud and of disks can't be dropped from "
    "here. Pages still in memory after dropping: local {local}, mount {mount}. A folder in memory (tmpfs) can't be dropped: it is "
    "quicker than any disk, so ratios against it are strict."
)
_ALIKE = N_("Both folders lie on the same kind of file system ({kind}). If the first is no mount, nothing of a link was measured.")
_QUICK = N_("This is the quick form: it shows that everything works. Its figures waver; quote those of the full one.")
_TOGETHER = N_("Trainings at once read through the one mount that was named, and share this machine's processors or GPUs.")
_PHANTOMS = N_("All images are made up: phantoms and patterns, no patient's. Networks have random weights.")


def write(report: Report, folder: Path) -> None:
    """REPORT, PAGE and the pictures, each whole or not at all."""
    drawn = charts(report)
    files = {FILE: _json(report), PAGE: page(report, drawn).encode(), **drawn}
    for name, content in files.items():
        with whole(folder / name) as draft:
            draft.write_bytes(content)


def page(report: Report, drawn: dict[str, bytes]) -> str:
    """HTML without any script, the pictures inside."""
    title = say(N_("How good is the link? {site}"), site=report.site).strip()
    lines = [(each.what, each.ours, each.paper, each.within) for each in figures(report)]
    heads = "".join(f"<th scope=col>{escape(say(each))}</th>" for each in (N_("figure"), N_("here"), N_("the study of 2024")))
    rows = "".join(
        f'<tr><th scope="row">{escape(what)}</th><td{_mark(within)}>{escape(ours)}</td><td>{escape(paper or "–")}</td></tr>'
        for what, ours, paper, within in lines
    )
    pictures = "".join(
        f'<h2>{escape(say(_TITLES[name]))}</h2><img alt="{escape(say(_TITLES[name]))}" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        for name, content in drawn.items()
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        "".join(f"<p>{escape(each)}</p>" for each in notes(report)),
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
        pictures,
        f"<h2>{escape(say(N_('The networks, one by one')))}</h2>{_networks(report)}",
        f"<h2>{escape(say(N_('Machine and settings')))}</h2>{_pairs(_machine(report))}",
        f"<p>{escape(say(N_('Errors in the cut: {text}'), text='; '.join(report.cut.errors)))}</p>"
        if report.cut and report.cut.errors
        else "",
    ]
    begin = f'<!DOCTYPE html><html lang="{process_language()}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    return f"{begin}<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"


def notes(report: Report) -> list[str]:
    """What whoever reads the figures has to know."""
    left = {side: "–" if share is None else f"{100 * share:.0f} %" for side, share in report.vision.resident.items()}
    found = [] if report.settings.full else [say(_QUICK)]
    if report.machine["mount"] == report.machine["local"]:
        found.append(say(_ALIKE, kind=report.machine["mount"]))
    return [*found, say(_PHANTOMS), say(_COLD, local=left.get("local", "–"), mount=left.get("mount", "–")), say(_TOGETHER)]


def _mark(within: bool | None) -> str:  # noqa: FBT001
    return ' class="bad"' if within is False else ""


def _networks(report: Report) -> str:
    head = [
        say(each)
        for each in (
            N_("network"),
            N_("kind"),
            N_("mount ÷ local"),
            N_("local, s"),
            N_("mount, s"),
            N_("computing, s"),
            N_("waited for images, s"),
        )
    ]
    rows = []
    for each in report.vision.networks:
        local, mount = (min(passes, key=lambda one: one.whole_s) for passes in (each.local, each.mount))
        cells = (
            f"{each.whole.median:.3f}",
            *(f"{value:.2f}" for value in (local.whole_s, mount.whole_s, mount.compute_s, mount.waited_s)),
        )
        rows.append((each.name, each.kind, *cells))
    return _table(head, rows)


def _machine(report: Report) -> list[tuple[str, str]]:
    settings = msgspec.to_builtins(report.settings)
    load = f"{report.load[0]:.1f}, {report.load[1]:.1f}"
    facts = [
        (say(N_("begun")), report.date), (say(N_("took")), f"{report.took_s:.0f} s"), (say(N_("load before and after")), load),
        *report.machine.items(), (say(N_("image file")), f"{report.vision.file_bytes} B"),
    ]  # fmt: skip
    return [*facts, *((name, str(value)) for name, value in settings.items())]


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return _table([], [list(each) for each in pairs])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first = f"<thead><tr>{''.join(f'<th scope=col>{escape(each)}</th>' for each in head)}</tr></thead>" if head else ""
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(each)}</td>" for each in row[1:])}</tr>' for row in rows
    )
    return f"<table>{first}<tbody>{lines}</tbody></table>"


def _json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"
