"""What rules say of a wish: the tightest is named, with what it leaves and when the wish will fit."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.quota.opening import parse
from spawner.quota.policy import Exemption, Kind, Scope, When, Window
from tests.quota.samples import NOW, H, charge, gpu_hours, policy, rule, wish


def test_without_rules_everything_is_allowed():
    assert policy().verdict(wish(gpus=64, hours=720), [], NOW) is None


def test_one_session_at_once_fits_again_when_the_running_one_is_over_at_the_latest():
    running = charge("a", began=NOW - H, hours=4)

    refused = policy(rule(Kind.SESSIONS, 1)).verdict(wish(), [running], NOW)

    assert (refused.left, refused.wanted, refused.when, refused.fits_at) == (0, 1, When.AT, NOW + 3 * H)


def test_nobody_knows_when_a_session_in_the_queue_is_over():
    refused = policy(rule(Kind.SESSIONS, 1)).verdict(wish(), [charge("a")], NOW)

    assert (refused.when, refused.fits_at) == (When.AFTER_WAITING, None)


def test_a_session_whose_time_is_up_holds_what_it_has_until_its_end_was_seen():
    overdue = charge("a", began=NOW - 5 * H, hours=4)

    assert policy(rule(Kind.GPUS, 1)).verdict(wish(), [overdue], NOW).when is When.AFTER_WAITING
    assert policy(rule(Kind.GPUS, 1)).verdict(wish(), [msgspec.structs.replace(overdue, ended=NOW)], NOW) is None


def test_gpus_come_back_one_session_after_the_other():
    usage = [charge("a", gpus=2, began=NOW - H, hours=2), charge("b", gpus=2, began=NOW - H, hours=4)]

    assert policy(rule(Kind.GPUS, 4)).verdict(wish(gpus=2), usage, NOW).fits_at == NOW + H
    assert policy(rule(Kind.GPUS, 4)).verdict(wish(gpus=3), usage, NOW).fits_at == NOW + 3 * H
    assert policy(rule(Kind.GPUS, 4)).verdict(wish(gpus=5), usage, NOW).when is When.NEVER
    assert policy(rule(Kind.GPUS, 4)).verdict(wish(gpus=0), usage, NOW) is None


def test_a_session_longer_than_its_rule_never_fits():
    refused = policy(rule(Kind.HOURS, 8)).verdict(wish(hours=12), [], NOW)

    assert (refused.left, refused.wanted, refused.when) == (8, 12, When.NEVER)


def test_gpu_hours_fall_out_of_the_window_along_a_straight_line():
    # Ran from 23 to 21 hours ago on 4 GPUs: 8 GPU-hours, of which 4 are out of the day's window in two hours.
    usage = [charge("a", gpus=4, began=NOW - 23 * H, ended=NOW - 21 * H)]

    refused = policy(gpu_hours(10)).verdict(wish(gpus=2, hours=3), usage, NOW)

    assert (refused.left, refused.wanted, refused.when) == (2, 6, When.AT)
    assert refused.fits_at == pytest.approx(NOW + 2 * H)


def test_what_is_reserved_counts_in_full_until_it_is_over():
    running = charge("a", gpus=1, began=NOW - H, hours=8)

    assert policy(gpu_hours(9)).verdict(wish(), [running], NOW) is None
    assert policy(gpu_hours(8)).verdict(wish(), [running], NOW).left == 0
    assert policy(gpu_hours(8)).verdict(wish(), [msgspec.structs.replace(running, ended=NOW)], NOW) is None


def test_the_tightest_rule_is_named():
    rules = (gpu_hours(10, id=1), gpu_hours(40, Window.WEEK, id=2), rule(Kind.SESSIONS, 1, id=3), rule(Kind.GPUS, 8, id=4))
    running = charge("a", began=NOW - H, hours=2)
    used = charge("b", gpus=2, began=NOW - 20 * H, ended=NOW - 16 * H)

    # A free place in an hour; GPU-hours of the day in four and a half.
    assert policy(*rules).verdict(wish(gpus=2, hours=1), [running, used], NOW).rule.id == 1
    assert policy(*rules[1:]).verdict(wish(gpus=2, hours=1), [running, used], NOW).rule.id == 3


def test_a_looser_rule_of_the_group_does_not_lift_the_tighter_one_for_everyone():
    rules = (rule(Kind.SESSIONS, 1, id=1), rule(Kind.SESSIONS, 5, id=2, scope=Scope.GROUP, subject="physicists"))

    assert policy(*rules).verdict(wish(groups=("physicists",)), [charge("a")], NOW).rule.id == 1


def test_rules_of_other_people_groups_and_resource_groups_do_not_bind():
    others = (
        rule(Kind.SESSIONS, 0, scope=Scope.PERSON, subject="suzuki"),
        rule(Kind.SESSIONS, 0, scope=Scope.GROUP, subject="students"),
        rule(Kind.SESSIONS, 0, resource_group="spare"),
    )

    assert policy(*others).verdict(wish(groups=("physicians",)), [], NOW) is None


def test_each_person_has_their_own_limit_unless_it_is_shared():
    usage = [charge("a", user="suzuki", groups=("ct",)), charge("b", user="mori", groups=())]
    own = rule(Kind.SESSIONS, 1, scope=Scope.GROUP, subject="ct")

    assert policy(own).verdict(wish(groups=("ct",)), usage, NOW) is None
    shared = policy(msgspec.structs.replace(own, shared=True))
    assert shared.verdict(wish(groups=("ct",)), usage, NOW) is not None
    assert shared.verdict(wish(groups=("ct",)), usage[1:], NOW) is None


def test_a_destination_that_is_not_allowed_never_fits():
    only = rule(Kind.DESTINATIONS, destinations=("cloud",))

    assert policy(only).verdict(wish(destination="cloud"), [], NOW) is None
    assert policy(only).verdict(wish(destination="kashiwa"), [], NOW).when is When.NEVER


def test_outside_opening_hours_it_fits_when_they_begin():
    closed = rule(Kind.OPENING, openings=parse("sun 08:00-20:00"))

    refused = policy(closed).verdict(wish(), [], NOW)

    assert refused.when is When.AT
    assert policy(closed).verdict(wish(at=refused.fits_at), [], refused.fits_at) is None


def test_an_exception_lifts_a_rule_or_raises_it_until_its_end():
    lifted = Exemption(rule=1, user="tanaka", until=NOW + H)
    raised = Exemption(rule=1, user="tanaka", until=NOW + H, limit=2)
    usage = [charge("a")]

    assert policy(rule(Kind.SESSIONS, 1), exemptions=(lifted,)).verdict(wish(), usage, NOW) is None
    assert policy(rule(Kind.SESSIONS, 1), exemptions=(lifted,)).verdict(wish(), usage, NOW + H) is not None
    other = wish(user="mori"), [charge("b", user="mori")], NOW
    assert policy(rule(Kind.SESSIONS, 1), exemptions=(lifted,)).verdict(*other) is not None
    with_two = policy(rule(Kind.SESSIONS, 1), exemptions=(raised,))
    assert with_two.verdict(wish(), usage, NOW) is None
    assert with_two.verdict(wish(), [*usage, charge("b")], NOW).rule.limit == 2


def test_standing_says_what_is_left_of_each_rule_least_first():
    rules = (rule(Kind.SESSIONS, 4, id=1), gpu_hours(10, id=2), rule(Kind.GPUS, 2, id=3, scope=Scope.PERSON, subject="suzuki"))
    usage = [charge("a", gpus=2, began=NOW - H, hours=4)]

    found = policy(*rules).standing("tanaka", (), usage, NOW)

    assert [(each.rule.id, each.used, each.left) for each in found] == [(2, 8, 2), (1, 1, 3)]


CHARGES = st.builds(
    charge,
    session=st.uuids().map(str),
    user=st.sampled_from(["tanaka", "suzuki"]),
    groups=st.sampled_from([(), ("ct",)]),
    gpus=st.integers(0, 4),
    hours=st.sampled_from([0.5, 1.0, 4.0, 24.0]),
    began=st.none() | st.floats(NOW - 40 * 24 * H, NOW),
).flatmap(
    lambda each: (
        st.just(each)
        if each.began is None
        else st.sampled_from([None, 0.0, 0.3, 1.0]).map(
            lambda part: msgspec.structs.replace(each, ended=None if part is None else min(NOW, each.began + part * each.hours * H))
        )
    )
)
LIMITS = st.one_of(
    st.builds(rule, st.sampled_from([Kind.SESSIONS, Kind.GPUS]), st.integers(0, 8).map(float), shared=st.booleans()),
    st.builds(gpu_hours, st.floats(0, 60), st.sampled_from(Window), shared=st.booleans()),
)
WISHES = st.builds(wish, gpus=st.integers(0, 4), hours=st.sampled_from([0.5, 1.0, 8.0]), groups=st.sampled_from([(), ("ct",)]))


@given(WISHES, LIMITS, st.lists(CHARGES, max_size=8))
def test_it_fits_at_the_moment_that_is_told_and_not_a_minute_before(asked, limit, usage):
    here = policy(limit)
    refused = here.verdict(asked, usage, NOW)
    if refused is None or refused.when is not When.AT:
        return
    assert refused.fits_at > NOW

    def known_at(at: float):
        """What runs on has ended by then, at the latest when its time was up."""
        return [
            msgspec.structs.replace(each, ended=each.until)
            if each.ended is None and each.until is not None and NOW < each.until <= at else each
            for each in usage
        ]  # fmt: skip

    assert here.verdict(asked, known_at(refused.fits_at + 1e-2), refused.fits_at + 1e-2) is None
    before = refused.fits_at - 60
    if before > NOW and limit.kind is not Kind.GPU_HOURS:
        assert here.verdict(asked, known_at(before), before) is not None
    if before > NOW and limit.kind is Kind.GPU_HOURS:
        late = here.verdict(asked, known_at(before), before)
        assert late is not None or refused.wanted - refused.left < 1e-4


@given(WISHES, st.lists(LIMITS, min_size=1, max_size=4), st.lists(CHARGES, max_size=8))
def test_rules_together_allow_what_each_allows_and_none_holds_up_longer_than_the_one_named(asked, limits, usage):
    numbered = [msgspec.structs.replace(each, id=number) for number, each in enumerate(limits, 1)]
    alone = [policy(each).verdict(asked, usage, NOW) for each in numbered]
    together = policy(*numbered).verdict(asked, usage, NOW)

    assert (together is None) == all(each is None for each in alone)
    if together is not None and together.when is When.AT:
        assert together.fits_at == max(each.fits_at for each in alone if each is not None)


@given(WISHES, LIMITS, st.lists(CHARGES, max_size=8))
def test_what_is_allowed_never_goes_above_the_limit(asked, limit, usage):
    here = policy(limit)
    if here.verdict(asked, usage, NOW) is not None:
        return
    held = charge(asked.session, gpus=asked.gpus, hours=asked.hours, groups=asked.groups)

    (after,) = here.standing(asked.user, asked.groups, [*usage, held], NOW)

    untouched = limit.kind is not Kind.SESSIONS and asked.gpus == 0
    assert untouched or after.used <= limit.limit + 1e-6
