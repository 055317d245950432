"""Programs at work on a mount (`steady.py`, `steady_training.py`) and what each has said: the benches of cuts share it."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """One thing that a program did."""

    outcome: str
    begun: float
    ended: float


@dataclass
class Worker:
    """A program on the node, and what it has said so far."""

    name: str
    process: subprocess.Popen[bytes]
    file: Path | None
    """What it writes, on the cloud's disk."""
    done: list[Done] = field(default_factory=list)
    left: str = ""

    def __post_init__(self) -> None:
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            first, *rest = line.decode().split()
            if first == "left":
                self.left = rest[0] if rest else ""
            else:
                self.done.append(Done(first, *map(float, rest)))

    @property
    def plain(self) -> bool:
        """Whether it does nothing but read and write, so that its next step shows when the line is back."""
        return self.name != "training"

    def resumed(self, since: float) -> float | None:
        """When the first thing succeeded that ended after `since`."""
        return next((each.ended for each in self.done if each.ended > since and each.outcome == "ok"), None)

    def end(self, patience: float) -> bool:
        """Have it end; whether it did."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return False
        self._listening.join(10)
        return self.process.returncode == 0

    def right(self) -> bool:
        """Whether the cloud's disk holds what it wrote."""
        return self.file is None or hashlib.sha256(self.file.read_bytes()).hexdigest() == self.left
