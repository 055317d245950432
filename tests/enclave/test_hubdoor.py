"""The calls that the notebook server may make to the hub, and what it may not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.budget import Budget
from enclave.hubdoor import ForbiddenError, check, notice
from tests.enclave.samples import TOKEN, welcome

WELCOME = welcome()
FORM = {
    "client_id": "jupyterhub-user-tanaka",
    "client_secret": "not-a-token",
    "grant_type": "authorization_code",
    "code": "abc",
    "redirect_uri": "/user/tanaka/oauth_callback",
}
ACTIVITY = "/hub/api/users/tanaka/activity"
NOW = "2026-11-23T12:00:00Z"


def test_the_hub_s_version_needs_no_token():
    assert check("GET", "/hub/api", "token abcdefgh", b"", WELCOME).headers == {}


def test_whose_the_browser_s_token_is_asks_with_that_token_and_never_with_ours():
    call = check("GET", "/hub/api/user", "Bearer browser-token", b"", WELCOME)
    assert (call.path, call.headers) == ("/user", {"Authorization": "token browser-token"})


@pytest.mark.parametrize("authorization", ["", "token ", "token a b", "Basic abcdefgh", "token abcdefgh\r\nX: y", "tokenabcdefgh"])
def test_no_token_no_question(authorization):
    with pytest.raises(ForbiddenError):
        check("GET", "/hub/api/user", authorization, b"", WELCOME)


def test_the_secret_is_put_into_the_form():
    call = check("POST", "/hub/api/oauth2/token", "", urlencode(FORM).encode(), WELCOME)
    found = parse_qs((call.body or b"").decode())
    assert found == {name: [value] for name, value in (FORM | {"client_secret": TOKEN}).items()}
    assert "Authorization" not in call.headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        urlencode(FORM | {"client_id": "jupyterhub-user-suzuki"}).encode(),
        urlencode(FORM | {"grant_type": "client_credentials"}).encode(),
        urlencode(FORM | {"scope": "admin:users"}).encode(),
        (urlencode(FORM) + "&client_id=jupyterhub-user-tanaka").encode(),
        (urlencode(FORM) + "&" + "&".join(f"x{i}=1" for i in range(500))).encode(),
    ],
)
def test_other_forms_are_refused(body):
    with pytest.raises(ForbiddenError):
        check("POST", "/hub/api/oauth2/token", "", body, WELCOME)


def test_the_own_activity_goes_with_the_hub_s_token():
    body = {"servers": {"": {"last_activity": NOW}}, "last_activity": NOW}
    call = check("POST", ACTIVITY, "token whatever", json.dumps(body).encode(), WELCOME)
    assert call.headers["Authorization"] == f"token {TOKEN}"
    assert json.loads(call.body or b"") == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"admin": true}',
        b'{"servers": {"other": {}}}',
        b'{"servers": {"": {"x": 1}}}',
        b'{"last_activity": 5}',
    ],
)
def test_other_activity_is_refused(body):
    with pytest.raises(ForbiddenError):
        check("POST", ACTIVITY, "", body, WELCOME)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/hub/api"),
        ("GET", "/hub/api/"),
        ("GET", "/hub/api/users"),
        ("GET", "/hub/api/user?x=1"),
        ("GET", "/hub/api//user"),
        ("GET", "/hub/api/user/../users"),
        ("GET", "/hub/api/%75ser"),
        ("GET", "http://evil.example/hub/api/user"),
        ("POST", "/hub/api/users/suzuki/activity"),
        ("POST", "/hub/api/users/tanaka/../suzuki/activity"),
        ("POST", "/hub/api/users/tanaka/server"),
        ("DELETE", "/hub/api/users/tanaka/server"),
        ("POST", "/hub/api/users/tanaka/tokens"),
        ("PUT", ACTIVITY),
        ("GET", "/hub/home"),
        ("get", "/hub/api"),
    ],
)
def test_everything_else_is_refused(method, target):
    with pytest.raises(ForbiddenError):
        check(method, target, "token abcdefgh", b"{}", WELCOME)


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE"]), st.text(max_size=60), st.text(max_size=40), st.binary(max_size=60))
def test_our_token_goes_to_no_call_that_the_server_could_shape(method, target, authorization, body):
    try:
        call = check(method, target, authorization, body, WELCOME)
    except ForbiddenError:
        return
    assert TOKEN not in str(call.headers) or call.path == "/users/tanaka/activity"


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("2026-11-23T12:00:59.314159Z", "2026-11-23T12:00:00Z"),
        ("2026-11-23T21:00:01+09:00", "2026-11-23T12:00:00Z"),
        ("2026-11-23T12:00:01", "2026-11-23T12:00:00Z"),
    ],
)
def test_of_a_time_the_hub_hears_the_minute(time, told):
    call = check("POST", ACTIVITY, "", json.dumps({"last_activity": time}).encode(), WELCOME)
    assert json.loads(call.body or b"")["last_activity"] == told


@pytest.mark.parametrize("zone", ["Z", "+09:00", "-09:00"])
def test_no_time_is_still_to_come(zone):
    call = check("POST", ACTIVITY, "", f'{{"last_activity": "9999-12-31T23:59:59{zone}"}}'.encode(), WELCOME)
    told = datetime.fromisoformat(json.loads(call.body or b"")["last_activity"])
    assert datetime.now(UTC) - timedelta(minutes=2) < told <= datetime.now(UTC)


@pytest.mark.parametrize(
    "time",
    [
        *("", "tomorrow", "2026-11-23", "2026-11-23T12:00:00Z\n", "2026-99-99T31:41:59Z"),
        *("2026-11-23T3141592653589", "0001-01-01T00:00:00+09:00", "9" * 4000),
    ],
)
def test_a_time_that_is_none_is_no_activity(time):
    with pytest.raises(ForbiddenError):
        check("POST", ACTIVITY, "", json.dumps({"last_activity": time}).encode(), WELCOME)


def test_the_person_is_told_about_the_budget_in_the_hub_s_words():
    budget = Budget(1000)
    said = []
    for _ in range(3):
        said.append(notice(budget, WELCOME))
        budget.spend(800)
    assert said == ["", WELCOME.allowance.warning, WELCOME.allowance.used_up]
