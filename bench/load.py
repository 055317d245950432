"""`bin/bench load`: many people ask at once at a real site; how quickly the hub's API goes on answering, and what became of them.

Accounts, quota, job, certificate, mount, walls and doorway are real; only the notebook server in the sandbox is a tiny HTTP
process.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
from pathlib import Path

import msgspec

from bench import crowd
from bench.asking import Crowd, Seen
from bench.batch import BATCHES, Batch
from bench.report import Report, quartiles, say
from testbed import services
from testbed.build import Texts
from testbed.host import Host, TestbedError
from testbed.layout import NODES, PAGE_PORT, address
from testbed.site import Testbed

PEOPLE = 200
WITHIN_S = 10.0
LOOK_S = 60.0
SLOTS = 16
"""Sessions that each of the two nodes has processors for; the others wait in the queue."""
SHARE = 0.9
"""Of the people, for how many the quota has room: one rule that all share, which they run into at once."""
SOURCE = "/opt/renkei/load"
AUDIT = "/var/log/renkei/audit.jsonl"

_RULE = """
from pathlib import Path
from spawner import site
from spawner.quota.policy import Kind, Rule, Scope
from spawner.quota.rulebook import Rulebook
from spawner.store.database import database_of
database = database_of(site.load(Path("/etc/renkei/site.toml")))
Rulebook(database).set_rule(Rule(scope=Scope.EVERYONE, kind=Kind.SESSIONS, limit={limit}, shared=True))
"""


def prepare(testbed: Testbed, batch: Batch, people: int, slots: int, password: str) -> tuple[str, ...]:
    """Processors, people, the tiny server and the rule; the hub runs afterwards. The people's names."""
    hub = testbed.host("hub")
    batch.processors(testbed, slots)
    names = crowd.people(testbed, batch, people, password)
    tiny = Path(__file__).with_name("tiny.py").read_text()
    for name in NODES:
        host = testbed.host(name)
        host.run(["cp", "-r", services.SOURCE, SOURCE], check=True)
        host.write(f"{SOURCE}/enclave/inside.py", tiny)
    site = hub.path("/etc/renkei/site.toml").read_text()
    hub.write("/etc/renkei/site.toml", site.replace(f'source = "{services.SOURCE}"', f'source = "{SOURCE}"'))
    testbed.up()
    python = ["env", f"PYTHONPATH={services.SOURCE}", services.PYTHON]
    hub.run([*python, "-c", _RULE.format(limit=round(people * SHARE))], user=services.HUB_ACCOUNT, check=True)
    return names


def ask(hub: Host, wish: Crowd) -> Seen:
    """Have them ask from the host `hub`."""
    argv = ["env", f"PYTHONPATH={services.SOURCE}", services.PYTHON, "-m", "bench.asking"]
    answer = hub.run(argv, input=msgspec.json.encode(wish).decode(), timeout=wish.look + 300, check=True)
    return msgspec.json.decode(answer.stdout, type=Seen)


class _Line(msgspec.Struct):
    """What of a line of the audit record is looked at."""

    event: str
    user: str = ""
    reason: str | None = None


def told(audit: str) -> dict[str, str]:
    """Person → why their start came to nothing, by the audit record: JupyterHub may have answered before that was known."""
    lines = [msgspec.json.decode(line, type=_Line) for line in audit.splitlines()]
    reasons = {"quota-refused": "quota", "session-refused": None, "session-end": None}
    return {line.user: reasons[line.event] or line.reason or "" for line in lines if line.event in reasons and line.user}


def report(seen: Seen, people: int, scheduler: str, queued: set[str], ended: dict[str, str]) -> Report:
    """The 95th percentile, and what became of each."""
    refused = set(seen.refused) | {name for name, reason in ended.items() if reason == "quota"}
    served = set(seen.served) - refused
    waiting = [name for name in set(seen.pending) - refused - served if f"rs-{name}" in queued]
    failed = sorted(reason for name, reason in ended.items() if name not in served and reason != "quota")
    detail: dict[str, object] = {
        "scheduler": scheduler,
        "hub_goes_first": crowd.weighted(),
        "people": people,
        "within_s": WITHIN_S,
        "served": len(served),
        "queued_or_starting": len(waiting),
        "refused_by_the_quota": len(refused),
        "lost": people - len(served) - len(waiting) - len(refused),
        "failed": {reason: failed.count(reason) for reason in dict.fromkeys(failed)},
        "over_quota": max(0, len(served) + len(waiting) - round(people * SHARE)),
        "errors": seen.errors[:5],
        "looks_ms": quartiles(seen.looks),
        "wishes_ms": quartiles(seen.wishes),
    }
    p95 = statistics.quantiles(seen.looks, n=20)[-1]
    return Report(bench="load", value=round(p95, 1), unit="ms", better="lower", detail=detail)


def main() -> int:
    """Bring a testbed up with a crowd, let it ask, take it away."""
    parser = argparse.ArgumentParser(prog="bin/bench load")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--slots", type=int, default=SLOTS, help="sessions that a node has processors for")
    parser.add_argument("--look", type=float, default=LOOK_S, help="seconds that each looks after the last has asked")
    parser.add_argument("--scheduler", choices=sorted(BATCHES), default="slurm", help="the site's batch system")
    options = parser.parse_args()
    if not crowd.weighted():
        say("This machine's scheduler gives sessions no weight (kernel.sched_autogroup_enabled): the hub starves with the rest.")
    testbed = Testbed("bench-load", progress=say)
    password = secrets.token_urlsafe(9)
    try:
        testbed.up(hub=False, texts=Texts.on(options.scheduler, testbed.source))
        batch = BATCHES[options.scheduler]()
        names = prepare(testbed, batch, options.people, options.slots, password)
        hub = testbed.host("hub")
        crowd.favour(hub)
        wish: dict[str, object] = {"resource_group": "ct-link", "destination": "cloud", "gpus": 0, "hours": 1, "language": "en"}
        url = f"http://{address('hub')}:{PAGE_PORT}"
        seen = ask(hub, Crowd(hub=url, people=names, password=password, options=wish, within=WITHIN_S, look=options.look))
        queued = {job.account for job in batch.jobs(hub) if job.alive}
        ended = told(hub.path(AUDIT).read_text())
        report(seen, options.people, options.scheduler, queued, ended).print()
    except TestbedError as error:
        say(str(error))
        return 1
    finally:
        testbed.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
