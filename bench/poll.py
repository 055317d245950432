"""`bin/bench poll`: scheduler queries a minute with 200 sessions, our one watcher against stock batchspawner's own loops."""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bench import crowd
from bench.batch import BATCHES
from bench.polling import FOLDER, LOG, Arm, Counted
from bench.report import Report, say
from spawner.site import Kind
from testbed import services
from testbed.build import Texts
from testbed.host import Host, TestbedError
from testbed.pjm.install import turn
from testbed.site import Testbed

SESSIONS = 200
QUEUED = 20
"""Of them, those that wait in the queue in the first half: people share few GPUs through one."""
SECONDS = 120
PARTITION = "ct-link"

_COUNTING = f"""#!/bin/bash
printf '%s %s\\n' "$EPOCHREALTIME" "${{0##*/}} $*" >> {LOG}
exec /usr/bin/${{0##*/}} "$@"
"""


@dataclass(frozen=True)
class Words:
    """How a batch system is given jobs that sleep, and asked for them."""

    what: str
    """Whose it is, for the report."""
    submit: str
    """A shell's line that hands in one called {name}, and prints its id."""
    states: tuple[str, ...]
    """The command that prints a word for each job."""
    running: str
    pending: str
    cancel: str
    counted: tuple[str, ...]
    """Commands of which each call is counted."""


WORDS = {
    Kind.SLURM: Words(
        what="Slurm 22.05, real, for both",
        submit=f'sbatch --parsable -J {{name}} -D / -o /dev/null -p {PARTITION} -n1 -t 60 --wrap "sleep 3600"',
        states=("squeue", "--noheader", "--format=%T"),
        running="RUNNING",
        pending="PENDING",
        cancel="scancel",
        counted=("sudo", "squeue", "sinfo", "scontrol"),
    ),
    Kind.PJM: Words(
        what="the emulator of PJM, for both",
        submit=(
            "cd / && printf '#!/bin/bash\\nexec sleep 3600\\n' | pjsub -z jid -N {name} --norestart -j -o /dev/null"
            f" -L rscgrp={PARTITION},elapse=7200,vnode-core=1"
        ),
        states=("pjstat", "-A", "--data", "--choose=st"),
        running=",RUN",
        pending=",QUE",
        cancel="pjdel",
        counted=("sudo", "pjstat"),
    ),
}


def submit(hub: Host, words: Words, accounts: Sequence[str], count: int, name: str) -> dict[str, str]:
    """Hand in `count` jobs that sleep, of `accounts` in turn; job → account."""
    whose = dict.fromkeys(accounts, 0)
    for account in itertools.islice(itertools.cycle(accounts), count):
        whose[account] += 1
    found: dict[str, str] = {}
    for account, many in whose.items():
        script = f"for n in $(seq {many}); do {words.submit.format(name=name)}; done"
        if many:
            answer = hub.run(["bash", "-c", script], user=account, timeout=300, check=True)
            found |= dict.fromkeys(answer.stdout.split(), account)
    return found


def wait(hub: Host, words: Words, running: int, pending: int, seconds: float = 300) -> None:
    """Return when so many jobs run and so many wait."""
    end = time.monotonic() + seconds
    while True:
        states = hub.run(list(words.states)).stdout.split()
        if (states.count(words.running), states.count(words.pending)) == (running, pending):
            return
        if time.monotonic() > end:
            there = f"{states.count(words.running)} jobs run and {states.count(words.pending)} wait"
            raise TestbedError(f"{there}, not {running} and {pending}")
        time.sleep(0.5)


def count(hub: Host, arm: Arm) -> Counted:
    """Have `arm` watched on the host `hub`."""
    argv = ["env", f"PYTHONPATH={services.SOURCE}", f"PATH={FOLDER}:/usr/bin:/bin", services.PYTHON, "-m", "bench.polling"]
    answer = hub.run(argv, input=msgspec.json.encode(arm).decode(), timeout=arm.seconds + 120, check=True)
    found = msgspec.json.decode(answer.stdout, type=Counted)
    who = ("ours, an account at a time" if arm.hidden else "ours") if arm.ours else "stock"
    say(f"{who}: {len(arm.running)} run, {len(arm.queued)} wait: {found.per_minute:.1f} queries a minute")
    return found


