"""Rules for the demonstration, so that the console has something to show: `python -m testbed.rules SITE-FILE`, on the hub.

They are wide enough to be in nobody's way. Where there are rules already, nothing is changed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from spawner import site
from spawner.quota.ledger import Ledger
from spawner.quota.opening import parse
from spawner.quota.policy import Kind, Rule, Scope, Window
from spawner.store.database import database_of

RULES = (
    Rule(scope=Scope.EVERYONE, kind=Kind.SESSIONS, limit=8),
    Rule(scope=Scope.EVERYONE, kind=Kind.HOURS, limit=12),
    Rule(scope=Scope.EVERYONE, kind=Kind.GPU_HOURS, limit=500, window=Window.WEEK),
    Rule(scope=Scope.GROUP, subject="residents", kind=Kind.GPUS, limit=2),
    Rule(scope=Scope.GROUP, subject="residents", kind=Kind.OPENING, openings=parse("mon-sat 07:00-22:00")),
    Rule(scope=Scope.GROUP, subject="physicists", kind=Kind.GPU_HOURS, limit=300, window=Window.MONTH, shared=True),
)
"""The groups are for the administrator to fill, in the console."""


def main(path: Path) -> None:
    """Write RULES into the database of the site at `path`, if there are none."""
    here = site.load(path)
    database = database_of(here)
    database.upgrade()
    ledger = Ledger(database, ZoneInfo(here.hub.time_zone))
    if not ledger.rules():
        for rule in RULES:
            ledger.set_rule(rule)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
