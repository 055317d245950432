"""What the types of a site file can't see: references, duplicates, keys that need each other."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo

from enclave.messages import ProofKind
from spawner.site import LOWERABLE, Hub, Kind, LoginMethod, RunAs, Scheduler, Site


def contradictions(site: Site) -> list[str]:
    """What is wrong with `site`, each thing a sentence without its full stop."""
    found = []
    for kind, names in (
        ("resource_group", [group.name for group in site.resource_group]),
        ("destination", [each.name for each in site.destination]),
    ):
        found += [f"two {kind} tables are called {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    for index, group in enumerate(site.resource_group):
        where = f"at `$.resource_group[{index}]"
        found += [
            f"expected the name of a destination, got {name!r} - {where}.destinations`"
            for name in group.destinations
            if site.find_destination(name) is None
        ]
        found += [f"expected at least one choice - {where}.{key}`" for key in ("gpus", "hours") if not getattr(group, key)]
        if group.mechanism not in site.preflight.mechanisms:
            enough = ", ".join(f'"{each}"' for each in site.preflight.mechanisms) or "none"
            found.append(f'expected a mechanism that [preflight] accepts ({enough}), got "{group.mechanism}" - {where}.mechanism`')
        for subnet in group.subnets:
            try:
                ipaddress.ip_network(subnet)
            except ValueError:
                found.append(f"expected a network as ADDRESS/BITS, got {subnet!r} - {where}.subnets`")
        if site.scheduler.run_as is RunAs.PERSON and not group.exclusive:
            found.append(f'run_as = "person" needs exclusive = true - {where}.exclusive`')
    if (site.login.method is LoginMethod.OIDC) != (site.login.oidc is not None):
        found.append('method = "oidc" and the table [login.oidc] need each other - at `$.login`')
    found += _hub_contradictions(site.hub)
    found += [
        f"expected either the table owner or without_owner = true - at `$.destination[{index}]`"
        for index, each in enumerate(site.destination)
        if (each.owner is None) != each.without_owner
    ]
    found += _lowered_too_far(site)
    found += _pjm_contradictions(site.scheduler)
    if re.search(r"//[^/@]*:[^/@]*@", site.database.url or ""):
        found.append("expected an address without a password, which stands in password_file - at `$.database.url`")
    if "{user}" not in site.scheduler.account:
        found.append("expected a name that holds {user} - at `$.scheduler.account`")
    return found


def _pjm_contradictions(scheduler: Scheduler) -> list[str]:
    """What PJM does not have."""
    has_not = {
        'expected "ticket", or no such key: PJM knows no MUNGE - at `$.scheduler.proof`': scheduler.proved_by is ProofKind.MUNGE,
        "expected false: sacct is Slurm's - at `$.scheduler.accounting`": scheduler.accounting,
    }
    return [complaint for complaint, holds in has_not.items() if scheduler.kind is Kind.PJM and holds]


def _lowered_too_far(site: Site) -> list[str]:
    """Levels that this site may not have."""
    allowed = LOWERABLE if site.hub.demonstration else ()
    return [
        f'expected "refuse"{", or demonstration = true in [hub]" if check in LOWERABLE else ""} - at `$.preflight.{check}`'
        for check in site.preflight.lowered()
        if check not in allowed
    ]


def _hub_contradictions(hub: Hub) -> list[str]:
    """The same within the table `hub`."""
    found = []
    if (hub.tls_certificate is None) != (hub.tls_key is None):
        found.append("tls_certificate and tls_key need each other - at `$.hub`")
    if hub.bind_url.startswith("https:") != (hub.tls_certificate is not None):
        found.append("https:// and tls_certificate need each other - at `$.hub.bind_url`")
    if hub.time_zone not in zoneinfo.available_timezones():
        found.append(f"expected a time zone like Asia/Tokyo, got {hub.time_zone!r} - at `$.hub.time_zone`")
    if hub.subdomain_host is None and not hub.demonstration:
        found.append("expected an address that each person's notebook has its own name below - at `$.hub.subdomain_host`")
    if hub.subdomain_host is not None and hub.bind_url.partition(":")[0] != hub.subdomain_host.partition(":")[0]:
        found.append("expected the same http:// or https:// as in bind_url - at `$.hub.subdomain_host`")
    return found
