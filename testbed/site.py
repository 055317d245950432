"""A whole site on this machine: bring it up, work with it, take it away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import cloud, kept, net, processes, services
from testbed.build import LINE, PAGE, SWITCH, Builder, Progress, Texts
from testbed.host import STANDALONE, Host, TestbedError, background
from testbed.layout import DESTINATIONS, HOSTS, PAGE_PORT, address
from testbed.state import State

REPOSITORY = Path(__file__).resolve().parent.parent
_PUBLISH = Path(__file__).with_name("publish.py")
_PUBLIC_PORT = 8000
"""Where the page is looked for on this machine: here, or on the next port that is free."""

_CHECKOUT = Texts()


def _quiet(_: str) -> None:
    return None


class Testbed:
    """The testbed called `name`. Every verb may be said again; what is already so stays so."""

    __test__ = False

    def __init__(
        self, name: str = "demo", source: Path = REPOSITORY, environment: Path = Path(sys.prefix), progress: Progress = _quiet
    ) -> None:
        if not name.isascii() or not name.replace("-", "").isalnum():
            raise TestbedError(f"a testbed's name has letters, digits and dashes, not {name!r}")
        self.name, self.source, self.environment, self.state = name, source, environment, State(name)
        self._builder = Builder(self.state, source, environment, progress)
        self._known: dict[str, int] = {}

    # What there is

    def _first(self, role: str) -> int | None:
        """The machine's number for the process with this role."""
        pid = self._known.get(role)
        if pid is None or not processes.is_marked(pid, processes.mark(self.name, role)):
            self._known = {each: pid for pid, each in processes.marked(self.name).items()}
        return self._known.get(role)

    def host(self, name: str) -> Host:
        """The host called `name`.

        Raises TestbedError when there is none.
        """
        if name not in HOSTS:
            raise TestbedError(f"there is no host {name!r}; there are {', '.join(HOSTS)}")
        first = self._first(name)
        if first is None:
            raise TestbedError(f"the testbed {self.name!r} is not up")
        return Host(name, first)

    @property
    def hosts(self) -> dict[str, Host]:
        """All hosts by name."""
        return {name: self.host(name) for name in HOSTS}

    @property
    def complete(self) -> bool:
        """Whether every host runs and `up` has come to its end."""
        return self.state.complete and all(self._first(role) is not None for role in (*HOSTS, SWITCH))

    @property
    def passwords(self) -> dict[str, str]:
        """Person → password at the hub."""
        return self.state.passwords

    @property
    def url(self) -> str:
        """The page's address on this machine."""
        return f"http://127.0.0.1:{self.state.port}"

    @property
    def round_trips(self) -> dict[str, float]:
        """Destination → milliseconds there and back."""
        return self.state.round_trips

    # Up and down

    def up(self, *, hub: bool = True, texts: Texts = _CHECKOUT) -> None:
        """Bring everything up; `hub=False` leaves out the authority, JupyterHub and the page.

        A half-made testbed is taken away first. Raises TestbedError when something does not start; `down` takes the rest away.
        """
        if os.geteuid() != 0:
            raise TestbedError("a testbed needs root: it makes namespaces and mounts")
        with self.state.alone():
            if not self.complete:
                self._down()
                self._builder.build(texts)
            if hub:
                self._up_hub()

    def _up_hub(self) -> None:
        hub = self.host("hub")
        if not (services.hub_processes(hub) and services.authority_processes(hub)):
            self._builder.say("authority and JupyterHub…")
        services.start_authority(hub)
        services.start_hub(hub)
        self._publish(hub)

    def _publish(self, hub: Host) -> None:
        if self._first(PAGE) is None:
            mark = processes.mark(self.name, PAGE)
            where = [str(hub.first), str(address("hub")), str(PAGE_PORT), str(_PUBLIC_PORT)]
            self.state.port = int(background([*STANDALONE, str(_PUBLISH), mark, *where]))

    def down(self) -> None:
        """Take everything away, also what a killed `up` has left."""
        with self.state.alone(forget=True):
            self._down()

    def _down(self) -> None:
        end = time.monotonic() + 20
        while found := processes.marked(self.name):
            processes.kill(list(found))
            processes.wait_gone(list(found), 10)
            if time.monotonic() > end:
                raise TestbedError(f"these processes do not end: {found}")
        self._known = {}
        self.state.remove()

    # Work with it

    def run(
        self,
        host: str,
        argv: Sequence[str],
        user: str | None = None,
        input: str | None = None,  # noqa: A002  (subprocess's own name)
        timeout: float = 60,
        *,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` on `host`; see `Host.run`."""
        return self.host(host).run(argv, user, input, timeout, check=check)

    def stop_hub(self) -> None:
        """End JupyterHub as its service manager would."""
        services.stop_hub(self.host("hub"))

    def kill_hub(self) -> None:
        """End JupyterHub as a crash would: its proxy lives on."""
        services.stop_hub(self.host("hub"), signal.SIGKILL)

    def start_hub(self) -> None:
        """Start JupyterHub if it does not run."""
        services.start_hub(self.host("hub"))

    def restart_hub(self) -> None:
        """End JupyterHub and start it again."""
        self.stop_hub()
        self.start_hub()

    def stop_authority(self) -> None:
        """End the process that signs certificates."""
        services.stop_authority(self.host("hub"))

    def start_authority(self) -> None:
        """Start the process that signs certificates if it does not run."""
        services.start_authority(self.host("hub"))

    @property
    def _switch(self) -> net.Switch:
        first = self._first(SWITCH)
        if first is None:
            raise TestbedError(f"the testbed {self.name!r} is not up")
        return net.Switch(first)

    def delay(self, milliseconds: float, destination: str | None = None) -> None:
        """Make the round trip between gateway and `destination` (all of them if None) that long, from now on."""
        chosen = [each.name for each in DESTINATIONS if destination in (None, each.name)]
        if not chosen or not 0 <= milliseconds <= 10_000:
            raise TestbedError(f"a delay is 0 to 10000 ms, to one of {', '.join(each.name for each in DESTINATIONS)}")
        self.state.round_trips = {**self.round_trips, **dict.fromkeys(chosen, milliseconds)}
        net.set_delays(self._switch, self._first(LINE), self.state.delays)

    def cut(self) -> None:
        """Drop every packet between the nodes and the gateway, silently."""
        net.cut(self.host("gw"))

    def restore(self) -> None:
        """End a cut."""
        net.restore(self.host("gw"))

    def forget(self) -> None:
        """Let the gateway forget every connection, as a reboot does; to leave it without power meanwhile, `cut` first."""
        net.forget(self.host("gw"))

    def reset(self) -> None:
        """Break every live connection to a destination with an RST."""
        net.reset([self.host(each.name) for each in DESTINATIONS])

    def stop_destination(self, name: str) -> None:
        """End sshd at a destination, with every session that it carries."""
        cloud.stop(self.host(name))

    def start_destination(self, name: str) -> None:
        """Let sshd at a destination listen again."""
        cloud.listen(self.host(name))

    def kept(self, host: str, *, everything: bool = False) -> list[kept.Kept]:
        """What `host` holds and did not hold, or held otherwise, when `up` was done; `everything`: since it was made."""
        now = kept.listing(self.host(host).first)
        if not everything:
            now -= self.state.baseline(host)
        return sorted(now)
