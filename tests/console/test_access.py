"""Who gets in, by browser and by program; what they may; that nothing is changed unwritten."""

from __future__ import annotations

import html
import re

import pytest
import requests

from spawner.audit import Audit
from tests.spawner.hubs import plain

SESSION = "a" * 16


def test_a_login_leads_by_the_hub_and_back(place):
    browser = place.browser("tanaka")
    page = browser.open("/services/quota/")
    assert page.status_code == 200
    assert page.url == place.url
    authorize = next(each.url for each in page.history if "/oauth2/authorize" in each.url)
    assert "code_challenge_method=S256" in authorize


def test_a_person_sees_their_own_page_and_no_other(place):
    browser = place.browser("tanaka")
    for page in ("sessions", "people", "rules", "usage", "usage.csv", "audit", "statements", "nodes"):
        refused = browser.open(f"/services/quota/{page}")
        assert (page, refused.status_code) == (page, 403)
        assert "You may not do this here." in plain(refused)
    assert "Sessions" not in plain(browser.open("/services/quota/"))


@pytest.mark.parametrize("page", ["", "sessions", "people", "rules", "usage", "audit", "statements", "nodes"])
def test_an_administrator_sees_each_page_in_both_languages(place, page):
    for language in ("ja", "en"):
        shown = place.browser("admin", language).open(f"/services/quota/{page}")
        assert shown.status_code == 200
        assert f'<html lang="{language}">' in shown.text


def test_the_audit_page_leads_to_older_lines_of_the_same_search(place):
    audit = Audit(place.audit)
    for number in range(3):
        audit.record("walked", user="t.kato", step=number)
    audit.rotate()
    audit.record("walked", user="t.kato", step=3)

    browser, steps = place.browser("admin"), []
    page = browser.open("/services/quota/audit?event=walked&user=t.kato&limit=2")
    while True:
        steps += re.findall(r"<dt>step</dt><dd>(\d)</dd>", page.text)
        link = re.search(r'id="older" href="([^"]+)"', page.text)
        if link is None:
            break
        page = browser.open(html.unescape(link[1]))
    assert steps == ["3", "2", "1", "0"]


def test_what_is_in_the_database_is_text_and_no_page(place):
    shown = place.browser("admin").open("/services/quota/sessions")
    assert "<b>second</b>" not in shown.text
    assert "&lt;b&gt;second&lt;/b&gt;" in shown.text
    assert "script" not in re.sub(r"<!--.*?-->", "", shown.text)
    assert " style=" not in shown.text


def test_no_answer_may_run_or_be_kept(place, admin):
    for answer in (
        place.browser("admin").open("/services/quota/sessions"),
        place.call("GET", "/sessions", admin),
        place.call("GET", "/nothing", admin),
    ):
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("custom:quota:read", "GET", "/sessions", 200),
        ("custom:quota:read", "POST", f"/sessions/{SESSION}/end", 403),
        ("custom:quota:read", "GET", "/audit", 403),
        ("custom:audit:read", "GET", "/audit", 200),
        ("custom:audit:read", "GET", "/sessions", 403),
        ("custom:quota:write", "GET", "/sessions", 200),
        ("custom:quota:write", "GET", "/audit", 403),
    ],
)
def test_a_token_may_what_its_scope_says(place, scope, method, path, status):
    assert place.call(method, path, place.token("admin", scope)).status_code == status


@pytest.mark.parametrize("token", [None, "0" * 32])
def test_nobody_that_the_hub_knows_gets_nothing(place, token):
    refused = place.call("GET", "/sessions", token)
    assert refused.status_code == 401
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_a_token_without_the_console_gets_nothing(place):
    asked = requests.post(
        f"{place.hub.url}/hub/api/users/admin/tokens", headers={"Authorization": "token a-token-of-the-test-alone"},
        json={"scopes": ["custom:quota:read"]}, timeout=30,
    )  # fmt: skip
    assert place.call("GET", "/sessions", asked.json()["token"]).status_code == 401


