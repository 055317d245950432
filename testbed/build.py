"""How a testbed comes to be: hosts first, then nets, then what runs on them; side by side wherever that is possible."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from testbed import accounts, cloud, kept, net, owner, processes, programs, services, slurm
from testbed.host import Host, launch
from testbed.layout import CENTRE, DESTINATIONS, HOSTS, NODES, hosts_file
from testbed.pjm import install as pjm
from testbed.state import State

SWITCH, LINE, PAGE = "switch", "line", "page"
"""Processes beside the hosts: the holder of the bridges, the delay line, the page's way out."""
STORE = Path("/var/lib/renkei")
"""What outlives a testbed: data sets that take long to make."""

Progress = Callable[[str], None]


def is_pjm(site: str) -> bool:
    """Whether the site file asks for PJM instead of Slurm."""
    return bool(tomllib.loads(site).get("scheduler", {}).get("kind") == "pjm")


@dataclass(frozen=True)
class Texts:
    """The configuration that a testbed is brought up with; None: the file of the checkout."""

    site: str | None = None
    authority: str | None = None
    sudoers: str | None = None

    @classmethod
    def on(cls, kind: str, source: Path) -> Texts:
        """The checkout's own, on the batch system `kind`: one line of the site file is another."""
        return cls(site=(source / "sites" / "demo.toml").read_text().replace('kind = "slurm"', f'kind = "{kind}"'))

    def of(self, source: Path) -> tuple[str, str, str]:
        """Site file, authority's file and sudo rule."""
        rule = "sudoers-pjm" if self.site is not None and is_pjm(self.site) else "sudoers"
        names = {"demo.toml": self.site, "demo-authority.toml": self.authority, rule: self.sudoers}
        site, authority, sudoers = ((source / "sites" / name).read_text() if text is None else text for name, text in names.items())
        return site, authority, sudoers


@dataclass(frozen=True)
class Builder:
    """Brings up one testbed, from nothing to a batch system that waits for work."""

    state: State
    source: Path
    """The checkout that the hosts run."""
    environment: Path
    """The Python environment that the hosts run."""
    say: Progress

    def build(self, texts: Texts) -> None:
        """Make everything but the hub's services.

        Raises TestbedError when something does not start; what was made until then stays and is found by its marks.
        """
        site, authority, sudoers = texts.of(self.source)
        self.say("hosts…")
        self.state.make()
        self.state.round_trips = {each.name: each.round_trip for each in DESTINATIONS}
        passwords = accounts.new_passwords()
        self.state.passwords = passwords
        devices = slurm.gpu_devices()
        hashes = accounts.hashed(passwords)
        with ThreadPoolExecutor(len(HOSTS) + 2) as pool:
            data = pool.submit(self._data)
            list(pool.map(lambda role: self._launch(role, devices if role in slurm.GPU_NODES else {}), (SWITCH, *HOSTS)))
            first = {role: pid for pid, role in processes.marked(self.state.name).items()}
            hosts = {name: Host(name, first[name]) for name in HOSTS}
            list(pool.map(lambda host: _introduce(host, hashes), hosts.values()))
            self.say("nets…")
            net.connect(hosts, net.Switch(first[SWITCH]), processes.mark(self.state.name, LINE), self.state.delays)
            self.say("batch system and destinations…")
            hub, destinations = hosts["hub"], [hosts[each.name] for each in DESTINATIONS]
            services.prepare(hub, site, authority, sudoers)
            gpus = slurm.gpu_files(devices)
            if is_pjm(site):
                starting = [pool.submit(self._start_pjm, hosts, len(gpus))]
            else:
                key, epilog = slurm.new_munge_key(), (self.source / "sites" / "epilog").read_text()
                starting = [pool.submit(_start_slurm, hosts[name], key, gpus, epilog) for name in CENTRE]
            starting.append(pool.submit(services.start_checker, hub))
            ca_keys, keys = services.make_ca_keys(hub, authority), owner.make_hub_keys(hub, site)
            starting += [
                pool.submit(self._start_destination, each, hub, ca_keys[each.name], keys.get(each.name)) for each in destinations
            ]
            starting += [pool.submit(cloud.fill, host, *data.result()) for host in destinations]
            for each in starting:
                each.result()
        if not is_pjm(site):
            slurm.wait_ready(hub)
        for host in hosts.values():
            self.state.set_baseline(host.name, kept.listing(host.first))
        self.state.set_complete()

    def _start_pjm(self, hosts: dict[str, Host], gpus: int) -> None:
        nodes = {name: hosts[name] for name in NODES}
        pjm.prepare(hosts["hub"], nodes, gpus)
        pjm.start(self.state.name, hosts["hub"], nodes)

    def _start_destination(self, host: Host, hub: Host, ca_key: str, hub_keys: tuple[str, str] | None) -> None:
        services.pin_host_keys(hub, {host.name: cloud.make_host_key(host)})
        cloud.start(host)
        owner.install(host, self.source, ca_key, hub_keys)

    def _data(self) -> tuple[Path, Path]:
        """Folders with phantoms and with real CT."""
        return cloud.phantoms(self.source, STORE), self.source / "testbed" / "data"

    def _launch(self, role: str, devices: dict[str, tuple[int, int]]) -> None:
        base = self.state.folder / "hosts" / role
        base.mkdir(mode=0o700, parents=True)
        order = {
            "kind": "switch" if role == SWITCH else "host",
            "hostname": role,
            "base": str(base),
            "devices": devices,
            "layer": str(layer) if any((layer := programs.layer(self.environment)).iterdir()) else "",
            "proc": "hidepid=invisible" if role in NODES else "",
            "read_only": {"/opt/renkei/src": str(self.source), "/opt/renkei/env": str(self.environment)},
        }
        launch(processes.mark(self.state.name, role), order)


def _introduce(host: Host, hashes: dict[str, str]) -> None:
    """Give a fresh host its name, its neighbours and its accounts."""
    wanted = accounts.of(host.name, hashes)
    for path, text in accounts.account_files(wanted).items():
        host.write(path, text, 0o640 if "shadow" in path else 0o644, "root", "shadow" if "shadow" in path else None)
    host.write("/etc/hostname", f"{host.name}\n")
    host.write("/etc/hosts", hosts_file(host.name))
    host.folder("/run/lock", 0o1777)
    for account in wanted.accounts:
        if account.folder.startswith("/home/"):
            host.folder(account.folder, 0o700, account.name)


def _start_slurm(host: Host, key: str, gpus: list[str], epilog: str) -> None:
    slurm.prepare(host, key, gpus, epilog)
    slurm.start(host)
