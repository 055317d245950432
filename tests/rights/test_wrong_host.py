"""The gateway's port selects a destination: one that leads to another destination is found out before a byte of data flows."""

from __future__ import annotations

import pytest

from bench.person import PersonError
from enclave.messages import Reason
from spawner import reasons
from testbed.layout import DESTINATIONS, address
from tests.guest import guest

pytestmark = pytest.mark.site

PORTS = {each.name: each.port for each in DESTINATIONS}


def lead(site, leads: dict[str, str]) -> None:
    """Let the port of each destination lead to the host that `leads` names."""
    name = ["ip", "gateway", "destinations"]
    where = ", ".join(f"{PORTS[each]} : {address(host)} . 22" for each, host in leads.items())
    site.run("gw", ["nft", "flush", "map", *name], check=True)
    site.run("gw", ["nft", "add", "element", *name, f"{{ {where} }}"], check=True)


@pytest.mark.parametrize("destination", PORTS)
def test_swapped_ports_are_refused_by_the_host_key(site_with_hub, destination):
    log = site_with_hub.host("kashiwa" if destination == "cloud" else "cloud").path("/var/log/sshd.log")
    before = log.read_text().count("Accepted certificate")
    lead(site_with_hub, {"cloud": "kashiwa", "kashiwa": "cloud"})
    try:
        with pytest.raises(PersonError) as caught, guest(site_with_hub, "tanaka", destination=destination):
            pass
    finally:
        lead(site_with_hub, {each: each for each in PORTS})

    assert reasons.sentence(Reason.HOST_KEY_CHANGED, "en") in str(caught.value)
    assert log.read_text().count("Accepted certificate") == before
