"""What the doorway lets through: paths, headers, cookies, redirects."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from enclave.wire import (
    CONTENT_SECURITY_POLICY,
    SET_COOKIES,
    Place,
    cookie_allowed,
    for_a_service_worker,
    from_elsewhere,
    location_allowed,
    path_allowed,
    place_of,
    request_headers,
    response_headers,
)

BASE = "/user/tanaka/"
PLACE = Place(BASE, "https://hub.example/hub/", "jupyterhub-user-tanaka")


@pytest.mark.parametrize(
    "target",
    [
        "/user/tanaka/",
        "/user/tanaka",
        "/user/tanaka/lab",
        "/user/tanaka/lab/tree/people/a%20b.ipynb?reset",
        "/user/tanaka/api/contents/%E8%82%BA.nii.gz?content=0",
        "/user/tanaka/api/contents/..hidden",
        "/user/tanaka/api?next=//evil.example/../x",
        "/user/tanaka/lab/tree/",
    ],
)
def test_the_server_s_own_paths_pass(target):
    assert path_allowed(target, BASE)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "/hub/home",
        "/user/tanakax/lab",
        "/user/suzuki/lab",
        "//user/tanaka/lab",
        "/user/tanaka//evil.example/",
        "/user//tanaka/lab",
        "http://evil.example/user/tanaka/lab",
        "https://10.77.1.11/user/tanaka/lab",
        "/user/tanaka/../suzuki/lab",
        "/user/tanaka/./lab",
        "/user/tanaka/%2e%2e/suzuki/lab",
        "/user/tanaka/%2E./suzuki/lab",
        "/user/tanaka/a%2f..%2f..%2fsuzuki",
        "/user/tanaka/a%2f%2fb",
        "/user/tanaka/..%5csuzuki",
        "/user/tanaka/\\suzuki",
        "/user/tanaka/lab%00",
        "/user/tanaka/lab%0d%0aX:y",
        "/user/tanaka/lab?x=%0a",
        "/%75ser/tanaka/lab",
    ],
)
def test_paths_with_a_trick_in_them_do_not(target):
    assert not path_allowed(target, BASE)


@given(st.text(max_size=40))
def test_whatever_passes_stays_below_the_server(text):
    target = BASE + text
    if path_allowed(target, BASE):
        depth = 0
        for segment in unquote(target.partition("?")[0], errors="replace").split("/")[3:]:
            depth += -1 if segment == ".." else 1
            assert depth > 0


@pytest.mark.parametrize("said", [("Service-Worker", "script"), ("service-worker", ""), ("Sec-Fetch-Dest", "serviceworker")])
def test_the_script_of_a_service_worker_is_told_apart(said):
    assert for_a_service_worker(CIMultiDict([("Host", "hub.example"), said]))
    assert not for_a_service_worker(CIMultiDict([("Host", "hub.example"), ("Sec-Fetch-Dest", "script")]))


def test_a_request_s_headers_are_an_allow_list():
    found = request_headers(
        CIMultiDict([
            ("Host", "hub.example"),
            ("Host", "evil.example"),
            ("Cookie", "_xsrf=1; jupyterhub-hub-login=secret; jupyterhub-user-tanaka=2"),
            ("Cookie", "jupyterhub-user-tanaka-oauth-state-x=3;jupyterhub-user-tanaka2=4; jupyterhub-session-id=5"),
            ("Cookie", "jupyterhub-user-suzuki=6"),
            ("X-XSRFToken", "t"),
            ("Connection", "close, X-XSRFToken"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Proxy-Authorization", "x"),
            ("X-Real-Ip", "1.2.3.4"),
            ("Expect", "100-continue"),
            ("Range", "bytes=0-"),
        ]),
        PLACE,
    )
    assert sorted(found.items()) == [
        ("Cookie", "_xsrf=1; jupyterhub-user-tanaka=2"),
        ("Cookie", "jupyterhub-user-tanaka-oauth-state-x=3; jupyterhub-session-id=5"),
        ("Host", "hub.example"),
        ("X-XSRFToken", "t"),
    ]


def test_every_answer_carries_the_policy_and_the_server_s_own_only_on_top():
    found = response_headers(
        CIMultiDict([
            ("Content-Type", "text/html"),
            ("Cache-Control", "public, max-age=31536000"),
            ("Content-Security-Policy", "sandbox allow-scripts; report-uri https://evil.example/"),
            ("Refresh", "0; url=https://evil.example/"),
            ("Service-Worker-Allowed", "/"),
            ("Access-Control-Allow-Origin", "*"),
            ("Link", "<https://evil.example/>; rel=preload"),
            ("Server", "x"),
            ("Content-Disposition", "attachment"),
            ("WWW-Authenticate", "Basic"),
            ("Clear-Site-Data", '"*"'),
            ("Alt-Svc", 'h3="evil.example:443"'),
            ("Etag", "a\x7fb"),
        ]),
        PLACE,
    )
    assert found.getall("Content-Security-Policy") == [CONTENT_SECURITY_POLICY, "sandbox allow-scripts"]
    assert found["Cache-Control"] == "no-store"
    assert found["Referrer-Policy"] == "same-origin"
    assert set(found) == {
        "Content-Type", "Content-Security-Policy", "Cache-Control", "Referrer-Policy", "X-Content-Type-Options", "Server",
        "Cross-Origin-Resource-Policy", "Permissions-Policy", "X-DNS-Prefetch-Control",
    }  # fmt: skip
    assert found["Server"] == "renkei"


@pytest.mark.parametrize("source", ["default-src 'self'", "connect-src 'self'", "object-src 'none'", "form-action 'self'"])
def test_the_policy_names_no_other_host(source):
    assert source in CONTENT_SECURITY_POLICY.split("; ")
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "*" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("cookie", ["a=1; Path=/user/tanaka/", "a=1; HttpOnly; path=/user/tanaka/", "a=1; Path=/user/tanaka"])
def test_cookies_for_the_own_server(cookie):
    assert cookie_allowed(cookie, BASE)


@pytest.mark.parametrize(
    "cookie",
    [
        "a=1",
        "a=1; Path=/",
        "jupyterhub-hub-login=x; Path=/hub/",
        "a=1; Path=/user/suzuki/",
        "a=1; Path=/user/tanaka/; Domain=example",
        "a=1; Path=/user/tanaka/; Path=/",
        "a=1; Path=/user/tanakax",
    ],
)
def test_cookies_for_anybody_else(cookie):
    assert not cookie_allowed(cookie, BASE)


def test_an_answer_sets_some_cookies_and_no_flood():
    cookies = [("Set-Cookie", f"{number}=1; Path={BASE}") for number in range(100)]
    assert len(response_headers(CIMultiDict(cookies), PLACE).getall("Set-Cookie")) == SET_COOKIES
    assert not cookie_allowed(f"a={'x' * 5000}; Path={BASE}", BASE)


@pytest.mark.parametrize(
    "kind",
    ["application/octet-stream", "application/zip", "application/pdf", "multipart/x-mixed-replace; boundary=x", "text/html;x=y"],
)
def test_what_a_browser_would_download_is_text(kind):
    assert response_headers(CIMultiDict({"Content-Type": kind}), PLACE)["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("kind", ["text/html; charset=UTF-8", "application/json", "image/png", "font/woff2", "text/javascript"])
def test_what_the_lab_is_made_of_keeps_its_type(kind):
    assert response_headers(CIMultiDict({"Content-Type": kind}), PLACE)["Content-Type"] == kind


@pytest.mark.parametrize(
    "location",
    [
        "/user/tanaka/lab/tree/a%20b?reset",
        "https://hub.example/hub/api/oauth2/authorize?client_id=jupyterhub-user-tanaka&state=x",
        "https://hub.example/hub/logout",
    ],
)
def test_redirects_that_a_working_day_needs(location):
    assert location_allowed(location, PLACE)


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "//evil.example/user/tanaka/",
        "/\\evil.example/",
        "/user/suzuki/lab",
        "/user/tanaka/../suzuki/lab",
        "/hub/home",
        "https://hub.example/hub/logout?x=secret",
        "https://hub.example/hub/spawn?gpus=4",
        "https://hub.example.evil.example/hub/logout",
        "https://hub.example/hub/api/oauth2/authorize?client_id=jupyterhub-user-tanaka&state=" + "x" * 5000,
        "https://hub.example/hub/api/oauth2/authorize?client_id=jupyterhub-user-suzuki",
        "https://hub.example/hub/api/oauth2/authorize?client_id=jupyterhub-user-tanaka&client_id=service-console",
        "javascript:alert(1)",
        "",
    ],
)
def test_redirects_to_anywhere_else_are_no_answer(location):
    with pytest.raises(ValueError, match="another place"):
        response_headers(CIMultiDict({"Location": location}), PLACE)


def test_the_place_is_the_hub_s_word():
    environment = {
        "JUPYTERHUB_HOST": "https://hub.example",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-tanaka",
    }
    assert place_of(BASE, environment) == PLACE
    assert place_of(BASE, {}).hub == "/hub/"


@pytest.mark.parametrize(
    ("method", "headers", "elsewhere"),
    [
        ("GET", {}, False),
        ("PUT", {"Sec-Fetch-Site": "same-origin", "Origin": "https://tanaka.hub.example", "Host": "tanaka.hub.example"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, True),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, True),
        ("POST", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, True),
        ("POST", {"Origin": "https://suzuki.hub.example", "Host": "tanaka.hub.example"}, True),
        ("DELETE", {"Origin": "null", "Host": "tanaka.hub.example"}, True),
    ],
)
def test_another_site_s_page_asks_for_nothing(method, headers, elsewhere):
    assert from_elsewhere(method, CIMultiDict(headers)) is elsewhere


def test_another_site_s_page_opens_no_websocket():
    headers = CIMultiDict({"Origin": "https://suzuki.hub.example", "Host": "tanaka.hub.example"})
    assert from_elsewhere("GET", headers, websocket=True)
