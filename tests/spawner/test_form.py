"""The form: only what can work for this person is offered, and what they should know before they choose is said."""

import re
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phrases import translator
from spawner import form, options, site
from spawner.authority.protocol import Account
from spawner.capacity import overall
from spawner.quota.opening import Opening
from spawner.quota.policy import Charge, Kind, Policy, Rule, Scope, Window
from spawner.schedulers.base import JobState, JobStatus, NodeStatus
from spawner.schedulers.watcher import Overview
from tests.spawner.stage import CLOUD, DEMO

KASHIWA = Account(destination="kashiwa", account="kt001", folder="people/kt001")
NOTHING = Overview(nodes=(), queue={}, at=0.0)
SMALL = replace(
    DEMO.resource_group[0],
    name="ct-view",
    label=site.Label(ja="閲覧", en="Viewing"),
    partition="ct-view",
    gpus=(0,),
    hours=(1.0, 8.0, 12.0),
    destinations=("cloud",),
)
TWO = replace(DEMO, resource_group=(*DEMO.resource_group, SMALL))
"""The demonstration with a second group."""
BOTH = options.choices(TWO, (CLOUD, KASHIWA))


def node(name="cx01", *, used=0, gpus=4, partition="ct-link", **more) -> NodeStatus:
    values = {"up": True, "cpus": 16, "cpus_idle": 16, **more}
    return NodeStatus(node=name, partition=partition, gres={"gpu": gpus}, gres_used={"gpu": used}, **values)


def seen(*nodes: NodeStatus, age_s=0.0, **queue: JobStatus) -> Overview:
    return Overview(nodes=nodes, queue=queue, at=time.time() - age_s)


def standing(*rules: Rule, used: tuple[Charge, ...] = ()):
    policy = Policy(rules=rules, zone=form.ZoneInfo("Asia/Tokyo"))
    return policy.standing("tanaka", (), used, time.time())


def rule(kind: Kind, limit: float = 0.0, **more) -> Rule:
    return Rule(id=1, scope=Scope.EVERYONE, kind=kind, limit=limit, **more)


def running(gpus: int) -> Charge:
    now = time.time()
    return Charge(session="a", user="tanaka", resource_group="ct-link", gpus=gpus, hours=2, at=now - 10, began=now)


def shown(overview=NOTHING, standings=(), remembered=None, language="en", choices=BOTH) -> str:
    known = form.Known(choices=choices, overview=overview, standings=tuple(standings))
    return form.render(TWO, known, remembered=remembered, language=language)


def offered(text: str, name: str) -> list[str]:
    """What can be chosen in the field `name`."""
    field = re.search(rf'<select[^>]* id="{name}".*?</select>', text, re.DOTALL)
    return re.findall(r'<option value="([^"]*)"', field[0]) if field else []


def test_what_is_free_is_said():
    queue = {
        "1": JobStatus(state=JobState.PENDING, partition="ct-link", before=0),
        "2": JobStatus(state=JobState.RUNNING, partition="ct-link", gpus=2, ends=time.time() + 3600),
    }
    text = shown(seen(node(used=3), node("cx02", used=3), node("cx03", up=False), node("v", partition="ct-view"), **queue))

    assert "2 of 8 GPUs are free now." in text
    assert "One session could have up to 1 of them at once." in text
    assert "Requests that wait: 1." in text
    assert "Nodes out of service: 1 of 3." in text
    assert "There is room now." in text
    assert "expected to be free" not in text


def test_where_nothing_is_free_the_next_one_is_told():
    ends = JobStatus(state=JobState.RUNNING, partition="ct-link", gpus=4, ends=time.time() + 3600)

    assert re.search(r"0 of 4 GPUs are free now\..*expected to be free at about [\d :-]+\.", shown(seen(node(used=4), a=ends)))


def test_an_old_copy_says_so():
    assert "As of " not in shown(seen(node(), age_s=5))
    assert "As of " in shown(seen(node(), age_s=300))


def test_of_a_silent_batch_system_everything_is_offered():
    text = shown()

    assert "you can ask for a session all the same" in text
    assert offered(text, "gpus") == ["1", "2", "4", "0"]


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_quota_is_told_in_the_person_s_language(language):
    text = shown(standings=standing(rule(Kind.GPU_HOURS, 10, window=Window.WEEK)), language=language)

    assert translator(language)("What your quota leaves") in text
    assert text.count("<li>") == 1


