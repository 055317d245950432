"""The link under a real mount with a real OpenSSH behind it: random operations give what a local folder gives, cut or not.

A longer one, with cuts at random moments: `bin/bench differential --cuts --minutes 60`.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import pytest

from bench.differential import Cut, Round, judged, rounds
from bench.posix import Step
from testbed.nearby import Mount, Nearby, link_command, nearby


@pytest.fixture(scope="module")
def nearest() -> Iterator[Nearby]:
    with nearby() as found:
        yield found


@pytest.fixture
def here(nearest: Nearby) -> Nearby:
    """A destination on a line that is whole."""
    nearest.line.order("calm")
    return nearest


@pytest.fixture(scope="module")
def mount(nearest: Nearby) -> Iterator[Mount]:
    with nearest.mount(link_command()) as made:
        yield made


@pytest.mark.slow
def test_on_a_whole_line_nothing_differs_from_a_local_folder():
    found = list(rounds(link_command(), range(100, 106), cutting=False))

    assert [each.difference for each in found] == [""] * 6


BEFORE = [
    Step("replace", "a", size=300_000),
    Step("open", "a", slot=0, flags=os.O_RDWR),
    Step("open", "b", slot=1, flags=os.O_RDWR | os.O_CREAT),
    Step("pread", slot=0, size=100),
    Step("pwrite", slot=1, offset=50_000, size=70_000),
]
AFTER = [Step("fsync", slot=1), Step("pwrite", slot=1, size=10), Step("pread", slot=1, offset=49_000, size=2000), Step("list")]
SEEDS = itertools.count(1)
CUTS = {
    "reset": ((0.0, "reset"),),
    "server dies": ((0.0, "kill"),),
    "gone for a while": ((0.0, "refuse"), (0.0, "reset"), (0.5, "restore")),
}


@pytest.mark.parametrize("orders", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize(
    "last",
    [
        Step("pread", slot=0, offset=200_000, size=50_000),
        Step("pwrite", slot=1, offset=10, size=200_000),
        Step("fsync", slot=1),
        Step("ftruncate", slot=1, size=60_000),
        Step("whole", "a"),
        Step("replace", "d", size=1000),
    ],
    ids=lambda step: step.verb,
)
def test_a_broken_connection_is_not_noticed(here, mount, last, orders):
    # A folder of its own: one that is made again behind the mount's back is not known to it for a second.
    chosen = Round(next(SEEDS), here, [mount], cutting=False)
    chosen.steps = [*BEFORE, last, *AFTER]
    chosen.cuts = {len(BEFORE): Cut(len(BEFORE), orders)}

    found = judged(chosen, [mount])

    assert (found.difference, found.ambiguous, found.done) == ("", 0, len(chosen.steps))


@pytest.mark.slow
def test_bytes_of_a_held_connection_do_not_come_after_those_of_the_next(here, mount):
    """The old connection holds a write; the file has another one by then."""
    path = mount.place / "late"
    path.write_bytes(b"\0" * 100_000)
    with path.open("r+b", buffering=0) as file:
        here.line.order("hold")
        file.write(b"old" * 10_000)
        # Comes back when the link has given the silent connection up and written again over the next one.
        os.fsync(file.fileno())
        file.seek(0)
        file.write(b"new" * 10_000)
        os.fsync(file.fileno())
    here.line.order("restore")
    while int(here.line.order("count")[1]) > 1:
        time.sleep(0.01)
    mount.forget(path)

    assert path.read_bytes() == (here.folder / "late").read_bytes() == b"new" * 10_000 + b"\0" * 70_000
