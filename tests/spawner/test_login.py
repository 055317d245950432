"""Logging in: a password and a one-time password that saslauthd checks, or a provider of OpenID Connect."""

import asyncio
import json
import re
import socket
import threading
from types import SimpleNamespace
from urllib.parse import urljoin

import oidc_provider_mock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phrases import translator
from spawner.checker import LONGEST, CheckerDownError, check, request
from spawner.login import CHECKER_DOWN, NO_RECORD, NOT_LISTED, CheckerAuthenticator, LoginError
from spawner.pages import LOGIN_TEXTS
from tests.spawner.hubs import CheckerServer, Hub, free_ports, password_hub, plain

JA = translator("ja")
WRONG = LOGIN_TEXTS["Invalid username or password"]
RIGHT = {
    ("sato", "pass word", "renkei"),
    ("sato", "123456", "renkei-otp"),
    ("admin", "pw", "renkei"),
    ("mori", "パスワード", "renkei"),
}


@pytest.fixture
def checker(tmp_path):
    server = CheckerServer(tmp_path / "mux", RIGHT)
    yield server
    server.close()


def authenticator(checker: CheckerServer, **traits) -> CheckerAuthenticator:
    made = CheckerAuthenticator(
        checker_socket=str(checker.path), pam_service="renkei", otp_pam_service="renkei-otp", allow_all=True, **traits
    )
    made.username_pattern = r"[a-z][a-z0-9-]{0,30}\Z"
    return made


async def entered(made: CheckerAuthenticator, **form: str):
    """Who the hub believes has come, or None."""
    model = await made.get_authenticated_user(SimpleNamespace(), form)
    return model["name"] if model else None


# The checker's protocol


def test_a_question_is_four_counted_strings():
    assert request("sato", "pw", "renkei") == b"\0\4sato\0\2pw\0\6renkei\0\0"


@given(st.text(), st.text())
def test_no_question_is_asked_that_the_checker_would_read_differently(login, password):
    asked = request(login, password, "renkei")
    fields = [text.encode(errors="surrogateescape") for text in (login, password)]
    if any(b"\0" in field or len(field) > LONGEST or not field for field in fields):
        assert asked is None
    else:
        assert asked is not None
        length = int.from_bytes(asked[:2], "big")
        rest = asked[2 + length :]
        assert asked[2 : 2 + length] == fields[0]
        assert rest[2 : 2 + int.from_bytes(rest[:2], "big")] == fields[1]


async def test_the_checker_says_yes_or_no(checker):
    assert await check(str(checker.path), login="sato", password="pass word", service="renkei")
    assert not await check(str(checker.path), login="sato", password="other", service="renkei")
    assert not await check(str(checker.path), login="sato", password="pass word", service="renkei-otp")