def test_more_than_any_node_has_is_not_offered():
    text = shown(seen(node(gpus=2, limit_s=4 * 3600.0), node("v", partition="ct-view", limit_s=3600.0)))

    assert offered(text, "gpus") == ["1", "2", "0"]
    assert offered(text, "hours") == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("rules", "gpus", "hours"),
    [
        ((rule(Kind.GPUS, 2),), ["1", "0"], ["1", "2", "4", "8", "12"]),
        ((rule(Kind.HOURS, 2),), ["1", "2", "4", "0"], ["1", "2"]),
        ((rule(Kind.GPU_HOURS, 4, window=Window.DAY),), ["1", "2", "0"], ["1", "2", "4", "8", "12"]),
        ((rule(Kind.GPU_HOURS, 1, window=Window.DAY),), ["0"], ["1", "2", "4", "8", "12"]),
        ((rule(Kind.GPUS, 2, resource_group="elsewhere"),), ["1", "2", "4", "0"], ["1", "2", "4", "8", "12"]),
        ((rule(Kind.HOURS, 2, resource_group="ct-view"),), ["1", "2", "4", "0"], ["1", "2", "4", "8"]),
    ],
)
def test_what_the_quota_does_not_leave_is_not_offered(rules, gpus, hours):
    text = shown(standings=standing(*rules, used=(running(1),)))

    assert offered(text, "gpus") == gpus
    assert offered(text, "hours") == hours


NEVER = rule(Kind.OPENING, openings=())


@pytest.mark.parametrize("closed", [rule(Kind.SESSIONS, 1), NEVER, rule(Kind.HOURS, 0.5)])
def test_where_the_quota_leaves_nothing_there_is_nothing_to_start(closed):
    text = shown(standings=standing(closed, used=(running(1),)))

    assert "Your quota allows no further session now. Please come back later" in text
    assert "<select" not in text
    assert "<details open>" in text


def test_a_group_without_anything_left_is_not_offered():
    text = shown(standings=standing(rule(Kind.SESSIONS, 1, resource_group="ct-link"), used=(running(1),)))

    assert 'type="hidden" name="resource_group" value="ct-view"' in text
    assert offered(text, "gpus") == ["0"]


def test_each_choice_names_the_groups_that_offer_it():
    text = shown()

    assert '<option value="0" data-groups="ct-link ct-view">' in text
    assert '<option value="4" data-groups="ct-link">' in text
    assert '<option value="12" data-groups="ct-view">' in text
    assert '<option value="kashiwa" data-groups="ct-link">' in text


def test_opening_hours_that_are_open_leave_all_choices():
    always = rule(Kind.OPENING, openings=(Opening(days=tuple(range(7)), opens=0, closes=24 * 60),))

    assert offered(shown(standings=standing(always)), "gpus") == ["1", "2", "4", "0"]


RULES = st.lists(st.builds(rule, st.sampled_from([Kind.SESSIONS, Kind.GPUS, Kind.HOURS]), st.floats(0, 9)))


@given(RULES, st.integers(0, 4), st.integers(0, 8))
def test_what_is_offered_is_allowed_by_every_rule_and_large_enough_a_node(rules, used, gpus):
    standings = standing(*rules, used=(running(used),) if used else ())
    free = overall(TWO.resource_group, seen(node(gpus=gpus)), time.time())
    for each in form.offers(BOTH, free, standings):
        assert each.gpus
        assert each.hours
        assert each.group.name == "ct-view" or max(each.gpus) <= gpus
        for one in standings:
            if one.rule.kind is Kind.GPUS:
                assert max(each.gpus) <= one.left + 1e-5
            if one.rule.kind is Kind.HOURS:
                assert max(each.hours) <= one.left + 1e-5


def rendered(here, accounts, remembered=None, language="en") -> str:
    known = form.Known(choices=options.choices(here, accounts), overview=NOTHING)
    return form.render(here, known, remembered=remembered, language=language)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_form_offers_what_can_work_and_remembers(language):
    accounts = (CLOUD, Account(destination="kashiwa", account="kt001", folder="people/kt001"))
    text = rendered(DEMO, accounts, {"gpus": 2, "hours": 4.0, "destination": "kashiwa"}, language)

    for name in ("destination", "gpus", "hours"):
        assert f'<label class="form-label" for="{name}">' in text
    for chosen in ('value="kashiwa" selected', 'value="2" selected', 'value="4" selected', f'name="language" value="{language}"'):
        assert chosen in text
    assert translator(language)("Where your images are") in text
    assert text.count(" selected") == 3


def test_the_form_offers_nobody_a_place_where_they_have_no_account():
    assert "kashiwa" not in rendered(DEMO, (CLOUD,), None)
    assert "<select" not in rendered(DEMO, ())


@pytest.mark.parametrize("remembered", [None, [], "x", {"gpus": {"a": 1}}, {"destination": '"><script>'}, {"gpus": [1]}])
def test_a_remembered_choice_is_no_more_than_a_comparison(remembered):
    text = rendered(DEMO, (CLOUD,), remembered)

    assert "script" not in text
    assert " selected" not in text


def test_labels_of_the_site_are_escaped():
    group = msgspec.structs.replace(DEMO.destination[0], label=site.Label(ja="<b>", en="<b>"))
    changed = msgspec.structs.replace(DEMO, destination=(group, *DEMO.destination[1:]))

    assert "&lt;b&gt;" in rendered(changed, (CLOUD,))
