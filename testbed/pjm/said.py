"""What a command answers, and PJM's messages: `[ERR.|WARN|INFO] PJM nnnn command text`, errors on stderr, the rest on stdout."""

from __future__ import annotations

from dataclasses import dataclass

BLOCKS = {"pjsub": "00", "pjdel": "01", "pjstat": "02", "pjhold": "03", "pjrls": "04", "pjsig": "07"}
"""The first two digits of each command's messages."""


@dataclass
class Said:
    """The two streams and the exit code of one command."""

    out: str = ""
    err: str = ""
    code: int = 0

    def info(self, command: str, number: str, text: str) -> None:
        """A message on stdout."""
        self.out += f"[INFO] PJM {BLOCKS[command]}{number} {command} {text}\n"

    def error(self, command: str, number: str, text: str) -> None:
        """A message on stderr; the command has failed."""
        self.err += f"[ERR.] PJM {BLOCKS[command]}{number} {command} {text}\n"
        self.code = 1


class RefusedError(Exception):
    """The command stops with this message."""

    def __init__(self, number: str, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.text = text
