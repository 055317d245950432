"""What pjsub was asked for: its arguments and the script's leading comments; pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from testbed.pjm.said import RefusedError

LINE_LIMIT = 4096
"""Bytes of a line of a script, its end included."""
OPTIONS_IN_A_LINE = 64

WITH_ARGUMENT = {
    "-L": "rsc-list", "--rsc-list": "rsc-list", "-N": "name", "--name": "name", "-o": "out", "--out": "out", "-e": "err",
    "--err": "err", "-x": "env", "-g": "group", "-p": "priority", "-w": "wait", "-z": "print", "-m": "mail",
    "--mail-list": "mail-list", "-C": "prefix", "-P": "policy", "--mpi": "mpi", "--comment": "comment", "--at": "at", "--fs": "fs",
    "--appname": "appname",
    "--sparam": "sparam", "--spath": "spath", "--vset": "vset",
}  # fmt: skip
"""Options that take an argument, and what they are called here."""
WITHOUT = {"-j": "join", "-X": "all-env", "--restart": "restart", "--norestart": "norestart", "-s": "stats", "-S": "stats",
           "--verbose": "verbose", "--bulk": "bulk", "--step": "step", "--interact": "interact"}  # fmt: skip
MERGED = {"rsc-list", "mpi", "env"}
"""Options that may be said several times, each for some of their keys."""

_NAME = re.compile(r"[A-Za-z][^/]{0,62}")
_KEY = re.compile(r"[a-z][a-z0-9-]*")


@dataclass
class Request:
    """One job that is asked for."""

    options: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def elapse(self) -> int:
        """Seconds; 0 where none was asked for. Raises RefusedError."""
        return seconds(self.resources["elapse"]) if "elapse" in self.resources else 0

    def number(self, name: str) -> int:
        """How many of a resource; 0 where none was asked for. Raises RefusedError."""
        text = self.resources.get(name, "0")
        if not text.isdecimal():
            raise RefusedError("76", f"The type of the custom resource is invalid: {name}={text}.")
        return int(text)


def read(arguments: list[str], script: str) -> Request:
    """What `arguments` and the directives of `script` ask for together; the arguments win. Raises RefusedError."""
    if any(len(line.encode()) >= LINE_LIMIT for line in script.split("\n")):
        raise RefusedError("25", "Line length too long.")
    said, _ = parse(arguments)
    prefix = dict(said).get("prefix", "#PJM")
    warnings: list[tuple[str, str]] = []
    written = [each for line in directives(script, prefix) for each in _directive(line, warnings)]
    request = Request(warnings=warnings)
    for name, value in (*written, *said):
        if name == "rsc-list":
            request.resources |= _pairs(value, "-L")
        elif name == "env":
            request.environment |= _pairs(value, "-x", _WORD)
        else:
            request.options[name] = value
    if "norestart" in dict(said):
        request.options.pop("restart", None)
    title = request.options.get("name")
    if title is not None and not _NAME.fullmatch(title):
        raise RefusedError("04", f"Invalid option argument: -N {title}.")
    return request


_WORD = re.compile(r"[A-Za-z_]\w*")


def parse(arguments: Iterable[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options (name, value) and operands of an argument list. Raises RefusedError."""
    left, options, operands = list(arguments), [], []
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in WITH_ARGUMENT:
            if not equals:
                if not left:
                    raise RefusedError("01", f"Unknown option or no option argument: {word}.")
                value = left.pop(0)
            options.append((WITH_ARGUMENT[name], value))
        elif word in WITHOUT:
            options.append((WITHOUT[word], "yes"))
        elif word.startswith("-") and word[:2] in WITH_ARGUMENT and not word.startswith("--"):
            options.append((WITH_ARGUMENT[word[:2]], word[2:]))
        elif word.startswith("-"):
            raise RefusedError("01", f"Unknown option or no option argument: {word}.")
        else:
            operands.append(word)
    return options, operands


def directives(script: str, prefix: str = "#PJM") -> list[str]:
    """The directives of `script`: those before its first line that is neither empty nor a comment."""
    found = []
    for line in script.splitlines():
        if line.startswith(f"{prefix} "):
            found.append(line.removeprefix(prefix).strip())
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return found


def _directive(line: str, warnings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise RefusedError("08", f"Quotation is not paired: {line}") from error
    options, operands = parse(words)
    if operands:
        raise RefusedError("09", f"Invalid argument: {operands[0]}.")
    if len(options) > OPTIONS_IN_A_LINE:
        warnings.append(("24", "Too many options in a line."))
    return options[:OPTIONS_IN_A_LINE]


def _pairs(text: str, option: str, key: re.Pattern[str] = _KEY) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if not key.fullmatch(name):
            raise RefusedError("04", f"Invalid option argument: {option} {text}.")
        found[{"rg": "rscgrp", "ru": "rscunit"}.get(name, name)] = value
    return found


def seconds(text: str) -> int:
    """Seconds in `[[H:]M:]S`. Raises RefusedError."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
        raise RefusedError("04", f"Invalid option argument: -L elapse={text}.")
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return total
