"""The hub's pages: in the person's language, every one; errors as sentences; nothing that a page could be made to run."""

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from phrases import LANGUAGES, translator
from spawner.pages import COOKIE, SENTENCES, SERVICE_DOWN, STATIC, TEMPLATES, complaint, language, local_path, preferred, spoken
from tests.spawner.hubs import ROOT, Browser, Hub, password_hub, plain

JA = translator("ja")
PEOPLE = ("sato", "mori", "kato", "ito", "abe", "ueda", "admin")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with password_hub(tmp_path_factory.mktemp("pages"), right={(name, "pw", "renkei") for name in PEOPLE}) as (running, _checker):
        yield running


@pytest.fixture(scope="module")
def sato(hub) -> Browser:
    """A Japanese browser in which somebody has logged in."""
    browser = hub.browser("ja,en;q=0.5")
    browser.log_in("sato", "pw")
    return browser


# Which language


@pytest.mark.parametrize(
    ("header", "wish"),
    [
        ("", None),
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7", "ja"),
        ("en-US,en;q=0.9,ja;q=0.8", "en"),
        ("de-DE,de;q=0.9,en;q=0.5", "en"),
        ("ja;q=0.3, en;q=0.7", "en"),
        ("ja;q=0,en;q=0.1", "en"),
        ("fr", None),
        ("*", None),
        ("EN", "en"),
        ("ja;q=9", None),
        ("ja\n", "ja"),
        ("japanese", None),
    ],
)
def test_the_browser_s_first_wish_that_we_speak(header, wish):
    assert preferred(header) == wish


@given(st.text())
def test_any_header_gives_one_of_ours_or_none(header):
    assert preferred(header) in (None, *LANGUAGES)


def asking(cookie: str | None = None, header: str = "") -> SimpleNamespace:
    return SimpleNamespace(
        get_cookie=lambda name: cookie if name == COOKIE else None,
        request=SimpleNamespace(headers={"Accept-Language": header}),
        settings={"renkei_default_language": "en"},
    )


@pytest.mark.parametrize(
    ("cookie", "header", "wish"), [("ja", "en", "ja"), ("xx", "ja", "ja"), (None, "ja", "ja"), (None, "", "en"), ("", "fr", "en")]
)
def test_the_link_counts_more_than_the_browser_and_the_browser_more_than_the_site(cookie, header, wish):
    assert language(asking(cookie, header)) == wish


def test_without_a_request_there_is_a_language_too():
    assert language(None) == "ja"
    assert language(None, "en") == "en"


def test_the_link_switches_every_page_and_leads_back(hub):
    browser = hub.browser("ja")
    page = browser.open("/hub/login?next=%2Fhub%2Ftoken")
    assert '<html lang="ja">' in page.text
    link = re.search(r'<a class="language" href="([^"]*)"', page.text)[1].replace("&amp;", "&")
    page = browser.open(link)
    assert page.url == hub.url + "/hub/login?next=%2Fhub%2Ftoken"
    assert '<html lang="en">' in page.text
    assert '<html lang="en">' in browser.open("/hub/nothing-here").text


BAD_TARGETS = (
    "//evil.example/hub/", "https://evil.example/hub/", "/\\evil.example", "/hub/\nx", "javascript:alert(1)",
    "hub/home", "", "/other/",
)  # fmt: skip


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_a_language_link_leads_nowhere_else(target):
    assert local_path(target, "/hub/") == "/hub/"


@given(st.text())
def test_wherever_it_leads_is_a_path_of_the_hub(target):
    assert re.fullmatch(r"/hub/[\x21-\x7e]*", local_path("/hub/" + target, "/hub/"))
    assert local_path(target, "/hub/").startswith("/hub/")


# What stands on the pages


def test_every_page_of_jupyterhub_is_one_of_ours():
    theirs = {path.name for path in Path(sys.prefix, "share", "jupyterhub", "templates").glob("*.html")}
    assert theirs
    assert theirs <= {path.name for path in TEMPLATES.glob("*.html")}


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_template_holds_words_or_scripts_of_its_own(path):
    text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"\son[a-z]+=", text)
    assert "http://" not in text
    assert "https://" not in text
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", text, flags=re.DOTALL)
    words = re.sub(r'<[^>]*>|&[a-z]+;|\b[a-z-]+="[^"]*"', " ", text)
    assert set(re.findall(r"[^\W\d_]{2,}", words)) <= {"JupyterHub", "selected"}


@pytest.mark.parametrize(("code", "word"), [("ja", "ログアウト"), ("en", "Log out")])
@pytest.mark.parametrize("path", ["/hub/home", "/hub/spawn", "/hub/token"])
def test_pages_speak_the_person_s_language(hub, path, code, word):
    browser = hub.browser(code)
    browser.log_in("mori", "pw")
    page = browser.open(path)
    assert page.status_code == 200
    assert f'<html lang="{code}">' in page.text
    assert word in plain(page)


