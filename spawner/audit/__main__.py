"""`python -m spawner.audit verify FILE… [--after NUMBER:HASH] [--head NUMBER:HASH]… [--statements FOLDER]` and `… rotate FILE`.

| exit code of `verify` | means |
|---|---|
| 0 | whole: every line follows the one before |
| 1 | broken: something was changed, taken out, put in or moved, or an anchored head is missing; or a file can't be read |
| 3 | torn: whole, and after the last line stands the beginning of one that was not finished |

Files may be given in any order, and packed by gzip. They have to hold the first line, but for `--after`: the head of the last one
that is not given. A head that is kept elsewhere is what shows lines missing at the end; residue statements hold one each, and the
data owner has copies of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from phrases import LANGUAGES, N_, translator
from spawner.audit import Audit, AuditError
from spawner.audit.chain import Finding, Verdict, in_order, verify
from spawner.audit.line import START, Head, parse_head

EXITS = {Verdict.WHOLE: 0, Verdict.BROKEN: 1, Verdict.TORN: 3}
SENTENCES = {
    Verdict.WHOLE: N_("The record is whole: every line follows the one before it."),
    Verdict.BROKEN: N_("The record was changed: from the place named below on it is not to be believed."),
    Verdict.TORN: N_("The record is whole; its last line was begun and not finished, as when a machine stops or a disk is full."),
}
UNANCHORED = N_("Whether lines are missing at its end shows only against a head that was kept elsewhere; none was given.")
ANCHORED = N_("Up to line {line} nothing is missing; whether later lines are missing at its end shows only against a later head.")


class _Hub(msgspec.Struct):
    audit: str = ""


class _Statement(msgspec.Struct):
    """What of a residue statement matters here."""

    hub: _Hub


def main(arguments: list[str]) -> int:
    """Does what the command line says; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m spawner.audit")
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("verify", help="check that every line follows the one before")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE")
    check.add_argument("--after", type=_head, default=START, metavar="NUMBER:HASH", help="the line before the first")
    check.add_argument("--head", type=_head, action="append", default=[], metavar="NUMBER:HASH", help="a line that has to be there")
    check.add_argument("--statements", type=Path, metavar="FOLDER", help="residue statements, each of which names such a line")
    rotate = verbs.add_parser("rotate", help="move the file away and go on in a new one")
    rotate.add_argument("file", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "rotate":
            sys.stdout.write(f"{Audit(options.file).rotate()}\n")
            return 0
        heads = [*options.head, *(_anchors(options.statements) if options.statements else ())]
        newest = max((each.seq for each in heads if each.seq >= options.after.seq), default=None)
        return _say(verify(in_order(options.files), heads, options.after), newest)
    except OSError as error:
        sys.stderr.write(f"{error.filename or options.verb}: {error.strerror or error}\n")
    except (AuditError, EOFError, msgspec.MsgspecError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


def _head(text: str) -> Head:
    try:
        return parse_head(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _anchors(folder: Path) -> Iterator[Head]:
    """The heads that the residue statements in `folder` name. Raises OSError, ValueError for a file that is none."""
    for path in sorted(folder.glob("*.json")):
        named = msgspec.json.decode(path.read_bytes(), type=_Statement).hub.audit
        if named:
            yield parse_head(named)


def _say(finding: Finding, anchored: int | None) -> int:
    for language in LANGUAGES:
        tell = translator(language)
        sys.stdout.write(f"{tell(SENTENCES[finding.verdict])}\n")
        if finding.verdict is not Verdict.BROKEN:
            # The statements are in the hub's own folder too: whoever takes lines away can take the last of those as well.
            sys.stdout.write(f"{tell(UNANCHORED) if anchored is None else tell(ANCHORED).format(line=anchored)}\n")
    if finding.where:
        sys.stdout.write(f"  {finding.where}\n")
    sys.stdout.write(f"  lines {finding.first} to {finding.head.seq}, begun and not finished: {finding.torn}\n")
    sys.stdout.write(f"  head {finding.head}\n")
    return EXITS[finding.verdict]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
