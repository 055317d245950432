"""Passwords and one-time passwords as a real saslauthd, PAM and the hub's accounts check them."""

import hashlib
import hmac
import json
import secrets
import struct
import time
from types import SimpleNamespace

import pytest

from phrases import translator
from spawner.login import CheckerAuthenticator
from spawner.pages import LOGIN_TEXTS
from testbed.site import Testbed
from tests.spawner.hubs import Browser, plain

pytestmark = pytest.mark.site

STEP = 30


def one_time(secret: bytes, moment: float) -> str:
    """The six digits of RFC 6238 for `secret` at `moment`."""
    digest = hmac.new(secret, struct.pack(">Q", int(moment) // STEP), hashlib.sha1).digest()
    place = digest[-1] & 15
    number = int.from_bytes(digest[place : place + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


@pytest.fixture
def secret(site: Testbed) -> bytes:
    """tanaka's one-time secret, known to PAM on the hub."""
    secret = secrets.token_bytes(20)
    hub = site.host("hub")
    rule = "auth required pam_oath.so usersfile=/etc/users.oath window=3 digits=6\naccount required pam_permit.so\n"
    hub.write("/etc/pam.d/renkei-otp", rule)
    hub.write("/etc/users.oath", f"HOTP/T{STEP}/6\ttanaka\t-\t{secret.hex()}\n", 0o600)
    return secret


def authenticator(site: Testbed, *, otp: bool) -> CheckerAuthenticator:
    made = CheckerAuthenticator(
        checker_socket=str(site.host("hub").path("/run/saslauthd/mux")),
        pam_service="renkei",
        otp_pam_service="renkei-otp",
        request_otp=otp,
        allow_all=True,
    )
    made.username_pattern = r"[a-z][a-z0-9-]{0,30}\Z"
    return made


async def enters(made: CheckerAuthenticator, **form: str) -> bool:
    return await made.get_authenticated_user(SimpleNamespace(), form) is not None


async def test_pam_knows_each_password_and_no_other(site: Testbed):
    made = authenticator(site, otp=False)
    for name in ("tanaka", "mori"):
        assert await enters(made, username=name, password=site.passwords[name])
    assert not await enters(made, username="tanaka", password=site.passwords["mori"])
    assert not await enters(made, username="tanaka", password=site.passwords["tanaka"] + "x")
    assert not await enters(made, username="tanaka", password=site.passwords["tanaka"] + "\0x")


@pytest.mark.parametrize("name", ["nobody", "root", "rs-tanaka", "jupyterhub", "no-such-person"])
async def test_accounts_that_are_no_person_s_stay_out(site: Testbed, name):
    assert not await enters(authenticator(site, otp=False), username=name, password="")
    assert not await enters(authenticator(site, otp=False), username=name, password="*")


async def test_the_second_factor_is_needed_and_works_once(site: Testbed, secret):
    made = authenticator(site, otp=True)
    password = site.passwords["tanaka"]
    code = one_time(secret, time.time())
    assert not await enters(made, username="tanaka", password=password)
    assert not await enters(made, username="tanaka", password=password, otp=f"{(int(code) + 1) % 1_000_000:06}")
    assert await enters(made, username="tanaka", password=password, otp=code)
    assert not await enters(made, username="tanaka", password=password, otp=code)


async def test_the_second_factor_alone_is_not_enough(site: Testbed, secret):
    made = authenticator(site, otp=True)
    assert not await enters(made, username="tanaka", password="wrong", otp=one_time(secret, time.time()))


def test_only_the_hub_s_account_may_ask_the_checker(site: Testbed):
    ask = ["/usr/bin/python3", "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/run/saslauthd/mux')"]
    assert site.run("hub", ask, user="jupyterhub").returncode == 0
    for user in ("tanaka", "rs-tanaka", "renkei-authority"):
        assert "Permission denied" in site.run("hub", ask, user=user).stderr


def test_people_log_in_at_the_hub_and_it_is_recorded(site_with_hub: Testbed):
    site = site_with_hub
    browser = Browser(site.url, "ja")
    wrong = browser.log_in("tanaka", "not this one")
    assert translator("ja")(LOGIN_TEXTS["Invalid username or password"]) in plain(wrong)
    page = browser.log_in("tanaka", site.passwords["tanaka"])
    assert page.url == f"{site.url}/hub/spawn"
    entries = [json.loads(line) for line in site.host("hub").path("/var/log/renkei/audit.jsonl").read_text().splitlines()]
    logins = [entry for entry in entries if entry["event"] == "login"]
    assert (logins[-1]["user"], logins[-1]["method"]) == ("tanaka", "pam")
    log = site.host("hub").path("/var/log/renkei/hub.log").read_text()
    assert site.passwords["tanaka"] not in log
    assert "not this one" not in log