def once(path, answer: bytes | None) -> None:
    """A checker that gives one `answer`, or none at all and hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(4096)
            if answer is not None:
                connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()


@pytest.mark.parametrize("answer", [None, b"\0", b"\0\x02MA", b"\0\x02O", b"\xff\xffNO", b"\0\0"])
async def test_any_other_answer_is_no_answer(tmp_path, answer):
    once(tmp_path / "mux", answer)
    with pytest.raises(CheckerDownError):
        await check(str(tmp_path / "mux"), login="sato", password="pw", service="renkei")


async def test_a_checker_that_is_away_or_hangs_is_not_a_wrong_password(tmp_path):
    with pytest.raises(CheckerDownError):
        await check(str(tmp_path / "nothing"), login="sato", password="pw", service="renkei")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        with pytest.raises(CheckerDownError, match=r"within 0\.1 s"):
            await check(str(tmp_path / "mute"), login="sato", password="pw", service="renkei", wait=0.1)


# Who is let in


async def test_the_right_password_lets_in_and_a_wrong_one_does_not(checker):
    made = authenticator(checker)
    assert await entered(made, username="sato", password="pass word") == "sato"
    assert await entered(made, username="mori", password="パスワード") == "mori"
    assert await entered(made, username="sato", password="pass word ") is None
    assert await entered(made, username="sato", password="") is None


async def test_a_name_may_be_typed_with_full_width_or_large_letters(checker):
    assert await entered(authenticator(checker), username=" ＳＡＴＯ", password="pass word") == "sato"


@pytest.mark.parametrize("name", ["", "root;", "-sato", "../sato", "sato\n", "sato\0", "佐藤", "s" * 32, "sato@elsewhere", "1sato"])
async def test_what_is_no_name_is_never_asked_about(checker, name):
    made = authenticator(checker)
    assert await entered(made, username=name + ("x" if name == "sato\n" else ""), password="pass word") is None
    assert checker.asked == []


async def test_both_factors_must_be_right_and_both_are_asked_whatever_the_first_says(checker):
    made = authenticator(checker, request_otp=True)
    assert await entered(made, username="sato", password="pass word", otp="123 456") == "sato"
    for password, otp in (("pass word", "000000"), ("wrong", "123456"), ("wrong", "000000")):
        checker.asked.clear()
        assert await entered(made, username="sato", password=password, otp=otp) is None
        assert sorted(service for _, _, service, _ in checker.asked) == ["renkei", "renkei-otp"]
    assert await entered(made, username="sato", password="pass word") is None


async def test_a_person_who_is_not_listed_is_told_that(checker):
    made = authenticator(checker)
    made.allow_all, made.allowed_users = False, {"mori"}
    with pytest.raises(LoginError) as caught:
        await entered(made, username="sato", password="pass word")
    assert (caught.value.status_code, caught.value.jupyterhub_message) == (403, NOT_LISTED)
    assert await entered(made, username="sato", password="wrong") is None


async def test_a_checker_that_is_away_is_told_and_lets_nobody_in(checker, tmp_path):
    made = authenticator(checker)
    made.checker_socket = str(tmp_path / "nothing")
    with pytest.raises(LoginError) as caught:
        await entered(made, username="sato", password="pass word")
    assert (caught.value.status_code, caught.value.jupyterhub_message) == (503, CHECKER_DOWN)
    assert "pass word" not in str(caught.value)


# Through a real hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with password_hub(tmp_path_factory.mktemp("login"), right=RIGHT) as (running, _checker):
        yield running


def test_a_login_is_recorded(hub):
    page = hub.browser("ja").log_in("sato", "pass word")
    assert page.url.endswith("/hub/spawn")
    entry = json.loads((hub.folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (entry["event"], entry["user"], entry["method"], entry["address"]) == ("login", "sato", "pam", "127.0.0.1")


def test_a_wrong_password_gets_a_sentence_in_the_person_s_language_and_no_record(hub):
    assert JA(WRONG) in plain(hub.browser("ja").log_in("sato", "no"))
    page = hub.browser("en-GB,en;q=0.8").log_in("sato", "no-such-password")
    assert page.status_code == 403
    assert WRONG in plain(page)
    assert "no-such-password" not in hub.log.read_text()
    assert "no-such-password" not in page.text


def test_a_form_without_a_name_gets_the_login_page(hub):
    browser = hub.browser("en")
    page = browser.open("/hub/login")
    token = re.search(r'name="_xsrf" value="([^"]*)"', page.text)[1]
    answer = browser.session.post(hub.url + "/hub/login", data={"_xsrf": token, "password": "pw"}, timeout=60)
    assert answer.status_code == 403
    assert WRONG in plain(answer)


def test_a_form_that_lay_too_long_says_so(hub):
    answer = hub.browser("en").session.post(hub.url + "/hub/login", data={"username": "sato", "password": "pw"}, timeout=60)
    assert answer.status_code == 403
    assert LOGIN_TEXTS["Login form invalid or expired. Try again."] in plain(answer)


def test_what_can_not_be_recorded_does_not_happen(hub):
    audit = hub.folder / "audit.jsonl"
    kept = audit.read_bytes() if audit.exists() else b""
    audit.unlink(missing_ok=True)
    audit.mkdir()
    try:
        browser = hub.browser("en")
        page = browser.log_in("sato", "pass word")
        assert page.status_code == 503
        assert NO_RECORD in plain(page)
        assert browser.open("/hub/home").url.startswith(hub.url + "/hub/login")
    finally:
        audit.rmdir()
        audit.write_bytes(kept)


def test_a_checker_that_is_away_gets_a_sentence_on_the_login_page(hub):
    mux = hub.folder / "mux"
    mux.rename(hub.folder / "away")
    try:
        page = hub.browser("ja").log_in("sato", "pass word")
        assert page.status_code == 503
        assert JA(CHECKER_DOWN) in plain(page)
        assert "username_input" in page.text
    finally:
        (hub.folder / "away").rename(mux)


def test_an_administrator_sees_everybody_and_enters_nobody_s_session(hub):
    browser = hub.browser("en")
    browser.log_in("admin", "pw")
    page = browser.open("/hub/admin")
    assert page.status_code == 200
    token = {"X-XSRFToken": re.search(r'data-xsrf="([^"]*)"', page.text)[1]}
    assert {each["name"] for each in browser.open("/hub/api/users", headers=token).json()} >= {"admin"}
    model = browser.open("/hub/api/user", headers=token).json()
    assert model["admin"] is False
    held = {scope for scope in model["scopes"] if "!user=admin" not in scope}
    assert "admin-ui" in held
    never = {"access:servers", "tokens", "admin:users", "admin:servers", "shutdown", "proxy"}
    assert not {scope.split("!")[0] for scope in held} & never


# OpenID Connect, with a live provider


OIDC = """
[login]
method = "oidc"
{people}

