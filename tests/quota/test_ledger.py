"""Reserved at submit, settled by the batch system's times, each session charged once."""

from __future__ import annotations

import msgspec
import pytest

from spawner.quota.ledger import By, Source, State, Times, lengthen
from spawner.quota.policy import Exemption, Kind, Scope, Window
from spawner.quota.rulebook import BadRuleError
from tests.quota.samples import NOW, H, gpu_hours, rule, wish


def entry(either, session: str):
    return next(each for each in either.charges(0.0) if each.charge.session == session)


def test_what_was_reserved_counts_against_the_next_wish(either):
    either.set_rule(rule(Kind.SESSIONS, 1, id=0))

    assert either.reserve(wish(session="a")) is None
    assert either.reserve(wish(session="b")).rule.kind is Kind.SESSIONS
    assert either.reserve(wish(session="c", user="suzuki")) is None


def test_a_session_that_asks_again_is_charged_once(either):
    either.set_rule(rule(Kind.SESSIONS, 1, id=0))

    assert [either.reserve(wish(session="a")) for _ in range(3)] == [None, None, None]
    assert len(either.charges(0.0)) == 1


def test_a_session_is_settled_once_by_the_times_of_its_job(either):
    either.reserve(wish(session="a", gpus=2, hours=8.0))

    assert either.settle("a", "17", Times(began=NOW + 60, ended=NOW + 60 + H), Source.SCHEDULER)
    assert not either.settle("a", "17", Times(began=NOW, ended=NOW + 9 * H), Source.HUB)

    (used,) = either.usage(By.USER, NOW)
    assert (used.name, used.sessions, used.hours, used.gpu_hours) == ("tanaka", 1, pytest.approx(1.0), pytest.approx(2.0))


def test_a_job_that_never_ran_counts_nothing(either):
    either.set_rule(gpu_hours(1.0, id=0))
    either.reserve(wish(session="a"))
    either.reserve(wish(session="b", user="mori"))

    assert either.void("a", NOW + 5)
    assert not either.void("a", NOW + 6)
    assert either.settle("b", "18", Times(began=None, ended=NOW + 5), Source.SCHEDULER)

    assert either.usage(By.USER, NOW) == ()
    assert either.reserve(wish(session="c", at=NOW + 5)) is None


def test_a_session_that_runs_tells_when_it_is_over_at_the_latest(either):
    either.set_rule(rule(Kind.SESSIONS, 1, id=0))
    either.reserve(wish(session="a", hours=2.0))
    either.began("a", "17", NOW + 60)

    assert either.reserve(wish(session="b", at=NOW + 120)).fits_at == NOW + 60 + 2 * H


def test_a_session_that_may_go_on_is_charged_for_longer(either):
    either.set_rule(rule(Kind.SESSIONS, 1, id=0))
    either.reserve(wish(session="a", hours=2.0))
    either.began("a", "17", NOW)
    with either._database.write() as transaction:
        lengthen(transaction, "a", 0.5)

    assert either.reserve(wish(session="b", at=NOW + 120)).fits_at == NOW + 2.5 * H


def test_a_shared_rule_counts_what_the_others_of_the_group_have(either):
    either.set_rule(rule(Kind.GPUS, 2, id=0, scope=Scope.GROUP, subject="ct", shared=True))
    either.reserve(wish(session="a", user="suzuki", groups=("ct",), gpus=2))

    assert either.reserve(wish(session="b", groups=("ct",))).left == 0
    assert either.reserve(wish(session="c", groups=())) is None


def test_exceptions_end_by_themselves_or_by_an_administrator(either):
    made = either.set_rule(rule(Kind.HOURS, 4, id=0))
    longer = either.grant_exemption(Exemption(rule=made.id, user="tanaka", until=NOW + H, limit=12.0, note="thesis"))

    assert either.reserve(wish(session="a", hours=12.0)) is None
    assert either.reserve(wish(session="b", hours=13.0)).left == 12
    assert either.reserve(wish(session="c", hours=12.0, at=NOW + H)) is not None
    assert either.end_exemption(longer.id, NOW + 1)
    assert either.exemptions(since=NOW + 1) == ()
    assert either.reserve(wish(session="d", hours=12.0, at=NOW + 2)) is not None


