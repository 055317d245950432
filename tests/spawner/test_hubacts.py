"""What goes past the console, by JupyterHub's own API, is in the audit too, and is not done where that can't be written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.hubacts import EVENT, act, over_others
from tests.spawner.hubs import Hub
from tests.spawner.test_mount_spawner import PERSON, ask, hub

__all__ = ["hub"]


@pytest.mark.parametrize(
    ("method", "path", "caller", "done"),
    [
        ("DELETE", "/hub/api/users/tanaka/server", "admin", "DELETE /hub/api/users/tanaka/server"),
        ("DELETE", "/hub/api/users/tanaka/server", "tanaka", None),
        ("DELETE", "/hub/api/users/tanaka/servers/second", "tanaka", None),
        ("POST", "/hub/api/users/tanaka/activity", "tanaka", None),
        ("POST", "/hub/api/users/tanaka/tokens", "tanaka", "POST /hub/api/users/tanaka/tokens"),
        ("POST", "/base/hub/api/groups/ct/users", "admin", "POST /hub/api/groups/ct/users"),
        ("GET", "/hub/api/users", "admin", None),
        ("POST", "/hub/login", "admin", None),
    ],
)
def test_an_act_is_what_changes_others_or_rights(method, path, caller, done):
    assert act(method, path, caller) == done


@pytest.mark.parametrize(
    ("scopes", "reaches"),
    [
        ({"servers!user=tanaka", "delete:servers!server=tanaka/x", "tokens!user=tanaka", "read:users"}, False),
        ({"admin:groups"}, True),
        ({"admin:users!group=radiology"}, True),
        ({"servers!user=suzuki"}, True),
        ({"servers!server=tanaka-x/"}, True),
    ],
)
def test_a_right_over_others_is_one_that_reaches_beyond_oneself(scopes, reaches):
    assert over_others(scopes, "tanaka") is reaches


@given(st.text(), st.text(), st.text())
def test_whatever_is_asked_a_line_is_short(method, path, caller):
    assert len(act(method, path, caller) or "") <= 200


def lines(hub: Hub) -> list[dict[str, object]]:
    text = (hub.folder / "audit.jsonl").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == EVENT]


def test_a_group_that_is_made_by_the_api_is_recorded_with_who_made_it(hub):
    assert ask(hub, "post", "groups/radiology").status_code == 201
    assert ask(hub, "post", "groups/radiology/users", json={"users": []}).ok

    assert [(line["by"], line["act"]) for line in lines(hub)[-2:]] == [
        ("service test", "POST /hub/api/groups/radiology"),
        ("service test", "POST /hub/api/groups/radiology/users"),
    ]


def test_who_has_no_right_over_others_leaves_no_line(hub):
    token = ask(hub, "post", f"users/{PERSON}/tokens", json={}).json()["token"]
    before = lines(hub)

    assert ask(hub, "post", "groups/mine", token=token).status_code == 403
    assert lines(hub) == before


def test_where_the_audit_can_not_be_written_nothing_is_changed(hub):
    audit = hub.folder / "audit.jsonl"
    kept = audit.rename(audit.with_suffix(".kept"))
    audit.mkdir()
    try:
        assert ask(hub, "post", "groups/unseen").status_code == 503
    finally:
        audit.rmdir()
        kept.rename(audit)

    assert ask(hub, "get", "groups/unseen").status_code == 404
