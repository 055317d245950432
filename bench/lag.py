"""`bin/bench lag`: how long after a cut programs go on, on loopback: no hosts and no gateway, so that each cut takes seconds.

A reader, a writer and a replacer (`steady.py`) on one mount at 8 ms, in a network of its own. The kernel drops packets there, so
silence is a real line's: what is sent is lost, and sent again by TCP's own timers. `--load N` has N programs spin beside it.
`bin/bench outage` has the same kinds of cut over a site's real gateway.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench import steady
from bench.report import Report, say
from bench.workers import Worker
from testbed.host import TestbedError
from testbed.nearby import Mount, Nearby, certify, link_command, nearby

_STEADY = Path(__file__).with_name("steady.py")
_KINDS = ("reader", "writer", "replacer")
_FAR_MS = 8.0
_PATIENCE = 60.0
_RULES = {
    "drop": "tcp dport {port} drop\ntcp sport {port} drop",
    "refuse": "tcp dport {port} tcp flags & (syn|ack) == syn reject with tcp reset",
}
_TABLE = "table inet lag {{\nchain input {{\ntype filter hook input priority 0\n{rules}\n}}\n}}\n"


def rules(port: int, kind: str = "") -> None:
    """What the network does with packets of the destination's port from now on; `kind` is a key of _RULES, or empty for nothing."""
    text = "table inet lag\ndelete table inet lag\n"
    if kind:
        text += _TABLE.format(rules=_RULES[kind].format(port=port))
    subprocess.run(["/usr/sbin/nft", "-f", "-"], input=text, text=True, check=True)


def cuts(here: Nearby, seconds: float) -> dict[str, Callable[[], object]]:
    """Each kind of cut; it comes back when the line is whole again."""
    port, line = here.line.port, here.line

    def away(kind: str, *, broken: bool, seconds: float) -> None:
        rules(port, kind)
        if broken:
            line.order("reset")
        time.sleep(seconds)
        rules(port)

    def renewed() -> None:
        # A certificate that has run out is refused, until the new one lies there.
        whole = (here.run / "ca.pub").read_text()
        (here.run / "ca.pub").write_text((here.run / "host.pub").read_text())
        line.order("reset")
        time.sleep(seconds)
        (here.run / "ca.pub").write_text(whole)
        certify(here.run, serial=time.time_ns())
        for keys in here.run.glob("mount-*/keys"):
            fresh = keys / "fresh"
            fresh.write_bytes((here.run / "key-cert.pub").read_bytes())
            fresh.replace(keys / "key-cert.pub")

    return {
        "silence": partial(away, "drop", broken=False, seconds=2 * seconds),
        "reset": partial(line.order, "reset"),
        "gateway rebooted": partial(away, "drop", broken=True, seconds=seconds),
        "gateway forgot": partial(away, "drop", broken=True, seconds=0.0),
        "sshd restarted": partial(away, "refuse", broken=True, seconds=seconds),
        "certificate renewed": renewed,
    }


@contextlib.contextmanager
def working(here: Nearby, mount: Mount) -> Iterator[list[Worker]]:
    """The programs, each of which has done something."""
    workers = []
    for name in _KINDS:
        (here.folder / name).write_bytes(steady.whole({}))
        argv = [sys.executable, "-I", "-S", str(_STEADY), name, str(mount.place / name)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe)
        workers.append(Worker(name, process, here.folder / name if name != "reader" else None))
    try:
        _await(workers, time.monotonic())
        yield workers
        ended = [each.end(_PATIENCE) for each in workers]
        if not all(ended) or not all(each.right() for each in workers):
            raise TestbedError("a program did not end, or what it wrote is not what the destination holds")
    finally:
        for each in workers:
            each.process.kill()
            each.process.wait()


def _await(workers: list[Worker], since: float) -> float:
    """Seconds from `since` until the last of them has done something that it ended later. Raises TestbedError for an error."""
    while any(each.resumed(since) is None for each in workers):
        wrong = [done.outcome for each in workers for done in each.done if done.outcome != "ok"]
        if wrong or time.monotonic() > since + _PATIENCE:
            raise TestbedError(f"programs saw {wrong or 'nothing'}")
        time.sleep(0.01)
    return max((each.resumed(since) or since) - since for each in workers)


@contextlib.contextmanager
def load(count: int) -> Iterator[None]:
    """So many programs that only compute."""
    spinning = [subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


def measure(options: argparse.Namespace) -> Report:
    """Each kind of cut so many times."""
    with nearby() as here:
        here.line.order("delay", _FAR_MS)
        chosen = {name: cut for name, cut in cuts(here, options.seconds).items() if not options.only or name in options.only}
        lags: dict[str, list[float]] = {name: [] for name in chosen}
        with here.mount(options.ssh_command) as mount, working(here, mount) as workers, load(options.load):
            for _ in range(options.times):
                for name, cut in chosen.items():
                    cut()
                    over = time.monotonic()
                    lags[name].append(round(_await(workers, over), 2))
                    say(f"{name}: {lags[name][-1]} (over at {over:.3f}, load {os.getloadavg()[0]:.0f})")
                    time.sleep(options.quiet)
    detail: dict[str, object] = {name: {"median": statistics.median(each), "longest": max(each)} for name, each in lags.items()}
    detail |= {"load": options.load, "load_average": round(os.getloadavg()[0], 1), "times": options.times}
    unit = "s from the line's return to the last program's next success"
    return Report(bench="lag", value=max(max(each) for each in lags.values()), unit=unit, better="lower", detail=detail)


def main() -> int:
    """Measure and print; 0 when it was possible."""
    parser = argparse.ArgumentParser(prog="bin/bench lag")
    parser.add_argument("--times", type=int, default=5, help="of each kind")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a destination is away; silence is twice as long")
    parser.add_argument("--quiet", type=float, default=7.0, help="seconds between two, so that the link is as in the midst of work")
    parser.add_argument("--load", type=int, default=0, help="programs that spin beside it")
    parser.add_argument("--only", action="append", help="this kind of cut")
    parser.add_argument("--ssh-command", default=link_command(), help="what sshfs starts in ssh's place")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        # A network of its own: nothing else is dropped, and it goes with this process.
        os.execv("/usr/bin/unshare", ["unshare", "--net", sys.executable, "-m", "bench.lag", "--inside", *sys.argv[1:]])  # noqa: S606
    subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)
    try:
        measure(options).print()
    except TestbedError as error:
        say(f"bin/bench lag: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
