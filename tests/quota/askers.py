"""People who ask for sessions at the same moment; as a program, one of several processes: `ADDRESS PROCESSES NUMBER`."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

from spawner.quota.ledger import Ledger
from spawner.quota.policy import Wish
from spawner.store.database import Database
from tests.quota.samples import TOKYO, wish

WISHES = 200


def wishes() -> list[Wish]:
    """A wish for one GPU from each of ten sessions of 20 people, in no order; every other person is a resident."""
    numbers = list(range(WISHES))
    random.Random(7).shuffle(numbers)  # noqa: S311  (an order, no secret)
    return [wish(session=f"{each:016}", user=f"p{each % 20}", groups=("residents",) * (each % 2)) for each in numbers]


def main(url: str, processes: int, number: int) -> int:
    """How many of this process's share are let in."""
    ledger = Ledger(Database(url), TOKYO)
    with ThreadPoolExecutor(8) as pool:
        return sum(refused is None for refused in pool.map(ledger.reserve, wishes()[number::processes]))


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
