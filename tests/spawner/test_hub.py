"""What the site file means for JupyterHub: TLS in front and inside, files that nobody else reads, a proxy that ends with it."""

import os
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest
import requests

from spawner.proxy import PACKAGE
from tests.spawner.hubs import CheckerServer, Hub, plain


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub that speaks TLS with browsers."""
    folder = tmp_path_factory.mktemp("hub")
    key, certificate = folder / "hub.key", folder / "hub.pem"
    command = ["/usr/bin/openssl", "req", "-x509", "-newkey", "ed25519", "-noenc", "-days", "2", "-subj", "/CN=127.0.0.1"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    checker = CheckerServer(folder / "mux", {("sato", "pw", "renkei")})
    tls = f'tls_certificate = "{certificate}"\ntls_key = "{key}"'
    running = Hub(folder, f'[login]\nchecker_socket = "{folder}/mux"\n', tls=tls)
    try:
        yield running.wait()
    finally:
        running.stop()
        checker.close()


def test_browsers_speak_tls_and_the_cookie_stays_on_it(hub):
    browser = hub.browser("en")
    browser.session.verify = str(hub.folder / "hub.pem")
    page = browser.log_in("sato", "pw")
    assert page.url == f"{hub.url}/hub/spawn"
    assert "sato" in plain(page)
    assert all(cookie.secure for cookie in browser.session.cookies if "login" in cookie.name or "session" in cookie.name)
    with pytest.raises(requests.RequestException):
        requests.get(hub.url.replace("https", "http") + "/hub/login", timeout=5)


def answer_without_a_certificate(port: int) -> bytes:
    """What is said there to somebody who believes everything and shows nothing; nothing when the line is cut."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line, context.wrap_socket(line) as connection:
            connection.sendall(b"GET /hub/api/ HTTP/1.0\r\n\r\n")
            return connection.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_inside_nobody_is_heard_without_a_certificate_of_the_hub_s_own(hub):
    assert answer_without_a_certificate(int(hub.url.rsplit(":", 1)[1])) != b""
    assert answer_without_a_certificate(hub.api_port) == b""
    assert answer_without_a_certificate(hub.proxy_port) == b""


def test_what_the_hub_keeps_is_for_its_account_alone(hub):
    browser = hub.browser()
    browser.session.verify = False
    browser.log_in("sato", "pw")
    for name in ("cookie_secret", "internal-tls/hub-internal/hub-internal.key", "audit.jsonl"):
        assert stat.S_IMODE((hub.folder / name).stat().st_mode) & 0o077 == 0, name


def test_the_lock_names_every_package_by_its_content_and_no_place_to_get_it_from():
    lock = (PACKAGE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "http" not in "".join(line for line in lock.splitlines() if '"url"' not in line).replace("http-proxy", "")
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')
    assert '"configurable-http-proxy": "5.3.0"' in lock


def test_the_proxy_ends_with_its_hub(tmp_path):
    with_checker = CheckerServer(tmp_path / "mux", set())
    running = Hub(tmp_path, f'[login]\nchecker_socket = "{tmp_path}/mux"\n').wait()
    proxy = int((tmp_path / "proxy.pid").read_text().split()[0])
    assert "configurable-http-proxy" in Path(f"/proc/{proxy}/cmdline").read_text()
    running.stop()
    with_checker.close()
    end = time.monotonic() + 10
    while Path(f"/proc/{proxy}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(proxy, 0)
