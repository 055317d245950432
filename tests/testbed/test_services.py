"""The hub's services run as who they should, come back when they are restarted, and show their page on the machine."""

import http.client

import pytest

from testbed import services
from testbed.site import Testbed

pytestmark = pytest.mark.site


def status(site: Testbed) -> int:
    page = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=10)
    page.request("GET", "/hub/login")
    return page.getresponse().status


def test_the_page_answers_on_the_machine_and_only_there(site_with_hub: Testbed) -> None:
    assert site_with_hub.url.startswith("http://127.0.0.1:")
    assert status(site_with_hub) == 200


def test_nothing_of_the_hub_runs_as_root_but_the_checker_of_passwords(site_with_hub: Testbed) -> None:
    running = site_with_hub.host("hub").processes()
    as_root = {each.argv[0] for each in running if each.uid == 0}
    assert as_root == {"/usr/sbin/saslauthd"}


def test_the_hub_can_not_read_what_the_authority_signs_with(site_with_hub: Testbed) -> None:
    argv = ["cat", "/etc/renkei-authority/ca/cloud", "/etc/renkei/authority.toml"]
    answer = site_with_hub.run("hub", argv, user="jupyterhub")
    assert answer.stdout == ""
    assert answer.stderr.count("Permission denied") == 2


def test_only_the_hub_may_ask_about_passwords(site_with_hub: Testbed) -> None:
    argv = ["python3", "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/run/saslauthd/mux')"]
    assert site_with_hub.run("hub", argv, user="jupyterhub").returncode == 0
    assert "PermissionError" in site_with_hub.run("hub", argv, user="tanaka").stderr


def test_sudo_lets_the_hub_submit_for_sessions_and_nothing_else(site_with_hub: Testbed) -> None:
    def may(*words: str) -> bool:
        return site_with_hub.run("hub", ["sudo", "-n", "-l", *words], user="jupyterhub").returncode == 0

    assert may("-u", "rs-tanaka", "/usr/bin/sbatch", "--parsable")
    assert not may("-u", "tanaka", "/usr/bin/sbatch", "--parsable")
    assert not may("-u", "root", "/usr/bin/sbatch", "--parsable")
    assert not may("-u", "rs-tanaka", "/bin/sh")


def test_hub_and_authority_can_be_ended_killed_and_started_again(site_with_hub: Testbed) -> None:
    hub = site_with_hub.host("hub")
    site_with_hub.restart_hub()
    assert status(site_with_hub) == 200
    site_with_hub.kill_hub()
    assert services.hub_processes(hub) == []
    site_with_hub.start_hub()
    first = services.hub_processes(hub)
    site_with_hub.start_hub()
    assert services.hub_processes(hub) == first
    assert status(site_with_hub) == 200

    site_with_hub.stop_authority()
    assert services.authority_processes(hub) == []
    site_with_hub.up()
    assert len(services.authority_processes(hub)) == 1
    assert services.hub_processes(hub) == first
