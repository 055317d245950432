"""Mutual TLS: which certificate opens which port of a running session's."""

from __future__ import annotations

import json

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from testbed.layout import address
from tests.guest import Guest, guest
from tests.walls.certificates import client, component, of_the_site, stranger

pytestmark = pytest.mark.site

PATH = "/user/tanaka/api"
NOTHING = {"refused", "no answer"}


@pytest.fixture(scope="module")
def session(site_with_hub):
    with guest(site_with_hub, "tanaka") as tanaka:
        yield tanaka


@pytest.fixture(scope="module")
def doorway(session):
    """Address and port of the session's doorway."""
    listening = session.site.run(session.node, ["ss", "-Hlnt"], check=True).stdout.splitlines()
    [port] = {int(line.split()[3].rpartition(":")[2]) for line in listening} - {6818}
    return str(address(session.node)), port


def ask(session: Guest, where: str, port: int, pem: str = "", *, path: str = PATH, version: str = "TLSv1_3") -> str:
    """What a client on the host `hub` gets at a port, with the key and certificate `pem`."""
    script = client()
    call = json.dumps([where, port, version, path, pem])
    return session.site.run("hub", ["/usr/bin/python3", "-I", "-S", "-c", script], input=call, check=True).stdout.strip()


@pytest.mark.parametrize("part", ["proxy-client", "hub-internal"])
def test_the_proxy_and_the_hub_are_let_in(session, doorway, part):
    assert ask(session, *doorway, component(session.site.host("hub"), part)).isdecimal()


def test_not_by_an_older_tls(session, doorway):
    assert ask(session, *doorway, component(session.site.host("hub"), "proxy-client"), version="TLSv1_2") == "refused"


STRANGERS = {
    "nobody": lambda hub: "",
    "another authority": lambda hub: stranger("somebody").sign(),
    "another authority of the same name": lambda hub: stranger("hub-ca").sign(),
    "an expired certificate": lambda hub: of_the_site(hub, "hub-ca").sign(hours=-1),
    "a certificate for servers": lambda hub: of_the_site(hub, "hub-ca").sign(usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "another session's doorway": lambda hub: of_the_site(hub, "notebooks-ca").sign(),
    "a service of the hub's": lambda hub: of_the_site(hub, "services-ca").sign(),
    "the proxy's own port": lambda hub: component(hub, "proxy-api"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_nobody_else_is_let_in(session, doorway, who):
    assert ask(session, *doorway, STRANGERS[who](session.site.host("hub"))) in NOTHING


def test_a_doorways_certificate_opens_the_hubs_port_and_no_call_behind_it(session):
    """The way back from a session leads there: who it is, the token says, and that is not in the certificate."""
    hub = session.site.host("hub")
    pem = of_the_site(hub, "notebooks-ca").sign()
    where = str(address("hub"))

    assert ask(session, where, 8081, pem, path="/hub/api/") == "200"
    for path in ("/hub/api/users", "/hub/api/user", "/hub/api/users/tanaka", "/hub/api/proxy", "/hub/admin"):
        assert ask(session, where, 8081, pem, path=path) in {"403", "302"}, path


@pytest.mark.parametrize("who", ["nobody", "another authority", "another authority of the same name"])
def test_without_a_certificate_the_hubs_port_says_nothing(session, who):
    pem = STRANGERS[who](session.site.host("hub"))

    assert ask(session, str(address("hub")), 8081, pem, path="/hub/api/") in NOTHING


@pytest.mark.parametrize("who", STRANGERS)
def test_the_proxys_own_port_takes_no_orders(session, who):
    """It listens on the hub itself alone, and asks for a token besides a certificate."""
    pem = STRANGERS[who](session.site.host("hub"))

    assert ask(session, "127.0.0.1", 8001, pem, path="/api/routes") in {*NOTHING, "403"}
    assert ask(session, str(address("hub")), 8001, path="/api/routes") == "ConnectionRefusedError"


def test_the_call_back_gives_who_has_no_proof_a_refusal_and_nothing_else(session):
    where = str(address("hub"))
    for path in ("/", "/v1/sessions/abcdefgh12345678/start", PATH):
        assert ask(session, where, 8443, path=path) in {"404", "405", "500"}
