"""`bin/bench outage`: what programs notice when the line is cut, connections break or the cloud restarts; errors and wrong bytes.

Readers and writers that check every byte, and small trainings of the V-Net, on one mount at 8 ms; faults come one after the other
while they work. Then another mount through a forwarder that holds old connections and lets their bytes arrive after the new ones'.
`--full` takes the long cuts: 60, 300 and 360 s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ctlab.phantoms import make_cohort

from bench import distance, mounts, steady
from bench.distance import FAR_MS, Ends
from bench.mounts import CLOUD_ACCOUNT, UNIX_ACCOUNT, Mounted
from bench.report import Report, say
from bench.workers import Worker
from testbed import net, services
from testbed.host import STANDALONE, TestbedError
from testbed.layout import address
from testbed.nearby import Line

QUIET_S = 3.0
"""Between two faults: everybody works undisturbed."""
PATIENCE_S = 45.0
"""How long after a fault somebody may take to go on, before they count as stuck; `--full` gives TCP's own longest wait, 130 s."""
PATIENCE_FULL_S = 150.0
SILENCES, SILENCES_FULL = (8.0,), (60.0, 300.0, 360.0)
DOWN_S = 4.0
"""How long a gateway or an sshd is away."""
_LATE_PORT = 2203
_STEADY = f"{services.SOURCE}/bench/steady.py"


@dataclass(frozen=True)
class Fault:
    """Something that happens to the line; `do` comes back when it is over."""

    name: str
    do: Callable[[], None]


def faults(here: Ends, mount: Mounted, silences: tuple[float, ...]) -> Iterator[Fault]:
    """What a real line, gateway and cloud may do."""
    testbed = here.testbed

    def silence(seconds: float) -> None:
        testbed.cut()
        time.sleep(seconds)
        testbed.restore()

    def gateway() -> None:
        testbed.cut()
        testbed.forget()
        time.sleep(DOWN_S)
        testbed.restore()

    def sshd() -> None:
        testbed.stop_destination("cloud")
        time.sleep(DOWN_S)
        testbed.start_destination("cloud")

    def renewed() -> None:
        # Run out while the line is away: refused until the new one is there.
        mounts.certify(testbed, here.node, mount.run, here.session, seconds=1)
        time.sleep(2)
        testbed.reset()
        time.sleep(DOWN_S)
        mounts.certify(testbed, here.node, mount.run, here.session)

    for seconds in silences:
        yield Fault(f"silence of {seconds:.0f} s", partial(silence, seconds))
    yield Fault("reset", testbed.reset)
    yield Fault("gateway rebooted", gateway)
    yield Fault("gateway forgot its connections", testbed.forget)
    yield Fault("sshd restarted", sshd)
    yield Fault("reset, and the certificate renewed meanwhile", renewed)


def strike(fault: Fault, workers: list[Worker], patience: float) -> dict[str, object]:
    """Let one fault happen and wait until everybody has gone on; seconds until the last of the plain ones did, and who did not."""
    fault.do()
    over = time.monotonic()
    waiting = [each for each in workers if each.plain]
    while any(each.resumed(over) is None for each in waiting) and time.monotonic() < over + patience:
        time.sleep(0.05)
    ends = {each.name: each.resumed(over) for each in waiting}
    stuck = [name for name, end in ends.items() if end is None]
    lags = [end - over for end in ends.values() if end is not None]
    found: dict[str, object] = {"fault": fault.name, "resume_lag_s": None if stuck else round(max(lags), 2), "stuck": stuck}
    say(", ".join(f"{key}: {value}" for key, value in found.items()))
    time.sleep(QUIET_S)
    return found


@contextlib.contextmanager
def working(here: Ends, mount: Mounted, *, training: bool) -> Iterator[list[Worker]]:
    """The programs, at work."""
    kinds = {"reader": "steady-read", "writer": "steady-written", "replacer": "steady-replaced"}
    workers = []
    for name, file in kinds.items():
        (here.own / file).write_bytes(steady.whole({}))
        os.chown(here.own / file, here.cloud.user(CLOUD_ACCOUNT).uid, -1)
        process = here.node.popen([*STANDALONE, _STEADY, name, f"{mount.own}/{file}"], UNIX_ACCOUNT)
        workers.append(Worker(name, process, here.own / file if name != "reader" else None))
    if training:
        environment = {"PYTHONPATH": f"{services.SOURCE}:{services.SOURCE}/kernels", "OMP_WAIT_POLICY": "PASSIVE"}
        argv = [services.PYTHON, "-m", "bench.steady_training", f"{mount.own}/steady-cohort", f"{mount.own}/steady-training"]
        workers.append(Worker("training", here.node.popen(argv, UNIX_ACCOUNT, environment), None))
    try:
        yield workers
    finally:
        for each in workers:
            each.process.kill()
            each.process.wait()


