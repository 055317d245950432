"""A refusal is one sentence: which rule, how much is left, when it fits again."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from spawner.quota import sentences
from spawner.quota.opening import parse
from spawner.quota.policy import Kind, Refused, Scope, Standing, When, Window
from tests.quota.samples import NOW, TOKYO, gpu_hours, rule

LABELS = {"ct-link": "CT nodes", "cloud": "Tokyo"}


def refused(which, **more) -> Refused:
    return Refused(**{"rule": which, "left": 1.0, "wanted": 2.0, "when": When.NEVER, **more})


def test_which_rule_how_much_is_left_and_when():
    group = gpu_hours(40, Window.WEEK, scope=Scope.GROUP, subject="residents", shared=True, resource_group="ct-link")
    at = dt.datetime(2026, 11, 19, 9, 30, 1, tzinfo=TOKYO).timestamp()

    said = sentences.refusal(refused(group, left=3.99, wanted=8.0, when=When.AT, fits_at=at), "en", NOW, TOKYO, LABELS)

    assert said == (
        "The rule for the group residents together (at most 40 GPU-hours in 7 days, on CT nodes) does not allow this: "
        "3.9 left, 8 asked for; it fits again by 2026-11-19 09:31, if nothing else begins."
    )


def test_today_s_times_have_no_date():
    # It is 20:06:40 in Tokyo.
    soon = refused(rule(Kind.SESSIONS, 1), when=When.AT, fits_at=NOW + 300)

    assert "by 20:12, " in sentences.refusal(soon, "en", NOW, TOKYO)


def test_opening_hours_and_destinations_are_said_in_words():
    hours = rule(Kind.OPENING, openings=parse("mon-fri 08:00-20:00, sat 09:00-13:00"))
    places = rule(Kind.DESTINATIONS, destinations=("cloud", "other"), scope=Scope.PERSON, subject="tanaka")

    assert sentences.limit(hours, "en") == "sessions begin Monday to Friday 08:00 to 20:00, Saturday 09:00 to 13:00"
    said = sentences.refusal(refused(places), "en", NOW, TOKYO, LABELS)
    assert said == "The rule for tanaka alone (cloud destinations: Tokyo, other) does not allow this; it can't fit as it is."


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("when", When)
def test_every_refusal_is_one_sentence_in_both_languages(kind, scope, when):
    plain = rule(kind, 2, scope=scope, subject="" if scope is Scope.EVERYONE else "mori")
    which = msgspec.structs.replace(plain, window=Window.DAY if kind is Kind.GPU_HOURS else None)

    english, japanese = (sentences.refusal(refused(which, when=when, fits_at=NOW), each, NOW, TOKYO) for each in ("en", "ja"))

    assert english.count(". ") == 0
    assert english.endswith(".")
    assert japanese.endswith("。")
    assert english != japanese
    assert "{" not in english + japanese


def test_what_is_left_is_never_said_to_be_more_than_it_is():
    each = Standing(rule=gpu_hours(40), used=30.05, left=9.95)

    assert sentences.standing(each, "en") == "9.9 left of: at most 40 GPU-hours in 24 hours (everyone)"
