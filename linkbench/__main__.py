"""`python -m linkbench MOUNT LOCAL --out FOLDER` measures a link; `python -m linkbench compare REPORT…` sets sites side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from ctlab.errors import CtlabError
from ctlab.files import whole
from ctlab.text import say

from linkbench.compare import table
from linkbench.cut import command_hook
from linkbench.figures import figures
from linkbench.measure import measure
from linkbench.results import read
from linkbench.settings import FULL, QUICK, Settings
from linkbench.trips import destination
from phrases import N_

_NUMBERS = {
    "files": N_("images in a pass"),
    "side": N_("pixels of an image that a network sees, a multiple of 32"),
    "readers": N_("threads that read ahead"),
    "rounds": N_("passes of each network on each side"),
    "train_rounds": N_("trainings on each side"),
    "at_once": N_("trainings at once"),
    "epochs": N_("of each training"),
    "steps": N_("of an epoch"),
}
_SECONDS = {"before_s": N_("inference before the cut, s"), "cut_s": N_("the cut, s"), "after_s": N_("inference after the cut, s")}
_TRIPLES = {"size": (3, N_("voxels of a phantom")), "cases": (2, N_("phantoms to train and to validate"))}


def main(argv: Sequence[str] | None = None) -> int:
    """Measures or compares; returns the exit status: 0 when it was possible."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _compare(words[1:]) if words[:1] == ["compare"] else _measure(words)
    except CtlabError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(
            say(
                N_("Not finished: {error}. What was written to both folders was removed as far as they took it. Measure again."),
                error=error,
            ),
            file=sys.stderr,
        )
    return 1


def _measure(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m linkbench", description=say(N_("Measures how good a link is: a folder on the mount against a local one."))
    )
    parser.add_argument("mount", type=Path, help=say(N_("a folder of your own on the mount")))
    parser.add_argument("local", type=Path, help=say(N_("a folder on this machine's own disk")))
    parser.add_argument("--out", type=Path, required=True, help=say(N_("folder for the report")))
    parser.add_argument("--site", default="", help=say(N_("what the report calls this site")))
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help=say(N_("minutes: whether everything works (the default)")))
    form.add_argument("--full", action="store_true", help=say(N_("hours: what can be quoted")))
    parser.add_argument(
        "--hosts",
        nargs="*",
        default=[],
        metavar="NAME=HOST:PORT",
        help=say(N_("further destinations of round trips; NAME=/FOLDER for a mounted one")),
    )
    parser.add_argument(
        "--cut-hook",
        metavar="COMMAND",
        help=say(N_("a command that cuts the line when called with cut, and mends it with restore")),
    )
    for name, text in _NUMBERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=say(text))
    for name, text in _SECONDS.items():
        parser.add_argument(f"--{name.removesuffix('_s')}", dest=name, type=float, metavar="S", help=say(text))
    for name, (count, text) in _TRIPLES.items():
        parser.add_argument(f"--{name}", type=int, nargs=count, metavar="N", help=say(text))
    given = parser.parse_args(words)
    settings = _settings(FULL if given.full else QUICK, given)
    if complaint := wrong(settings):
        parser.error(complaint)
    report = measure(
        given.mount,
        given.local,
        given.out,
        settings=settings,
        site=given.site,
        hosts=[destination(each) for each in given.hosts],
        cut=command_hook(given.cut_hook) if given.cut_hook else None,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    for each in figures(report):
        print(f"{each.what}: {each.ours}" + (f" [{each.paper}]" if each.paper else ""))
    print(say(N_("The report is in {folder}."), folder=given.out))
    return 0


def _settings(form: Settings, given: argparse.Namespace) -> Settings:
    """`form`, changed where somebody said so."""
    names = (*_NUMBERS, *_SECONDS, *_TRIPLES)
    said = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    return msgspec.structs.replace(
        form, **{name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    )


def wrong(settings: Settings) -> str:
    """What can't be measured so, as a sentence; "" when it can."""
    if settings.side % 32 or settings.side < 64:
        return say(N_("--side has to be a multiple of 32, and 64 at least."))
    counts = (
        settings.files,
        settings.readers,
        settings.rounds,
        settings.train_rounds,
        settings.at_once,
        settings.epochs,
        settings.steps,
        *settings.cases,
    )
    if min(counts) < 1 or min(settings.size) < 16:
        return say(N_("Counts are 1 at least, and a phantom's sides 16."))
    if not all(0 <= each < 86400 for each in (settings.before_s, settings.cut_s, settings.after_s)):
        return say(N_("Seconds lie between 0 and a day."))
    return ""


def _compare(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m linkbench compare", description=say(N_("Reports of several sites side by side, as a Markdown table."))
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT", help=say(N_("a report's folder or its report.json")))
    parser.add_argument("--out", type=Path, help=say(N_("a file for the table, which is printed otherwise")))
    given = parser.parse_args(words)
    text = table([read(each) for each in given.reports])
    if given.out is None:
        print(text, end="")
        return 0
    with whole(given.out) as draft:
        draft.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
