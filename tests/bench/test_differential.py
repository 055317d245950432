"""The differential test finds what it is there for: no difference where there is none, and each kind that stock sshfs has."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.differential import Cut, Round, cuts, judged, rounds, same
from bench.posix import ONE_FILE, TREE, Side, Step, steps, tree
from testbed.nearby import Nearby, nearby


@pytest.fixture(scope="module")
def nearest():
    with nearby() as found:
        yield found


@pytest.fixture
def here(nearest):
    """A destination on a line that is whole."""
    nearest.line.order("calm")
    return nearest


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_the_same_steps_do_the_same_in_two_folders(tmp_path_factory, seed):
    one, other = (Side(tmp_path_factory.mktemp("side")) for _ in range(2))

    wanted = steps(random.Random(seed), 70)  # noqa: S311  (test data)
    said = [(one.do(step), other.do(step)) for step in wanted]

    assert [(step, *pair) for step, pair in zip(wanted, said, strict=True) if pair[0] != pair[1]] == []
    assert one.close() == other.close() == "ok"


def test_every_verb_succeeds_now_and_then(tmp_path):
    succeeded = set()
    for seed in range(30):
        (tmp_path / str(seed)).mkdir()
        side = Side(tmp_path / str(seed))
        succeeded |= {step.verb for step in steps(random.Random(seed), 70) if side.do(step).startswith("ok")}  # noqa: S311
        side.close()

    assert succeeded == (TREE | ONE_FILE).keys()


def test_a_side_says_what_a_program_sees(tmp_path):
    side = Side(tmp_path)
    said = [side.do(each) for each in (Step("replace", "a", size=5), Step("stat", "a"), Step("stat", "b"), Step("list"))]

    assert said == ["ok None", "ok 100644 5", "ENOENT", "ok ['a']"]
    assert tree(tmp_path)["a"].startswith("100644 5 5 ")


@pytest.mark.parametrize(
    ("mounted", "local", "expected"),
    [
        ("ok 5", "ok 5", True),
        ("ok 4", "ok 5", False),
        ("EPERM", "ENOTEMPTY", True),
        ("EIO", "ENOTEMPTY", False),
        ("EPERM", "ENOENT", False),
        ("EPERM", "ok", False),
    ],
)
def test_sftps_one_word_for_every_failure_is_no_difference(mounted, local, expected):
    assert same(mounted, local) is expected


def test_every_cut_ends_and_comes_while_there_are_steps():
    for seed in range(50):
        for each in cuts(random.Random(seed), 70):  # noqa: S311
            orders = [order for _, order in each.orders]
            assert 0 <= each.step < 70
            assert "restore" in orders or not {"silence", "hold", "refuse"} & set(orders)


@pytest.mark.slow
def test_stock_sshfs_on_a_whole_line_differs_in_nothing():
    found = list(rounds(None, range(8), cutting=False))

    assert [each.difference for each in found] == [""] * 8
    assert sum(each.done for each in found) > 500


def cut_round(here: Nearby, mount, steps: list[Step], *orders: tuple[float, str]) -> Round:
    """A round of these steps; the line breaks before the last one."""
    chosen = Round(1, here, [mount], cutting=False)
    chosen.steps, chosen.cuts = steps, {len(steps) - 1: Cut(len(steps) - 1, orders)}
    return chosen


DEAD = (0.0, "refuse"), (0.0, "reset")
"""The connection is gone, and none comes in its place."""
WRITTEN = [Step("replace", "a", size=500_000), Step("open", "a"), Step("pread", size=10)]


@pytest.mark.parametrize("last", [Step("pread", offset=300_000, size=100), Step("fsync"), Step("list")], ids=lambda step: step.verb)
def test_what_a_reset_does_to_stock_sshfs_is_seen(here, last):
    with here.mount() as mount:
        found = judged(cut_round(here, mount, [*WRITTEN, last], *DEAD), [mount])

    # A read that was answered in part before the reset ends early there, without a word: 0 bytes in the middle of a file.
    assert "the mount says 'EIO'" in found.difference or "the mount says 'ok 0 " in found.difference
    assert found.step == 3


def test_of_a_name_nobody_can_say_and_the_round_ends(here):
    with here.mount() as mount:
        found = judged(cut_round(here, mount, [*WRITTEN[:1], Step("unlink", "a")], *DEAD), [mount])

    assert (found.difference, found.ambiguous, found.done) == ("", 1, 1)


def test_a_folder_that_holds_something_else_at_the_end_is_seen(here):
    class Tampering(Round):
        def _end(self, mounted, local):
            (self.backing / "a").write_bytes(b"other")
            return super()._end(mounted, local)

    with here.mount() as mount:
        chosen = Tampering(1, here, [mount], cutting=False)
        chosen.steps = WRITTEN
        found = judged(chosen, [mount])

    assert found.difference.startswith("at the end, on disk: a: '100644 5 5 ")


@pytest.mark.slow
def test_what_hangs_is_given_up(here):
    with here.mount() as mount:
        found = judged(cut_round(here, mount, [*WRITTEN, Step("stat", "nosuch")], (0.0, "silence")), [mount], patience=3)

    assert "nothing for 3 s" in found.difference
    assert found.step == 3