def test_only_an_administrator_sees_the_way_to_the_administration(hub, sato):
    assert "/hub/admin" not in sato.open("/hub/home").text
    browser = hub.browser("ja")
    browser.log_in("admin", "pw")
    assert "/hub/admin" in browser.open("/hub/home").text


def test_pages_may_run_only_what_the_hub_serves(hub, sato):
    for page in (sato.open("/hub/login"), sato.open("/hub/home"), sato.open("/hub/nothing")):
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
    for file in STATIC.iterdir():
        assert sato.open(f"/hub/renkei/{file.name}").content == file.read_bytes()
    assert sato.open("/hub/renkei/../templates/page.html").status_code == 404
    assert sato.open("/hub/renkei/%2e%2e/pages.py").status_code in (403, 404)


def test_a_name_in_an_address_is_shown_as_text(sato):
    page = sato.open("/hub/user/%3Cscript%3Ealert(1)%3C%2Fscript%3E/")
    assert page.status_code == 404
    assert "<script>alert" not in page.text


# Errors


@pytest.mark.parametrize(("path", "status"), [("/hub/nothing", 404), ("/hub/admin", 403), ("/hub/user/somebody-else/lab", 404)])
def test_an_error_is_a_sentence(sato, path, status):
    page = sato.open(path)
    assert page.status_code == status
    assert JA(SENTENCES[status]) in plain(page)
    assert "Traceback" not in page.text


@pytest.mark.parametrize("path", ["/hub/nothing", "/hub/user/sato/nothing/at/all", "/hub/spawn/nobody"])
def test_an_error_page_still_says_who_is_logged_in_and_lets_them_out(sato, path):
    page = sato.open(path)
    assert page.status_code >= 400
    assert '<span class="name">sato</span>' in page.text
    assert 'id="logout"' in page.text


def test_the_proxy_s_error_page_speaks_both_languages_because_nobody_says_which(hub):
    page = hub.browser().open("/hub/error/503?url=%2Fuser%2Fsato%2F")
    assert SENTENCES[503] in plain(page)
    assert JA(SENTENCES[503]) in plain(page)


def test_a_console_that_does_not_answer_is_not_called_a_session(hub):
    page = hub.browser("en").open("/hub/error/503?url=%2Fservices%2Fquota%2F")
    assert SERVICE_DOWN in plain(page)
    assert SENTENCES[503] not in plain(page)


def test_a_sentence_that_an_error_carries_is_what_is_read():
    error = RuntimeError("technical")
    error.jupyterhub_message = "Nothing was started."
    assert complaint(error) == "Nothing was started."
    assert complaint(RuntimeError("technical")) == ""
    assert spoken("HTTP 500: Internal Server Error (Unhandled error starting server sato)") == SENTENCES[500]
    assert spoken("400 Thing(reason=x): technical") == SENTENCES[400]
    assert spoken("順番を待っています。") == "順番を待っています。"
    assert spoken(None) == ""


def test_a_start_that_fails_at_once_tells_the_reason_on_the_form(hub):
    browser = hub.browser("ja")
    browser.log_in("kato", "pw")
    page = browser.submit(browser.open("/hub/spawn"), wish="fail")
    assert page.status_code == 503
    assert "計算ノードが止まりました。" in plain(page)
    page = browser.submit(browser.open("/hub/spawn"), wish="break")
    assert page.status_code == 500
    assert JA(SENTENCES[500]) in plain(page)
    assert "secret detail" not in page.text


def test_a_start_that_fails_later_tells_the_reason_on_its_page(hub):
    browser = hub.browser("ja")
    browser.log_in("ito", "pw")
    page = browser.submit(browser.open("/hub/spawn"), wish="fail-late")
    assert "/hub/spawn-pending/ito" in page.url
    assert JA("See how far it is") in plain(browser.open("/hub/home"))
    for _ in range(50):
        page = browser.open("/hub/spawn-pending/ito")
        if JA("The session did not start") in plain(page):
            break
        time.sleep(0.1)
    assert "計算ノードが止まりました。" in plain(page)
    assert "Traceback" not in page.text


