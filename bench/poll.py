"""`bin/bench poll`: scheduler queries a minute with 200 sessions, our one watcher against stock batchspawner's own loops."""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from bench.batch import Slurm
from bench.polling import FOLDER, LOG, Arm, Counted
from bench.report import Report, say
from testbed import services
from testbed.host import Host, TestbedError
from testbed.site import Testbed

SESSIONS = 200
QUEUED = 20
"""Of them, those that wait in the queue in the first half: people share few GPUs through one."""
SECONDS = 120
ACCOUNT = "rs-tanaka"
PARTITION = "ct-link"

_COUNTING = f"""#!/bin/bash
printf '%s %s\\n' "$EPOCHREALTIME" "${{0##*/}} $*" >> {LOG}
exec /usr/bin/${{0##*/}} "$@"
"""


def submit(hub: Host, count: int, name: str) -> list[str]:
    """Hand in `count` jobs that sleep; their ids."""
    one = f'sbatch --parsable -J {name} -D / -o /dev/null -p {PARTITION} -n1 -t 60 --wrap "sleep 3600"'
    script = f"for n in $(seq {count}); do {one}; done"
    return hub.run(["bash", "-c", script], user=ACCOUNT, timeout=300, check=True).stdout.split()


def wait(hub: Host, running: int, pending: int, seconds: float = 180) -> None:
    """Return when so many jobs run and so many wait."""
    end = time.monotonic() + seconds
    while True:
        states = hub.run(["squeue", "--noheader", "--format=%T"]).stdout.split()
        if (states.count("RUNNING"), states.count("PENDING")) == (running, pending):
            return
        if time.monotonic() > end:
            raise TestbedError(
                f"{states.count('RUNNING')} jobs run and {states.count('PENDING')} wait, not {running} and {pending}"
            )
        time.sleep(0.5)


def count(hub: Host, arm: Arm) -> Counted:
    """Have `arm` watched on the host `hub`."""
    argv = ["env", f"PYTHONPATH={services.SOURCE}", f"PATH={FOLDER}:/usr/bin:/bin", services.PYTHON, "-m", "bench.polling"]
    answer = hub.run(argv, input=msgspec.json.encode(arm).decode(), timeout=arm.seconds + 120, check=True)
    found = msgspec.json.decode(answer.stdout, type=Counted)
    who = "ours" if arm.ours else "stock"
    say(f"{who}: {len(arm.running)} run, {len(arm.queued)} wait: {found.per_minute:.1f} queries a minute")
    return found


def measure(testbed: Testbed, seconds: float) -> Report:
    """Both arms with a queue, then both with all sessions running."""
    hub = testbed.host("hub")
    hub.folder(FOLDER)
    for name in ("sudo", "squeue", "sinfo", "scontrol"):
        hub.write(f"{FOLDER}/{name}", _COUNTING, 0o755)
    Slurm().processors(testbed, SESSIONS // 2)
    others = submit(hub, QUEUED, "another")
    running = submit(hub, SESSIONS - QUEUED, "renkei-running")
    say(f"{len(running)} jobs of sessions are being started…")
    wait(hub, SESSIONS, 0)
    queued = submit(hub, QUEUED, "renkei-queued")
    wait(hub, SESSIONS, QUEUED)
    arms = [
        count(hub, Arm(ours=ours, running=tuple(running), queued=tuple(queued), account=ACCOUNT, seconds=seconds))
        for ours in (True, False)
    ]
    hub.run(["scancel", *others], check=True)
    wait(hub, SESSIONS, 0)
    arms += [
        count(hub, Arm(ours=ours, running=(*running, *queued), queued=(), account=ACCOUNT, seconds=seconds))
        for ours in (True, False)
    ]
    ours, stock, ours_running, stock_running = arms
    detail: dict[str, object] = {
        "scheduler": "Slurm 22.05, real, for both",
        "sessions": {"running": len(running), "queued": len(queued)},
        "queries_per_minute": {"ours": round(ours.per_minute, 2), "stock": round(stock.per_minute, 1)},
        "staleness_p95_s": round(max(ours.staleness_p95_s, ours_running.staleness_p95_s), 2),
        "all_running": {
            "ratio": round(ours_running.per_minute / stock_running.per_minute, 5),
            "queries_per_minute": {"ours": round(ours_running.per_minute, 2), "stock": round(stock_running.per_minute, 1)},
        },
        "seconds": seconds,
    }
    ratio = round(ours.per_minute / stock.per_minute, 5)
    return Report(bench="poll", value=ratio, unit="ours / stock", better="lower", detail=detail)


def main() -> int:
    """Bring a testbed up without a hub, measure, take it away."""
    parser = argparse.ArgumentParser(prog="bin/bench poll")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each of the four counts lasts")
    options = parser.parse_args()
    testbed = Testbed("bench-poll", progress=say)
    try:
        testbed.up(hub=False)
        measure(testbed, options.seconds).print()
    except TestbedError as error:
        say(str(error))
        return 1
    finally:
        testbed.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
