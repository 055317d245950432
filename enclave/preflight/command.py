"""`python -m enclave preflight`: the checks as a table, for an administrator on a node; everything is made as for a session."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from enclave.failure import SessionFailure
from enclave.launch import NAMESPACES
from enclave.messages import Check, Finding, FindingLevel, Mechanism, Order, ProofKind
from enclave.preflight.checks import finding, judge, unprepared
from enclave.preflight.remedies import REMEDIES

_INSIDE = "--in-namespaces"
_UNFIT = 1
_INDENT = " " * 13


class Verdict(msgspec.Struct, frozen=True):
    """What is known of a node."""

    findings: tuple[Finding, ...]
    complete: bool
    """Whether every check was made; if not, the findings say what stood in the way."""

    @property
    def fit(self) -> bool:
        """Whether sessions may run there."""
        return not any(each.level is FindingLevel.REFUSE for each in self.findings)


def main(arguments: Sequence[str]) -> int:
    """Checks this node and prints what was found; 0 where a session may run here, 1 where not."""
    options = _parser().parse_args(arguments)
    if options.in_namespaces:
        _write(msgspec.json.encode(_check(options)).decode() + "\n")
        return 0
    verdict = _as_a_session(arguments, options.mechanism, options.lowered)
    _write(_json(verdict) if options.json else table(verdict))
    return 0 if verdict.fit else _UNFIT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m enclave preflight", description="Is this node fit for sessions?")
    parser.add_argument("--gpus", type=int, default=0, help="how many GPUs a session would ask for (default: 0)")
    parser.add_argument(
        "--lowered", metavar="CHECK", type=Check, action="append", default=[], help="as the site file's [preflight] lowers it"
    )
    parser.add_argument(
        "--mechanism", type=Mechanism, choices=Mechanism, default=Mechanism.NAMESPACES, help="as the node's resource group has it"
    )
    parser.add_argument(
        "--pause-minutes", metavar="MINUTES", type=int, default=0, help="as the destination's section of the site file has it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser


def _as_a_session(arguments: Sequence[str], mechanism: Mechanism, lowered: Sequence[Check]) -> Verdict:
    """The verdict of a process of its own, started as a session's by `mechanism`, with a session's environment."""
    kept = ("PYTHONPATH", "CUDA_VISIBLE_DEVICES")
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {name: os.environ[name] for name in kept if name in os.environ}
    before = NAMESPACES if mechanism is Mechanism.NAMESPACES else ()
    code, _, complaint = _run([*before, "/usr/bin/true"], environment)
    if code != 0:
        return Verdict((finding(Check.NAMESPACES, complaint or f"unshare ended with {code}", lowered),), complete=False)
    again = [*before, sys.executable, "-P", "-m", "enclave", "preflight", *arguments, _INSIDE]
    code, answer, complaint = _run(again, environment)
    try:
        return msgspec.json.decode(answer, type=Verdict)
    except msgspec.MsgspecError:
        return Verdict((finding(Check.SANDBOX, complaint or f"it ended with {code}", lowered),), complete=False)


def _run(argv: Sequence[str], environment: dict[str, str]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, cwd="/", check=False)
    except OSError as error:
        return 127, "", f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout, done.stderr.strip()


def _check(options: argparse.Namespace) -> Verdict:
    # Needs the namespaces that it is called in.
    from enclave.run import start_server

    places = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}
    software = tuple(sorted(each for each in places if not Path(each).is_relative_to("/usr")))
    session = "preflight0000000"
    order = Order(
        session=session, callback_url="", callback_ca="", proof=ProofKind.MUNGE, software=software,
        gpus=options.gpus, mechanism=options.mechanism, pause_s=options.pause_minutes * 60,
    )  # fmt: skip
    try:
        early = start_server(order)
    except SessionFailure as failure:
        return Verdict((unprepared(failure, options.lowered),), complete=False)
    assert early.facts is not None  # noqa: S101  (for the type checker: a server was started)
    return Verdict(judge(early.facts.result(), options.lowered), complete=True)


def table(verdict: Verdict) -> str:
    """A line for each check, with detail and remedy under those that failed."""
    found = {each.check: each for each in verdict.findings}
    lines = []
    for check in Check:
        if check in found:
            lines.append(f"{check:12} NOT OK ({found[check].level})")
            lines += [*_wrapped(found[check].detail), *_wrapped(f"Remedy: {REMEDIES[check]}")]
        else:
            lines.append(f"{check:12} {'ok' if verdict.complete and not _hidden(check, found) else 'not checked'}")
    lines.append("Sessions may run on this node." if verdict.fit else "This node is not fit: no session starts here.")
    return "\n".join(lines) + "\n"


def _hidden(check: Check, found: Collection[Check]) -> bool:
    """Whether `check` could not be asked because of what was found."""
    behind = {Check.FUSE: {Check.SSHFS}, Check.SANDBOX: {Check.WALLS, Check.GPU, Check.TORCH}, Check.GPU: {Check.TORCH}}
    return any(check in behind.get(each, ()) for each in found)


def _wrapped(text: str) -> list[str]:
    lines = text.splitlines()
    return [part for line in lines for part in textwrap.wrap(line, 110, initial_indent=_INDENT, subsequent_indent=_INDENT)]


def _json(verdict: Verdict) -> str:
    rows = [{**msgspec.to_builtins(each), "remedy": REMEDIES[each.check]} for each in verdict.findings]
    return msgspec.json.encode({"fit": verdict.fit, "complete": verdict.complete, "findings": rows}).decode() + "\n"


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