[login.oidc]
authorize_url = "{provider}/oauth2/authorize"
token_url = "{provider}/oauth2/token"
userinfo_url = "{provider}/userinfo"
callback_url = "http://127.0.0.1:{public}/hub/oauth_callback"
client_id = "renkei"
client_secret_file = "{secret}"
label = "University"
"""


def person(name: str) -> oidc_provider_mock.User:
    return oidc_provider_mock.User(sub=name, claims={"preferred_username": name})


@pytest.fixture(scope="module")
def oidc_hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oidc")
    (folder / "secret").write_text("between hub and provider\n")
    (public,) = free_ports(1)
    people = [person("sato"), person("mori"), person("Not A Name")]
    with oidc_provider_mock.run_server_in_thread(user_claims=people) as provider:
        text = OIDC.format(
            people='people = ["sato"]', provider=f"http://localhost:{provider.server_port}", public=public, secret=folder / "secret"
        )
        running = Hub(folder, text, public=public)
        try:
            yield running.wait()
        finally:
            running.stop()


def through_the_provider(hub: Hub, name: str, **form: str):
    """Follow the button of the login page to the provider, be `name` there, and come back."""
    browser = hub.browser("ja")
    page = browser.open("/hub/login")
    assert JA("Log in with {service}").format(service="University") in plain(page)
    button = re.search(r'href="([^"]*oauth_login[^"]*)"', page.text)[1]
    form_page = browser.open(urljoin(page.url, button.replace("&amp;", "&")))
    assert "/oauth2/authorize" in form_page.url
    return browser, browser.session.post(form_page.url, data=form or {"sub": name}, timeout=60)


def test_the_provider_s_person_is_let_in_and_recorded(oidc_hub):
    browser, page = through_the_provider(oidc_hub, "sato")
    assert page.url.endswith("/hub/spawn")
    assert "sato" in plain(browser.open("/hub/home"))
    entry = json.loads((oidc_hub.folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (entry["user"], entry["method"]) == ("sato", "oidc")


def test_a_known_person_who_is_not_listed_is_told_that(oidc_hub):
    browser, page = through_the_provider(oidc_hub, "mori")
    assert page.status_code == 403
    assert JA(NOT_LISTED) in plain(page)
    assert browser.open("/hub/home").url.startswith(oidc_hub.url + "/hub/login")


def test_a_person_whom_the_provider_calls_by_no_name_of_ours_stays_out(oidc_hub):
    _browser, page = through_the_provider(oidc_hub, "Not A Name")
    assert page.status_code == 403
    assert "Traceback" not in page.text


def test_a_login_given_up_at_the_provider_gets_a_sentence(oidc_hub):
    _browser, page = through_the_provider(oidc_hub, "", action="deny")
    assert page.status_code == 400
    assert "access_denied" not in plain(page)


def test_the_secret_is_in_no_log(oidc_hub):
    through_the_provider(oidc_hub, "sato")
    assert "between hub and provider" not in oidc_hub.log.read_text()


async def test_many_logins_at_once_do_not_wait_for_each_other(checker):
    made = authenticator(checker)
    names = await asyncio.gather(*(entered(made, username="sato", password="pass word") for _ in range(20)))
    assert names == ["sato"] * 20