def test_a_wrong_site_file_stops_the_start_with_one_sentence(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text((ROOT / "sites" / "demo.toml").read_text().replace('kind = "slurm"', 'kind = "slum"'))
    command = [sys.executable, "-m", "jupyterhub", "-f", str(ROOT / "jupyterhub_config.py")]
    environment = {"RENKEI_SITE": str(site), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(site) in done.stderr
    assert "scheduler.kind" in done.stderr


# In a real browser


def complaints_of(driver: webdriver.Chrome) -> list[str]:
    """What the browser refused or stumbled over, besides answers that are errors on purpose."""
    return [entry["message"] for entry in driver.get_log("browser") if "status of" not in entry["message"]]


def enter(driver: webdriver.Chrome, hub: Hub, name: str) -> None:
    driver.get(hub.url + "/hub/login")
    driver.find_element(By.ID, "username_input").send_keys(name)
    driver.find_element(By.ID, "password_input").send_keys("pw")
    driver.find_element(By.ID, "login_submit").click()
    WebDriverWait(driver, 30).until(lambda each: "/hub/spawn" in each.current_url)


def test_the_waiting_page_tells_each_step_and_the_home_page_leads_back(hub, chromium):
    enter(chromium, hub, "abe")
    chromium.find_element(By.CSS_SELECTOR, "#spawn_form button[type=submit]").click()
    WebDriverWait(chromium, 30).until(lambda each: "ノードを確認しています。" in each.find_element(By.ID, "progress-message").text)
    steps = {each.get_attribute("data-step"): each for each in chromium.find_elements(By.CSS_SELECTOR, "#steps li")}
    states = {step: each.get_attribute("data-state") for step, each in steps.items()}
    assert states == {
        "submitted": "done", "queued": "done", "running": "done", "preflight": "now",
        "certificate": None, "mount": None, "server": None, "ready": None,
    }  # fmt: skip
    assert re.fullmatch(r"順番待ち\s+\d+:\d\d:\d\d", steps["queued"].text)
    assert chromium.find_element(By.ID, "progress-bar").get_attribute("value") == "60"
    chromium.refresh()
    WebDriverWait(chromium, 30).until(lambda each: each.find_elements(By.CSS_SELECTOR, "#steps li[data-state=done] time[datetime]"))
    chromium.get(hub.url + "/hub/home")
    chromium.find_element(By.ID, "start").click()
    WebDriverWait(chromium, 30).until(lambda each: "/hub/spawn-pending/abe" in each.current_url)
    assert complaints_of(chromium) == []


def test_one_click_leaves_the_queue_and_a_further_session_has_a_place_of_its_own(hub, chromium):
    enter(chromium, hub, "ueda")
    chromium.find_element(By.CSS_SELECTOR, "#spawn_form button[type=submit]").click()
    WebDriverWait(chromium, 30).until(lambda each: each.find_elements(By.ID, "leave"))
    chromium.get(hub.url + "/hub/home")
    chromium.find_element(By.ID, "another").click()
    WebDriverWait(chromium, 30).until(lambda each: each.find_elements(By.ID, "spawn_form"))
    chromium.find_element(By.CSS_SELECTOR, "#spawn_form button[type=submit]").click()
    WebDriverWait(chromium, 30).until(lambda each: "/hub/spawn-pending/ueda/session-2" in each.current_url)

    chromium.get(hub.url + "/hub/home")
    shown = {each.get_attribute("data-server"): each for each in chromium.find_elements(By.CSS_SELECTOR, ".session")}
    assert {server: each.get_attribute("data-state") for server, each in shown.items()} == {"": "starting", "session-2": "starting"}
    assert shown["session-2"].get_attribute("aria-label") == "セッション 2"

    chromium.get(hub.url + "/hub/spawn-pending/ueda/session-2")
    # It is past the queue already.
    WebDriverWait(chromium, 30).until(lambda each: each.find_element(By.ID, "leave").text == "開始を取りやめる")
    chromium.find_element(By.ID, "leave").click()
    WebDriverWait(chromium, 30).until(lambda each: each.current_url.endswith("/hub/home"))
    shown = [each.get_attribute("data-server") for each in chromium.find_elements(By.CSS_SELECTOR, ".session")]
    assert shown == [""]
    assert complaints_of(chromium) == []


def test_the_waiting_page_turns_into_the_reason(hub, chromium):
    enter(chromium, hub, "kato")
    chromium.find_element(By.ID, "wish").send_keys("fail-late")
    chromium.find_element(By.CSS_SELECTOR, "#spawn_form button[type=submit]").click()
    failure = WebDriverWait(chromium, 30).until(lambda each: each.find_elements(By.ID, "failure"))
    assert failure[0].text == "計算ノードが止まりました。何も残っていません。"
    assert complaints_of(chromium) == []


def test_a_token_is_made_and_revoked_in_the_page(hub, chromium):
    enter(chromium, hub, "mori")
    chromium.get(hub.url + "/hub/token")
    chromium.find_element(By.ID, "token-note").send_keys("試験")
    chromium.find_element(By.CSS_SELECTOR, "#request-token-form button").click()
    WebDriverWait(chromium, 30).until(lambda each: len(each.find_element(By.ID, "token-result").text) > 20)
    chromium.refresh()
    assert "試験" in chromium.find_element(By.TAG_NAME, "table").text
    chromium.find_element(By.CSS_SELECTOR, "button.revoke").click()
    WebDriverWait(chromium, 30).until(lambda each: not each.find_elements(By.CSS_SELECTOR, "tr[data-token-id]"))
    assert complaints_of(chromium) == []


def test_the_administration_page_works_under_our_policy(hub, chromium):
    enter(chromium, hub, "admin")
    chromium.get(hub.url + "/hub/admin")
    WebDriverWait(chromium, 30).until(lambda each: "sato" in each.find_element(By.ID, "react-admin-hook").text)
    assert complaints_of(chromium) == []