def test_a_rule_is_changed_in_place_and_goes_with_its_exceptions(either):
    made = either.set_rule(rule(Kind.HOURS, 4, id=0))
    either.grant_exemption(Exemption(rule=made.id, user="tanaka", until=NOW + H))

    changed = either.set_rule(msgspec.structs.replace(made, limit=6.0))

    assert either.rules() == (changed,)
    assert either.remove_rule(made.id)
    assert not either.remove_rule(made.id)
    assert (either.rules(), either.exemptions()) == ((), ())


@pytest.mark.parametrize(
    "bad",
    [rule(Kind.SESSIONS, 1, scope=Scope.GROUP), rule(Kind.SESSIONS, 1, subject="tanaka"), rule(Kind.SESSIONS, 1.5),
     rule(Kind.SESSIONS, -1), rule(Kind.GPUS, float("nan")), rule(Kind.GPU_HOURS, 5), rule(Kind.HOURS, 5, window=Window.DAY),
     rule(Kind.OPENING), rule(Kind.SESSIONS, 1, destinations=("cloud",)), rule(Kind.DESTINATIONS, destinations=("a,b",)),
     rule(Kind.HOURS, 4, shared=True), rule(Kind.SESSIONS, 1, id=99)],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused_with_a_sentence(either, bad):
    made = msgspec.structs.replace(bad, id=bad.id if bad.id == 99 else 0)

    with pytest.raises(BadRuleError, match=r"[.]$"):
        either.set_rule(made)


def test_the_nightly_comparison_corrects_and_writes_down_what_differed(either):
    for name, job in (("a", "17"), ("b", "18"), ("c", "19")):
        either.reserve(wish(session=name, gpus=2))
        either.settle(name, job, Times(began=NOW, ended=NOW + H), Source.HUB)
    accounting = {"17": Times(began=NOW, ended=NOW + H / 2), "18": Times(began=NOW, ended=NOW + H)}

    (found,) = either.reconcile(accounting, NOW - H, NOW + 2 * H)

    assert (found.session, found.user, found.charged_s, found.counted_s) == ("a", "tanaka", H, H / 2)
    assert either.reconcile(accounting, NOW - H, NOW + 3 * H) == ()
    assert either.differences(NOW) == (found,)
    assert [entry(either, name).source for name in "abc"] == [Source.SCHEDULER, Source.SCHEDULER, Source.HUB]
    assert entry(either, "a").charge.ended == NOW + H / 2


def test_a_job_that_never_ran_by_the_accounting_becomes_void(either):
    either.reserve(wish(session="a"))
    either.settle("a", "17", Times(began=NOW, ended=NOW + H), Source.HUB)

    either.reconcile({"17": Times(began=None, ended=NOW + 5)}, NOW - H, NOW + 2 * H)

    assert entry(either, "a").state is State.VOID
    assert either.usage(By.USER, 0.0) == ()


def test_usage_by_person_group_and_resource_group(either):
    either.reserve(wish(session="a", groups=("ct", "jrs")))
    either.settle("a", "1", Times(began=NOW, ended=NOW + H), Source.SCHEDULER)
    either.reserve(wish(session="b", user="mori", groups=("ct",), gpus=4, hours=0.5))

    assert [(each.name, each.gpu_hours) for each in either.usage(By.USER, NOW)] == [("mori", 2.0), ("tanaka", 1.0)]
    assert [(each.name, each.gpu_hours) for each in either.usage(By.GROUP, NOW)] == [("ct", 3.0), ("jrs", 1.0)]
    assert [(each.name, each.gpu_hours) for each in either.usage(By.RESOURCE_GROUP, NOW + H / 2)] == [("ct-link", 2.5)]


def test_a_preview_says_which_wishes_of_the_past_a_rule_would_have_refused(either):
    for number in range(4):
        at = NOW + number * H
        either.reserve(wish(session=str(number), at=at, hours=2.0))
        either.settle(str(number), str(number), Times(began=at, ended=at + 1.5 * H), Source.SCHEDULER)

    one_at_once = either.what_would_have_been_refused(rule(Kind.SESSIONS, 1, id=0), NOW, NOW + 5 * H)
    five_a_day = either.what_would_have_been_refused(gpu_hours(5.0, id=0), NOW, NOW + 5 * H)

    assert [each.charge.session for each in one_at_once] == ["1", "3"]
    assert [each.charge.session for each in five_a_day] == ["2"]
    assert either.rules() == ()
