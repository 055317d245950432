"""What the link is told: by its own words before `--`, by CLOUDLINK_… in the environment, and by sshfs, whose words are ssh's."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MEBI = 1_048_576

_EPILOG = """\
As sshfs's ssh:   sshfs -o ssh_command="python -m cloudlink" USER@HOST:/PATH MOUNTPOINT
with own options: sshfs -o ssh_command="python -m cloudlink --budget=600 -- ssh" USER@HOST:/PATH MOUNTPOINT

Every option can also stand in the environment, --write-buffer=32 as CLOUDLINK_WRITE_BUFFER=32.
"""


@dataclass(frozen=True)
class Options:
    """The settings of one session."""

    command: tuple[str, ...]
    """ssh with its arguments, or whatever else speaks SFTP on its standard input and output."""
    budget: float = 1800.0
    """Seconds that everybody waits for the line to come back."""
    write_buffer: int = 32 * MEBI
    """Bytes of writes that are kept until the cloud has acknowledged them."""
    memory: int = 96 * MEBI
    """Bytes that may be read ahead, of all files together."""
    connections: int = 4
    """Connections at most; more than one only while large files are read over a long line."""
    state: Path | None = None
    """The file that says how the session does."""
    names: bool = False
    """Whether messages name files."""

    def shown(self, path: bytes) -> str:
        """How a message names a file: names may be medical data, so a digest stands for them unless names are asked for."""
        if self.names:
            return path.decode(errors="replace")
        return f"file {hashlib.sha256(path).hexdigest()[:12]}"


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """The options; exits with a usage message (code 2) for what can't be understood."""
    own, command = _split(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m cloudlink",
        usage="%(prog)s [option…] -- SSH [argument…]   or   %(prog)s SSH-ARGUMENT…",
        description="Stands between sshfs and ssh: a cut of the line is a pause, and reading is as fast as the line.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--budget", type=_positive, metavar="SECONDS", help="how long to wait for the line to come back (1800)")
    option("--write-buffer", type=_positive, metavar="MIB", help="unacknowledged writes that are kept (32)")
    option("--memory", type=_positive, metavar="MIB", help="what may be read ahead, of all files together (96)")
    option("--connections", type=_count, metavar="N", help="connections at most, for large files over a long line (4)")
    option("--state", type=Path, metavar="FILE", help="where to write, twice a second at most, how the session does (JSON)")
    option("--names", type=_yes_or_no, metavar="yes|no", help="whether messages name files, or give a digest of each name (no)")
    found = parser.parse_args([*_from_environment(environment), *own])
    if not command:
        parser.error("no command: sshfs gives one")
    given = {name: value for name, value in vars(found).items() if value is not None}
    for name in {"write_buffer", "memory"} & given.keys():
        given[name] = int(given[name] * MEBI)
    return Options(command=tuple(command), **given)


_VARIABLES = ("budget", "write-buffer", "memory", "connections", "state", "names")


def _from_environment(environment: Mapping[str, str]) -> list[str]:
    values = {name: environment.get(f"CLOUDLINK_{name.upper().replace('-', '_')}") for name in _VARIABLES}
    return [f"--{name}={value}" for name, value in values.items() if value]


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Own options, and the command. Without `--`, all that does not begin with two dashes is ssh's."""
    words = list(arguments)
    if "--" in words and all(word.startswith("--") for word in words[: words.index("--")]):
        at = words.index("--")
        return words[:at], words[at + 1 :]
    own = 0
    while own < len(words) and words[own].startswith("--"):
        own += 1
    return words[:own], ["ssh", *words[own:]] if words[own:] else []


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("a number above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= 16:
        raise argparse.ArgumentTypeError("a number from 1 to 16")
    return value


def _yes_or_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise argparse.ArgumentTypeError("yes or no")
    return text == "yes"
