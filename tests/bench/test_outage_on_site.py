"""`bin/bench outage`, the quickest of its faults: programs on a session's mount notice nothing of a connection that breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import mounts, outage
from bench.distance import Ends
from bench.outage import Fault, watched
from testbed.site import Testbed

pytestmark = pytest.mark.site


@pytest.fixture
def apart(site: Testbed) -> Iterator[Testbed]:
    """A site that nobody else uses: of a connection that the gateway forgot, the destination goes on believing that it lives."""
    other = Testbed(f"{site.name}o", site.source, site.environment)
    try:
        other.up(hub=False)
        yield other
    finally:
        other.down()


def test_programs_notice_nothing_of_a_reset_and_of_a_gateway_that_forgets(apart, monkeypatch):
    monkeypatch.setattr(outage, "QUIET_S", 0.5)
    here = Ends(apart, mounts.vouch(apart))

    def faults() -> Iterator[Fault]:
        yield Fault("reset", apart.reset)
        yield Fault("gateway forgot its connections", apart.forget)

    with mounts.mounted(apart, here.node, "/var/tmp/outage", here.session, mounts.LINK) as mount:
        struck, seen, bad = watched(here, mount, faults, 90, training=False)

    assert bad == 0, (struck, seen)
    assert [each["stuck"] for each in struck] == [[], []]
