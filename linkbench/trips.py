"""Round trips without any right: a TCP connection to a host, or a question through a mount that only the other end can answer."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkbench.results import LinkbenchError, Trip
from phrases import N_

WAIT_S = 5.0
"""For an answer."""
PAUSE_S = 0.05


@dataclass(frozen=True)
class Destination:
    """Somewhere to ask: `place` is a folder, or a host with a port."""

    name: str
    place: Path | tuple[str, int]


def destination(text: str) -> Destination:
    """Of `NAME=HOST:PORT`, `NAME=[IPV6]:PORT` or `NAME=/FOLDER`. Raises LinkbenchError for anything else."""
    name, _, place = text.partition("=")
    if name and place.startswith("/"):
        return Destination(name, Path(place))
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (name and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise LinkbenchError(
            N_("{text} names no destination. Write NAME=HOST:PORT, or NAME=/FOLDER for one that is mounted."), text=text
        )
    return Destination(name, (host, int(port)))


def trips(where: Sequence[Destination], count: int) -> tuple[Trip, ...]:
    """`count` round trips to each."""
    return tuple(_trips(each, count) for each in where)


def _trips(where: Destination, count: int) -> Trip:
    ask = _stat(where.place) if isinstance(where.place, Path) else _connect(*where.place)
    # The first one finds the way: names, routes, neighbours.
    times = [_timed(ask) for _ in range(count)][1:]
    answered = [each for each in times if each is not None]
    known = bool(answered)
    return Trip(
        name=where.name,
        by="stat" if isinstance(where.place, Path) else "tcp",
        least=min(answered) if known else None,
        mean=sum(answered) / len(answered) if known else None,
        most=max(answered) if known else None,
        answered=len(answered),
        failed=len(times) - len(answered),
    )


def _timed(ask: Callable[[], None]) -> float | None:
    time.sleep(PAUSE_S)
    begun = time.perf_counter()
    try:
        ask()
    except OSError:
        return None
    return 1000 * (time.perf_counter() - begun)


def _stat(folder: Path) -> Callable[[], None]:
    def ask() -> None:
        try:
            # A name that never was: no cache can know it.
            (folder / f"linkbench-{secrets.token_hex(8)}").stat()
        except FileNotFoundError:
            return

    return ask


def _connect(host: str, port: int) -> Callable[[], None]:
    try:
        # Asked once: what a name server takes is no distance.
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise LinkbenchError(N_("{host} is no name or address that this machine knows. Check --hosts."), host=host) from error

    def ask() -> None:
        with socket.socket(family, kind) as line:
            line.settimeout(WAIT_S)
            line.connect(address)

    return ask