def counts(hub: Host, kind: Kind, running: dict[str, str], queued: dict[str, str], seconds: float) -> dict[str, Counted]:
    """Every arm over the same jobs, by its name."""
    arms = {"ours": Arm(ours=True, running=running, queued=queued, seconds=seconds, scheduler=kind)}
    if kind is Kind.PJM:
        arms["hidden"] = msgspec.structs.replace(arms["ours"], hidden=True)
    arms["stock"] = msgspec.structs.replace(arms["ours"], ours=False)
    return {name: count(hub, arm) for name, arm in arms.items()}


def measure(testbed: Testbed, kind: Kind, people: int, seconds: float) -> Report:
    """All arms with a queue, then all with every session running."""
    hub, words, batch = testbed.host("hub"), WORDS[kind], BATCHES[kind]()
    hub.folder(FOLDER)
    for name in words.counted:
        hub.write(f"{FOLDER}/{name}", _COUNTING, 0o755)
    batch.processors(testbed, SESSIONS // 2)
    accounts = ["rs-tanaka"]
    if kind is Kind.PJM:
        accounts = [f"rs-{name}" for name in crowd.people(testbed, batch, people, secrets.token_urlsafe(9))]
        turn(hub, sees_all=True)
    others = submit(hub, words, accounts, QUEUED, "another")
    running = submit(hub, words, accounts, SESSIONS - QUEUED, "renkei-running")
    say(f"{len(running)} jobs of sessions are being started…")
    wait(hub, words, SESSIONS, 0)
    queued = submit(hub, words, accounts[-QUEUED:], QUEUED, "renkei-queued")
    wait(hub, words, SESSIONS, QUEUED)
    queue = counts(hub, kind, running, queued, seconds)
    hub.run([words.cancel, *others], check=True)
    wait(hub, words, SESSIONS, 0)
    all_running = counts(hub, kind, {**running, **queued}, {}, seconds)
    detail: dict[str, object] = {
        "scheduler": words.what,
        "sessions": {"running": len(running), "queued": len(queued)},
        "queries_per_minute": per_minute(queue),
        "staleness_p95_s": round(max(queue["ours"].staleness_p95_s, all_running["ours"].staleness_p95_s), 2),
        "all_running": {"ratio": ratio(all_running), "queries_per_minute": per_minute(all_running)},
        "seconds": seconds,
    }
    if kind is Kind.PJM:
        detail["hidden"] = {
            "accounts": len({*running.values(), *queued.values()}),
            "ratio": ratio(queue, "hidden"),
            "ratio_all_running": ratio(all_running, "hidden"),
            "staleness_p95_s": round(max(queue["hidden"].staleness_p95_s, all_running["hidden"].staleness_p95_s), 2),
        }
    return Report(bench="poll", value=ratio(queue), unit="ours / stock", better="lower", detail=detail)


def per_minute(found: dict[str, Counted]) -> dict[str, float]:
    """Each arm's queries."""
    return {name: round(each.per_minute, 2) for name, each in found.items()}


def ratio(found: dict[str, Counted], arm: str = "ours") -> float:
    """An arm's queries by stock's."""
    return round(found[arm].per_minute / found["stock"].per_minute, 5)


def main() -> int:
    """Bring a testbed up without a hub, measure, take it away."""
    parser = argparse.ArgumentParser(prog="bin/bench poll")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each count lasts")
    parser.add_argument("--scheduler", choices=sorted(BATCHES), default="slurm", help="the site's batch system")
    parser.add_argument("--people", type=int, default=SESSIONS, help="on PJM: whose the sessions are, each with an account")
    options = parser.parse_args()
    testbed = Testbed("bench-poll", progress=say)
    try:
        testbed.up(hub=False, texts=Texts.on(options.scheduler, testbed.source))
        measure(testbed, Kind(options.scheduler), options.people, options.seconds).print()
    except TestbedError as error:
        say(str(error))
        return 1
    finally:
        testbed.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