def test_a_quota_administrator_enters_no_server(place, admin):
    browser = place.browser("admin")
    headers = {"Authorization": f"token {admin}"}
    me = requests.get(f"{place.hub.url}/hub/api/user", headers=headers, timeout=30).json()
    assert not [scope for scope in me["scopes"] if scope.startswith(("access:servers", "admin:servers", "tokens", "admin:users"))]
    assert browser.open("/hub/user/tanaka/").status_code in {403, 404}
    assert requests.post(f"{place.hub.url}/hub/api/users/tanaka/tokens", headers=headers, timeout=30).status_code in {403, 404}
    assert requests.post(f"{place.hub.url}/hub/api/users/tanaka/server", headers=headers, timeout=30).status_code in {403, 404}


def form(place, browser, operation: str, **fields: str) -> requests.Response:
    return browser.session.post(f"{place.url}act/{operation}", data=fields, timeout=30, headers={"Sec-Fetch-Mode": "navigate"})


def xsrf(page: requests.Response) -> str:
    return re.search(r'name="_xsrf" value="([^"]+)"', page.text)[1]


def test_a_cookie_alone_changes_nothing(place):
    browser = place.browser("admin")
    token = xsrf(browser.open("/services/quota/people"))
    other = place.browser("admin")
    for wrong in ({}, {"_xsrf": "x"}, {"_xsrf": token[:-2]}, {"_xsrf": xsrf(other.open("/services/quota/people"))}):
        refused = form(place, browser, "createGroup", name="by-a-cookie", **wrong)
        assert refused.status_code == 403
    api = browser.session.post(f"{place.url}api/v1/groups", json={"name": "by-a-cookie"}, timeout=30)
    assert api.status_code == 401
    assert "by-a-cookie" not in place.browser("admin").open("/services/quota/people").text
    made = form(place, browser, "createGroup", name="by-a-form", back="people", _xsrf=token)
    assert made.status_code == 200
    assert "The group was made." in plain(made)
    gone = form(place, browser, "deleteGroup", group="by-a-form", back="people", _xsrf=token)
    assert "The group was taken away." in plain(gone)


def test_a_group_is_made_filled_and_taken_away_and_written_down_before(place, admin):
    assert place.call("POST", "/groups", admin, json={"name": "residents"}).status_code == 200
    assert place.call("POST", "/groups", admin, json={"name": "residents"}).status_code == 409
    assert place.call("POST", "/groups/residents/people", admin, json={"person": "tanaka"}).status_code == 200
    groups = {each["name"]: each["users"] for each in place.call("GET", "/groups", admin).json()["groups"]}
    assert groups["residents"] == ["tanaka"]
    people = {each["name"]: each["groups"] for each in place.call("GET", "/people", admin).json()["people"]}
    assert people["tanaka"] == ["residents"]
    assert place.call("DELETE", "/groups/residents/people/tanaka", admin).status_code == 204
    assert place.call("DELETE", "/groups/residents", admin).status_code == 204
    lines = place.call("GET", "/audit?limit=50", admin).json()["lines"]
    written = [line["event"] for line in lines if line["fields"].get("by") == "admin"]
    assert written[:2] == ["group-deleted", "group-left"]


def test_what_cannot_be_written_down_is_not_done(place, admin):
    place.audit.rename(place.folder / "audit.kept")
    place.audit.mkdir()
    try:
        refused = place.call("POST", "/groups", admin, json={"name": "unwritten"})
    finally:
        place.audit.rmdir()
        (place.folder / "audit.kept").rename(place.audit)
    assert refused.status_code == 503
    assert "Nothing was changed" in refused.json()["detail"]
    assert "unwritten" not in place.call("GET", "/groups", admin).text


def test_a_message_waits_for_the_session(place, admin):
    sent = place.call("POST", f"/sessions/{SESSION}/message", admin, json={"text": "再起動します。"})
    assert sent.status_code == 200
    assert place.call("POST", f"/sessions/{'z' * 16}/message", admin, json={"text": "x"}).status_code == 404
    assert place.call("POST", f"/sessions/{'c' * 16}/message", admin, json={"text": "x"}).status_code == 404
