"""`bin/bench spawn`: click to first result, ours with mount and walls against stock batchspawner with neither."""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import msgspec

from bench import stock
from bench.report import Report, quartiles, say
from bench.visit import Phases, Visit
from testbed import services
from testbed.host import Host, TestbedError
from testbed.layout import PAGE_PORT, address
from testbed.site import Testbed

KERNEL = "ct"
GROUP = "ct-link"
GPUS = 1
PAIRS = 9


def make(hub: Host, wish: Visit) -> Phases:
    """Have a client on the host `hub` make the visit, and wait until its job is gone from the nodes too."""
    argv = ["env", f"PYTHONPATH={services.SOURCE}", services.PYTHON, "-m", "bench.visit"]
    answer = hub.run(argv, input=msgspec.json.encode(wish).decode(), timeout=240, check=True)
    end = time.monotonic() + 60
    while hub.run(["squeue", "--noheader"]).stdout.strip():
        if time.monotonic() > end:
            raise TestbedError("a job stayed after its server was stopped")
        time.sleep(0.2)
    return msgspec.json.decode(answer.stdout, type=Phases)


def measure(testbed: Testbed, pairs: int) -> tuple[list[Phases], list[Phases]]:
    """`pairs` visits at each hub, ours and stock, in turns; one at each before them does not count."""
    hub = testbed.host("hub")
    other = stock.start(testbed.hosts, GROUP, GPUS)
    options: dict[str, object] = {"resource_group": GROUP, "destination": "cloud", "gpus": GPUS, "hours": 1, "language": "en"}
    person = stock.PERSON
    wishes = (
        Visit(f"http://{address('hub')}:{PAGE_PORT}", person, testbed.passwords[person], options, KERNEL),
        Visit(other.address, person, other.password, {}, KERNEL),
    )
    for wish in wishes:
        make(hub, wish)
    found: tuple[list[Phases], list[Phases]] = ([], [])
    for number in range(pairs):
        for arm in (0, 1) if number % 2 == 0 else (1, 0):
            found[arm].append(make(hub, wishes[arm]))
        say(f"pair {number + 1}/{pairs}: ours {found[0][-1].total:.2f} s, stock {found[1][-1].total:.2f} s")
    return found


def report(ours: list[Phases], stock_arm: list[Phases]) -> Report:
    """The median of the pairs' ratios, and what lies behind it."""
    ratios = [mine.total / theirs.total for mine, theirs in zip(ours, stock_arm, strict=True)]
    arms = {
        name: {"total": quartiles([each.total for each in arm])}
        | {phase: quartiles([getattr(each, phase) for each in arm]) for phase in Phases.__struct_fields__}
        for name, arm in (("ours", ours), ("stock", stock_arm))
    }
    detail = {"pairs": len(ratios), "ratio": quartiles(ratios), "seconds": arms}
    return Report(bench="spawn", value=round(statistics.median(ratios), 3), unit="ours / stock", better="lower", detail=detail)


def main() -> int:
    """Bring a testbed up, measure, take it away."""
    parser = argparse.ArgumentParser(prog="bin/bench spawn")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    testbed = Testbed("bench-spawn", progress=say)
    try:
        testbed.up()
        report(*measure(testbed, options.pairs)).print()
    except TestbedError as error:
        say(str(error))
        return 1
    finally:
        testbed.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
