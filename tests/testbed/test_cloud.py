"""The destinations let people in by certificate alone, to their own data."""

import signal

import pytest

from testbed.site import Testbed
from tests.testbed.certificates import certify

pytestmark = pytest.mark.site


def sftp(site: Testbed, host: str, options: list[str], account: str, *commands: str, user: str = "rs-tanaka") -> tuple[int, str]:
    argv = ["sftp", "-b", "-", *options, f"{account}@10.77.2.1"]
    # @: without repeating the command
    answer = site.run(host, argv, user=user, input="".join(f"@{command}\n" for command in commands))
    return answer.returncode, answer.stdout + answer.stderr


def test_a_certificate_opens_the_way_through_the_gateway_to_that_persons_data(site: Testbed) -> None:
    options = certify(site, "cx01", "rs-tanaka", "jrs0017", "cloud")
    status, said = sftp(site, "cx01", options, "jrs0017", "ls -1 /srv/cloud/datasets", "ls /srv/cloud/datasets/society-jrs")
    assert status == 0, said
    assert "/srv/cloud/datasets/society-jrs" in said
    log = site.host("cloud").path("/var/log/sshd.log").read_text()
    assert "Accepted publickey for jrs0017 from 10.77.3.1" in log


def test_the_gateways_port_selects_the_destination(site: Testbed) -> None:
    options = certify(site, "cx01", "rs-tanaka", "kt001", "kashiwa")
    status, said = sftp(site, "cx01", options, "kt001", "ls -1 /srv/cloud/people")
    assert status == 0, said
    assert "kt001" in said


def test_the_ordinary_node_does_not_get_there_even_with_a_certificate(site: Testbed) -> None:
    options = certify(site, "cx03", "rs-tanaka", "jrs0017", "cloud")
    status, said = sftp(site, "cx03", options, "jrs0017", "pwd")
    # ssh may be gone before sftp writes to it, which then dies of that.
    assert status in {255, -signal.SIGPIPE}
    assert "Network is unreachable" in said


def test_a_certificate_for_one_account_or_destination_opens_no_other(site: Testbed) -> None:
    options = certify(site, "cx01", "rs-tanaka", "jrs0017", "cloud")
    status, said = sftp(site, "cx01", options, "jrs0023", "pwd")
    assert status == 255
    assert "Permission denied" in said
    elsewhere = [*options, "-o", "HostKeyAlias=cloud"]
    elsewhere[elsewhere.index("Port=2201")] = "Port=2202"
    status, said = sftp(site, "cx01", elsewhere, "jrs0017", "pwd")
    assert status == 255
    assert "Host key verification failed" in said


def test_data_of_a_society_or_a_person_are_for_them_alone(site: Testbed) -> None:
    options = certify(site, "cx01", "rs-suzuki", "jrs0023", "cloud")
    for place, permitted in (
        ("datasets/phantom-chest", True),
        ("datasets/society-jrs", False),
        ("people/jrs0023", True),
        ("people/jrs0017", False),
    ):
        status, said = sftp(site, "cx01", options, "jrs0023", f"ls /srv/cloud/{place}", user="rs-suzuki")
        assert (status == 0) == permitted, said
        assert ("Permission denied" in said) != permitted


def test_without_a_certificate_nobody_gets_in(site: Testbed) -> None:
    argv = ["sftp", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-P", "2201"]
    answer = site.run("cx01", [*argv, "jrs0017@10.77.2.1"], user="rs-tanaka")
    assert answer.returncode == 255
    assert "Permission denied" in answer.stderr


def test_a_destination_can_be_down_and_come_back(site: Testbed) -> None:
    options = certify(site, "cx02", "rs-tanaka", "kt001", "kashiwa")
    site.stop_destination("kashiwa")
    status, said = sftp(site, "cx02", options, "kt001", "pwd")
    assert status == 255
    assert "Connection refused" in said
    site.start_destination("kashiwa")
    site.start_destination("kashiwa")
    assert sftp(site, "cx02", options, "kt001", "pwd")[0] == 0
