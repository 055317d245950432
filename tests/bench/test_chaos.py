"""`bin/bench chaos --quick`: one fault of each kind, and nothing is orphaned, lost or charged twice.

Its own testbed: faults and the sessions that outlive them are nothing for other tests to find.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.batch import Slurm
from bench.chaos import chaos
from bench.faults import faults
from testbed.site import Testbed

pytestmark = pytest.mark.site


@pytest.fixture
def apart(site: Testbed) -> Iterator[Testbed]:
    """A site that nobody else uses."""
    other = Testbed(f"{site.name}c", site.source, site.environment)
    try:
        other.up()
        yield other
    finally:
        other.down()


async def test_one_fault_of_each_kind_leaves_everything_in_order(apart):
    batch = Slurm()
    seen = await chaos(apart, batch, None, seed=1)

    assert len(seen.faults) == len(faults(batch))
    assert sum(seen.wrong.values()) == 0, seen.wrong
