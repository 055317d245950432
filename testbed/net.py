"""The nets between the hosts: bridges in a namespace of their own, the gateway's translation, delay, cut and reset."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import processes
from testbed.host import STANDALONE, Host, TestbedError, background
from testbed.layout import DESTINATIONS, NETS, address, net

_LINE = Path(__file__).with_name("line.py")


@dataclass(frozen=True)
class Switch:
    """The network namespace that holds the bridges, known by the process that holds it."""

    first: int

    def run(self, argv: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the switch's network."""
        command = ["nsenter", "--target", str(self.first), "--net", "--", *argv]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=30)

    def batch(self, lines: list[str]) -> None:
        """Run lines of `ip`.

        Raises TestbedError when one of them fails.
        """
        answer = self.run(["ip", "-batch", "-"], "\n".join(lines) + "\n")
        if answer.returncode != 0:
            raise TestbedError(f"the nets can't be made: {answer.stderr.strip()}")

    def has_netem(self) -> bool:
        """Whether this kernel can delay packets by itself."""
        answer = self.run(["tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "0ms"])
        self.run(["tc", "qdisc", "del", "dev", "lo", "root"])
        return answer.returncode == 0


def cables(firsts: Mapping[str, int], *, long_line: bool) -> list[str]:
    """Lines of `ip` that make bridges and links; `firsts`: host → its first process.

    With `long_line` the gateway's leg on `sinet` is left to the delay line.
    """
    lines = []
    for each in NETS:
        lines += [f"link add name {each.name} type bridge forward_delay 0 mcast_snooping 0", f"link set dev {each.name} up"]
        for host in each.members:
            if long_line and (each.name, host) == ("sinet", "gw"):
                continue
            port = f"{each.name}-{host}"
            lines += [
                f"link add name {port} type veth peer name {each.name} netns {firsts[host]}",
                f"link set dev {port} master {each.name} up",
            ]
            if host in each.isolated:
                lines.append(f"link set dev {port} type bridge_slave isolated on")
    return lines


def legs(host: str) -> list[str]:
    """Lines of `ip` that give `host` its addresses. No host has a default route."""
    lines = ["link set lo up"]
    for each in NETS:
        if host in each.members:
            bits = each.network.prefixlen
            lines += [f"address add {each.members[host]}/{bits} dev {each.name}", f"link set dev {each.name} up"]
    return lines


def gateway_rules() -> str:
    """The gateway's nftables: a port selects a destination, which sees the gateway's address; nothing else passes."""
    ports = ", ".join(f"{each.port} : {address(each.name)} . 22" for each in DESTINATIONS)
    return f"""
table ip gateway {{
  map destinations {{
    type inet_service : ipv4_addr . inet_service
    elements = {{ {ports} }}
  }}
  chain select {{
    type nat hook prerouting priority dstnat
    iifname "link" ip daddr {address("gw", "link")} dnat to tcp dport map @destinations
  }}
  chain translate {{
    type nat hook postrouting priority srcnat
    oifname "sinet" snat to {address("gw", "sinet")}
  }}
  chain pass {{
    type filter hook forward priority filter; policy drop
    iifname "link" oifname "sinet" ct status dnat accept
    iifname "sinet" oifname "link" ct state established,related accept
  }}
  chain own {{
    type filter hook input priority filter; policy drop
    iifname "lo" accept
    ct state established,related accept
    icmp type echo-request accept
    iifname "link" reject with tcp reset
  }}
}}
"""


def hub_rules(uid: int) -> str:
    """The hub's nftables: people who are logged in there don't speak on the link, only root and the hub itself (`uid`)."""
    return f"""
table ip link {{
  chain out {{
    type filter hook output priority filter
    oifname "link" meta skuid != {{ 0, {uid} }} reject
  }}
}}
"""


_CUT = """
table ip cut {
  chain inward { type filter hook prerouting priority raw; iifname "link" drop; }
  chain outward { type filter hook postrouting priority 300; oifname "link" drop; }
}
"""


def connect(hosts: Mapping[str, Host], switch: Switch, line_mark: str, delays: Path) -> None:
    """Make all nets between `hosts` and start the gateway's translation, with the round trips (ms) that `delays` holds."""
    long_line = not switch.has_netem()
    switch.batch(cables({name: host.first for name, host in hosts.items()}, long_line=long_line))
    if long_line:
        _lay_line(hosts["gw"], switch, line_mark, delays)
    for name, host in hosts.items():
        host.run(["ip", "-batch", "-"], input="\n".join(legs(name)) + "\n", check=True)
    gateway = hosts["gw"]
    gateway.path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    gateway.run(["nft", "-f", "-"], input=gateway_rules(), check=True)
    hub = hosts["hub"]
    hub.run(["nft", "-f", "-"], input=hub_rules(hub.user("jupyterhub").uid), check=True)
    if not long_line:
        _set_netem(switch, json.loads(delays.read_text()))


def _lay_line(gateway: Host, switch: Switch, mark: str, delays: Path) -> None:
    background([*STANDALONE, str(_LINE), mark, str(gateway.first), str(switch.first), "sinet", str(delays)])


def _set_netem(switch: Switch, delays: Mapping[str, float]) -> None:
    """The whole round trip on the way towards each destination, whose port of the switch carries nothing else."""
    ports = {str(each): name for name, each in net("sinet").members.items()}
    for place, milliseconds in delays.items():
        netem = ["netem", "delay", f"{milliseconds}ms", "limit", "1000000"]
        answer = switch.run(["tc", "qdisc", "replace", "dev", f"sinet-{ports[place]}", "root", *netem])
        if answer.returncode != 0:
            raise TestbedError(f"the delay can't be set: {answer.stderr.strip()}")


def set_delays(switch: Switch, line: int | None, delays: Path) -> None:
    """Make the round trips in the file `delays` count; `line` is the delay line's process where the kernel has no netem."""
    if line is None:
        _set_netem(switch, json.loads(delays.read_text()))
    else:
        processes.kill([line], signal.SIGHUP)


def cut(gateway: Host) -> None:
    """Drop everything between the nodes and the gateway, without a word to either side."""
    if not is_cut(gateway):
        gateway.run(["nft", "-f", "-"], input=_CUT, check=True)


def restore(gateway: Host) -> None:
    """End a cut."""
    if is_cut(gateway):
        gateway.run(["nft", "delete", "table", "ip", "cut"], check=True)


def is_cut(gateway: Host) -> bool:
    """Whether the line is cut."""
    return gateway.run(["nft", "list", "table", "ip", "cut"]).returncode == 0


def forget(gateway: Host) -> None:
    """The gateway knows none of its connections any more: what still comes of one is answered with an RST, or not at all."""
    gateway.run([*STANDALONE, "/opt/renkei/src/testbed/reboot.py"], check=True)


def admit(gateway: Host, port: int) -> None:
    """Let the nodes talk to a program that listens on `port` of the gateway itself."""
    rule = ["insert", "rule", "ip", "gateway", "own", "iifname", "link", "tcp", "dport", str(port), "accept"]
    gateway.run(["nft", *rule], check=True)


def _established(host: Host) -> set[str]:
    """The far ends, as address and port, of whoever is connected to `host`'s sshd."""
    lines = host.run(["ss", "--no-header", "--numeric", "--tcp", "state", "established", "sport = :22"]).stdout.splitlines()
    return {line.split()[-1] for line in lines}


def reset(ends: list[Host]) -> None:
    """Break every live connection to the destinations `ends`: both sides get an RST, as from a gateway that forgot them."""
    for host in ends:
        before = _established(host)
        host.run(["ss", "--kill", "--no-header", "--tcp", "state", "established", "sport = :22"])
        # A link is back at once, from another port.
        if before & _established(host):
            raise TestbedError(f"{host.name}: this kernel can't break a connection (CONFIG_INET_DIAG_DESTROY)")
