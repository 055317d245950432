"""Two hundred people ask at the same moment: as many are let in as fit, not one more and not one less."""

from __future__ import annotations

import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spawner.quota.ledger import By, Ledger, State
from spawner.quota.policy import Kind, Scope, Window
from tests.quota.askers import WISHES, wishes
from tests.quota.samples import NOW, gpu_hours, rule, wish

RULES = (
    rule(Kind.GPUS, 16, id=0, shared=True),
    rule(Kind.SESSIONS, 3, id=0),
    gpu_hours(5.0, Window.WEEK, id=0, scope=Scope.GROUP, subject="residents", shared=True),
)


def check(ledger: Ledger, granted: int) -> None:
    """All 16 GPUs are taken, five of them at most by residents, and nobody has more than three sessions."""
    assert granted == 16 == len(ledger.charges(0.0))
    assert max(each.sessions for each in ledger.usage(By.USER, NOW)) <= 3
    (residents,) = ledger.usage(By.GROUP, NOW)
    assert residents.gpu_hours <= 5


def test_two_hundred_at_once_in_threads(url, either):
    for each in RULES:
        either.set_rule(each)

    with ThreadPoolExecutor(WISHES) as pool:
        granted = sum(refused is None for refused in pool.map(either.reserve, wishes()))

    check(either, granted)


@pytest.mark.slow
def test_two_hundred_at_once_from_several_processes(url, either):
    for each in RULES:
        either.set_rule(each)

    argv = [sys.executable, "-m", "tests.quota.askers", url, "3"]
    asking = [subprocess.Popen([*argv, str(part)], stdout=subprocess.PIPE, text=True) for part in range(3)]
    granted = sum(int(each.communicate(timeout=120)[0]) for each in asking)

    check(either, granted)


def test_one_session_asked_for_by_many_at_once_is_charged_once(either):
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(either.reserve, [wish(session="same")] * 20)) == {None}

    assert [each.state for each in either.charges(0.0)] == [State.RESERVED]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(0, 12),
    shared=st.booleans(),
    kind=st.sampled_from([Kind.SESSIONS, Kind.GPUS]),
    asked=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=24),
)
def test_whatever_is_asked_for_at_once_nobody_stands_above_a_limit(ledger, limit, shared, kind, asked):
    made = ledger.set_rule(rule(kind, limit, id=0, shared=shared))
    names = {uuid.uuid4().hex[:16]: one for one in asked}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: ledger.reserve(wish(session=name, user=names[name][0], gpus=names[name][1])), names))

    for user in "abc":
        standing = next((each for each in ledger.standing(user, (), NOW) if each.rule.id == made.id), None)
        # Who asks for no GPU takes none of them.
        assert standing.used <= limit
    for name in names:
        ledger.void(name, NOW)
    ledger.remove_rule(made.id)
