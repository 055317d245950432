"""What the hub does at night, now: `SITE-FILE`; prints the differences that it found."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from spawner import site
from spawner.quota.gate import Gate
from spawner.quota.ledger import Ledger
from spawner.schedulers.accounting import Accounting
from spawner.schedulers.slurm import Slurm
from spawner.store.database import database_of


async def main(path: Path) -> None:
    here = site.load(path)
    begun = time.time()
    ledger = Ledger(database_of(here), ZoneInfo(here.hub.time_zone))
    gate = Gate(ledger, Slurm(here.scheduler), Accounting(here.scheduler.commands), dict, logging.getLogger("night"))
    await gate.reconcile(time.time())
    sys.stdout.write(msgspec.json.encode(ledger.differences(begun)).decode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
