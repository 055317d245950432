"""One job as PJM keeps it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

OVER = frozenset({"EXT", "CCL", "RJT"})
WAITING = frozenset({"ACC", "QUE", "HLD"})
ON_A_NODE = frozenset({"RNA", "RNP", "RUN", "RNE", "RNO"})

ELAPSE, DELETED, NODE_DOWN, NO_FOLDER = 11, 1, 20, 16
"""PJM codes."""
REASONS = {ELAPSE: "ELAPSE LIMIT EXCEEDED", NO_FOLDER: "NO CURRENT DIR", NODE_DOWN: "NODE DOWN"}
STOPPED, FULL = "RSCGRP STOP", "INSUFF NODE"
"""Why a job waits: its group begins nothing; no node has room."""


@dataclass
class Job:
    """What is known of it. Times are seconds since the epoch."""

    number: int
    name: str
    user: str
    uid: int
    gid: int
    group: str
    """The account's Unix group."""
    rscgrp: str
    script: str
    folder: str
    elapse: int
    gpus: int = 0
    cores: int = 0
    nodes: int = 0
    """Whole nodes; 0: it shares one."""
    output: str = ""
    error: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    comment: str = ""
    restart: bool = False
    state: str = "ACC"
    last: str = "-"
    changed: float = field(default_factory=time.time)
    accepted: float = field(default_factory=time.time)
    node: str = ""
    begun: float = 0.0
    ended: float = 0.0
    code: int = 0
    signal: int = 0
    pjm_code: int = 0
    reason: str = "-"
    deleted: bool = False
    warned: bool = False
    """Its limit is over, and its processes were told."""
    kill_at: float = 0.0
    """When its processes are killed that were told before; 0: they were not."""

    def enter(self, state: str, now: float) -> None:
        """It is in `state` from `now` on."""
        self.state, self.last, self.changed = state, self.state, now

    def elapsed(self, now: float) -> int:
        """Whole seconds for which it has run."""
        return int((self.ended or now) - self.begun) if self.begun else 0