def watched(
    here: Ends, mount: Mounted, chosen: Callable[[], Iterator[Fault]], patience: float, *, training: bool
) -> tuple[list[dict[str, object]], dict[str, object], int]:
    """Faults while programs work: what each did, what all programs saw, and how many errors and wrong bytes that is."""
    with working(here, mount, training=training) as workers:
        first = time.monotonic()
        # A training's first step comes late; nothing is broken before it has its network to compare with.
        while any(each.resumed(first) is None for each in workers):
            if time.monotonic() > first + 300 or any(each.process.poll() is not None for each in workers):
                said = b"".join(
                    each.process.stderr.read() for each in workers if each.process.stderr and each.process.poll() is not None
                )
                raise TestbedError(f"the programs do not work even without a fault: {said.decode()[-2000:]}")
            time.sleep(0.05)
        struck = [strike(each, workers, patience) for each in chosen()]
        ended = {each.name: each.end(300 if each.name == "training" else patience) for each in workers}
        outcomes = {each.name: Counter(done.outcome for done in each.done) for each in workers}
        spoilt = [each.name for each in workers if ended[each.name] and not each.right()]
    stuck = sum(len(each["stuck"]) for each in struck if isinstance(each["stuck"], list))
    hanging = [name for name, good in ended.items() if not good]
    bad = sum(count for each in outcomes.values() for outcome, count in each.items() if outcome != "ok")
    seen: dict[str, object] = {"outcomes": outcomes, "files_wrong_on_the_cloud": spoilt, "did_not_end": hanging}
    return struck, seen, bad + stuck + len(spoilt) + len(hanging)


@contextlib.contextmanager
def held_back(here: Ends) -> Iterator[Line]:
    """A forwarder on the gateway, beside its translation, that can hold connections."""
    gateway = here.testbed.host("gw")
    net.admit(gateway, _LATE_PORT)
    argv = [
        *STANDALONE,
        f"{services.SOURCE}/testbed/forwarder.py",
        f"{address('gw', 'link')}:{_LATE_PORT}",
        f"{address('cloud')}:22",
    ]
    command, environment = gateway.command(argv)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd="/") as process:
        try:
            if process.stdout is None or not process.stdout.readline().startswith("ready"):
                raise TestbedError("the forwarder on the gateway did not start")
            yield Line(process, _LATE_PORT)
        finally:
            process.kill()


def late(line: Line) -> Iterator[Fault]:
    """An old connection's bytes arrive after a new one has gone on, twice."""

    def held() -> None:
        line.order("hold")
        before = line.order("count")[0]
        end = time.monotonic() + 2 * PATIENCE_S / 3
        # Whoever reconnects has gone on by then; who does not, waits for the old one.
        while line.order("count")[0] == before and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(QUIET_S)
        line.order("restore")

    yield Fault("old bytes late", held)
    yield Fault("old bytes late again", held)


def measure(here: Ends, options: argparse.Namespace) -> Report:
    """All faults; the training is there unless it is left out."""
    patience = PATIENCE_FULL_S if options.full else PATIENCE_S
    if options.training:
        plant_cohort(here)
    program = None if options.plain else options.ssh_command
    here.testbed.delay(FAR_MS)
    struck: list[dict[str, object]] = []
    detail: dict[str, object] = {}
    value = 0
    with mounts.mounted(here.testbed, here.node, "/var/tmp/bench-outage", here.session, program) as mount:  # noqa: S108
        silences = SILENCES_FULL if options.full else SILENCES
        events, detail["line"], bad = watched(
            here, mount, lambda: faults(here, mount, silences), patience, training=options.training
        )
        detail["link_memory_mb"] = round(mounts.peak_memory(here.node) / 1e6, 1)
        struck, value = struck + events, value + bad
    with (
        held_back(here) as line,
        mounts.mounted(here.testbed, here.node, "/var/tmp/bench-late", here.session, program, port=_LATE_PORT) as mount,  # noqa: S108
    ):
        events, detail["late"], bad = watched(here, mount, lambda: late(line), patience, training=False)
        struck, value = struck + events, value + bad
    lags = [each["resume_lag_s"] for each in struck if isinstance(each["resume_lag_s"], float)]
    detail |= {"resume_lag_s": max(lags, default=None), "faults": struck, "training": options.training}
    return Report(bench="outage", value=value, unit="errors and wrong bytes that programs saw", better="lower", detail=detail)


def plant_cohort(here: Ends) -> None:
    """Three tiny phantoms in the person's own folder."""
    with tempfile.TemporaryDirectory() as made:
        make_cohort(Path(made), 2, 1, 5, (32, 32, 24))
        for path in sorted(Path(made).rglob("*")):
            target = here.own / "steady-cohort" / path.relative_to(made)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    here.cloud.run(["chown", "-R", CLOUD_ACCOUNT, f"/srv/cloud/{mounts.OWN_FOLDER}/steady-cohort"], check=True)


def main() -> int:
    """Measure and print; 0 when it was possible."""
    parser = argparse.ArgumentParser(prog="bin/bench outage")
    parser.add_argument("--full", action="store_true", help="silence of 60, 300 and 360 s")
    parser.add_argument("--no-training", dest="training", action="store_false", help="readers and writers alone")
    program = parser.add_mutually_exclusive_group()
    program.add_argument("--plain", action="store_true", help="plain sshfs, to see what it does")
    program.add_argument("--ssh-command", default=mounts.LINK, help="what sshfs starts in ssh's place")
    return distance.run("outage", parser.parse_args(), measure)


if __name__ == "__main__":
    sys.exit(main())
