"""`python -m spawner.residue verify FILE [--signers FILE]`: is this statement the hub's, and does its verdict follow?

| exit code | means |
|---|---|
| 0 | clean: signed, and the verdict follows from the parts |
| 1 | residue; or no statement, no good signature, a verdict that does not follow |
| 2 | ended, not inspected: signed, and nobody can say that nothing was left |

Like any command, it also answers 2 to a command line that it does not know.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phrases import LANGUAGES, N_, translator
from spawner.residue.signing import signer
from spawner.residue.statement import BadStatementError, Statement, Verdict, parse

SIGNERS = "/etc/renkei/statement_signers"
EXITS = {Verdict.CLEAN: 0, Verdict.RESIDUE: 1, Verdict.NOT_INSPECTED: 2}
SENTENCES = {
    Verdict.CLEAN: N_("Clean: the node was inspected after the session, and nothing was left on it."),
    Verdict.RESIDUE: N_("Something of the session was left on the compute node."),
    Verdict.NOT_INSPECTED: N_("The node was not inspected, or not to the end: whether something was left is not known."),
}
NOT_SIGNED = N_("This is not a statement of the hub's: its signature does not hold.")
NO_STATEMENT = N_("This is not a residue statement, or it contradicts itself.")


def main(arguments: list[str]) -> int:
    """Checks one statement; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m spawner.residue")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verify = verbs.add_parser("verify", help="check a statement's signature and verdict; the signature is FILE.sig")
    verify.add_argument("file", type=Path)
    verify.add_argument("--signers", type=Path, default=Path(SIGNERS), help="whom to believe (ssh-keygen's allowed signers)")
    options = parser.parse_args(arguments)
    try:
        return _verify(options.file, options.signers)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1


def _verify(path: Path, signers: Path) -> int:
    document = path.read_bytes()
    signers.read_bytes()
    if (name := signer(document, path.with_name(f"{path.name}.sig"), signers)) is None:
        return _say(1, NOT_SIGNED)
    try:
        statement = parse(document)
    except BadStatementError as error:
        return _say(1, NO_STATEMENT, str(error))
    return _say(EXITS[statement.verdict], SENTENCES[statement.verdict], *_facts(statement, name))


def _facts(statement: Statement, name: str) -> list[str]:
    witnesses = {"enclave": statement.enclave, "epilog": statement.epilog, "hub": statement.hub, "cloud": statement.cloud}
    left = [look for part in (statement.enclave, statement.epilog) if part for look in part.looks if look.left]
    return [
        f"session {statement.session}, job {statement.hub.job}, {statement.destination}: {statement.verdict}",
        f"signed by {name}; witnesses: {', '.join(who for who, part in witnesses.items() if part is not None)}",
        *([f"doubts: {', '.join(statement.doubts)}"] if statement.doubts else []),
        *(f"left: {look.left} {look.trace} {look.place} ({look.size} bytes)" for look in left),
    ]


def _say(code: int, sentence: str, *facts: str) -> int:
    for language in LANGUAGES:
        sys.stdout.write(f"{translator(language)(sentence)}\n")
    for line in facts:
        sys.stdout.write(f"  {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
