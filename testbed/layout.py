"""The picture of the paper as constants: hosts, nets, addresses and people; the same inside every testbed."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

HOSTS = ("hub", "cx01", "cx02", "cx03", "gw", "cloud", "kashiwa")
NODES = ("cx01", "cx02", "cx03")
CENTRE = ("hub", *NODES)
"""Hosts of the computing centre: one account system, one batch system."""
PAGE_PORT = 8000
"""Where the hub's proxy listens on `hub`."""


@dataclass(frozen=True)
class Net:
    """One of the three nets: a bridge, and who has a leg on it."""

    name: str
    network: IPv4Network
    members: dict[str, IPv4Address]
    isolated: tuple[str, ...] = ()
    """Members that don't hear each other; they reach the other members only."""


def _net(name: str, third: int, numbers: dict[str, int], isolated: tuple[str, ...] = ()) -> Net:
    members = {host: IPv4Address(f"10.77.{third}.{number}") for host, number in numbers.items()}
    return Net(name, IPv4Network(f"10.77.{third}.0/24"), members, isolated)


NETS = (
    _net("centre", 1, {"hub": 10, "cx01": 11, "cx02": 12, "cx03": 13}, isolated=NODES),
    # The hub's leg is for the destinations' control accounts alone.
    _net("link", 2, {"gw": 1, "hub": 10, "cx01": 11, "cx02": 12}, isolated=("hub", "cx01", "cx02")),
    _net("sinet", 3, {"gw": 1, "cloud": 20, "kashiwa": 30}, isolated=("cloud", "kashiwa")),
)


@dataclass(frozen=True)
class Destination:
    """A destination behind the gateway: the gateway's port selects it."""

    name: str
    port: int
    round_trip: float
    """Milliseconds between gateway and destination, unless told otherwise."""


DESTINATIONS = (Destination("cloud", 2201, 6.0), Destination("kashiwa", 2202, 8.0))


def net(name: str) -> Net:
    """The net called `name`."""
    return next(each for each in NETS if each.name == name)


def address(host: str, on: str | None = None) -> IPv4Address:
    """The address of `host` on the net `on`, or on the first net where it has a leg."""
    return next(each.members[host] for each in NETS if host in each.members and on in (None, each.name))


def hosts_file(host: str) -> str:
    """The text of /etc/hosts on `host`: itself, and whoever shares a net with it."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    named: set[str] = set()
    for each in NETS:
        if host in each.members:
            lines += [f"{address} {name}" for name, address in each.members.items() if name not in named]
            named.update(each.members)
    return "\n".join(lines) + "\n"
