"""The owner's drill, on the testbed's clouds: real sshd, real sessions, the real hub."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import pytest

from bench import revocation
from bench.person import PersonError
from bench.revocation import sniffing
from enclave.messages import Reason
from spawner import reasons
from testbed import cloud, owner
from testbed.host import Host
from testbed.site import Testbed
from tests.dataowner.owners import text
from tests.guest import guest
from tests.testbed.certificates import certify
from tests.testbed.test_cloud import sftp

pytestmark = pytest.mark.site

READER = """
import json, os, threading, time
told = {"read": 0, "errors": []}
def go_on():
    handle = os.open(os.environ["RENKEI_MOUNT"] + "/people/jrs0017/drill", os.O_RDONLY)
    while True:
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            told["read"] += len(os.pread(handle, 1 << 16, (told["read"] * 7) % (1 << 25)))
        except OSError as error:
            told["errors"].append(str(error))
        time.sleep(0.02)
threading.Thread(target=go_on, daemon=True).start()
told
"""
"""A program that reads from one open file all the time, in small bites."""


def until(condition: Callable[[], object], seconds: float) -> float:
    """Seconds until `condition` held."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds
        time.sleep(0.05)
    return time.monotonic() - begun


def seen(host: Host, account: str = "jrs0017") -> list[dict]:
    """The account's live connections, as the watcher saw them last."""
    found = json.loads(host.path("/run/renkei-owner/live.json").read_text())["connections"]
    return [each for each in found if each["account"] == account]


def states(host: Host) -> set[str]:
    return {each["state"] for each in seen(host)}


def said(host: Host) -> str:
    return host.path(cloud.LOG).read_text()


@contextlib.contextmanager
def changed(host: Host, old: str, new: str) -> Iterator[None]:
    """The owner's table with `new` in place of `old`, taken up by sshd."""
    before = host.path(owner.SETTINGS).read_text()
    assert old in before
    take_up(host, before.replace(old, new))
    try:
        yield
    finally:
        take_up(host, before)


def take_up(host: Host, table: str) -> None:
    """Write the owner's table, and wait until the watcher says that sshd has it."""
    known = said(host).count("the table: taken up")
    host.write(owner.SETTINGS, table, 0o640)
    until(lambda: said(host).count("the table: taken up") > known, 10)


@pytest.fixture(scope="module")
def at(site_with_hub: Testbed) -> Host:
    return site_with_hub.host("cloud")


def test_the_drill_no_byte_leaves_after_the_owners_word_and_the_job_is_gone(site_with_hub: Testbed, at: Host) -> None:
    [found] = revocation.drill(site_with_hub, 1)

    assert found.megabytes > 1
    assert found.last_byte < 2
    assert found.job_gone < 60

    def ends() -> list[dict]:
        lines = site_with_hub.host("hub").path("/var/log/renkei/audit.jsonl").read_text().splitlines()
        return [each for each in map(json.loads, lines) if each["event"] == "session-end" and each["reason"] == Reason.REVOKED]

    # The hub hears of the job's end a moment after the batch system has it.
    until(ends, 10)
    [end] = ends()
    assert end["user"] == "tanaka"
    # What sshd says of it when it notices goes by way of syslog.
    until(lambda: 'forced close "/srv/cloud/people/jrs0017/drill" bytes read' in owner.command(at, "log", end["session"]), 20)
    # The same session can't come back, with whatever certificate: sshd itself refuses its key id.
    assert f"session {end['session']}" in at.path("/etc/renkei-owner/revoked").read_text()


@pytest.fixture(scope="module")
def tanaka(site_with_hub: Testbed, at: Host):
    revocation.prepare(site_with_hub)
    with guest(site_with_hub, "tanaka") as session:
        session.ask(READER)
        yield session


def test_the_owner_sees_who_is_there_and_that_all_is_well(tanaka, at: Host) -> None:
    [connection] = seen(at)
    until(lambda: seen(at)[0]["bytes_out"] > 100_000, 10)
    listed = owner.command(at, "list")

    assert connection["session"] in listed
    assert "read-write" in listed
    assert owner.command(at, "check") == "all is well\n"


def test_a_cut_suspends_and_the_hub_is_heard_again_within_two_seconds_of_its_end(site_with_hub: Testbed, tanaka, at: Host) -> None:
    [before] = seen(at)
    went_on = f"process {before['process']}: live: the hub says"
    lives = said(at).count(went_on)
    site_with_hub.cut()
    try:
        assert until(lambda: states(at) == {"suspended"}, 20) > 5
    finally:
        begun = time.time()
        site_with_hub.restore()
    statement = at.path("/var/lib/renkei-owner/statements/hub")
    until(lambda: json.loads(statement.read_text())["came"] > begun, 10)
    came = json.loads(statement.read_text())["came"]
    until(lambda: states(at) == {"live"}, 5)
    # By the log: the link comes back by a connection of its own, in whose favour it gives up this one a moment later.
    until(lambda: said(at).count(went_on) == lives + 1, 5)

    assert came - begun <= 2
    assert {(each["session"], each["serial"]) for each in seen(at)} == {(before["session"], before["serial"])}


def test_a_silent_hub_suspends_and_never_ends_and_the_same_open_file_goes_on(site_with_hub: Testbed, tanaka, at: Host) -> None:
    site_with_hub.stop_hub()
    try:
        until(lambda: states(at) == {"suspended"}, 20)
        time.sleep(1)
        with sniffing(at) as left:
            time.sleep(3)
    finally:
        site_with_hub.start_hub()
    until(lambda: states(at) == {"live"}, 20)

    assert left == {}
    before = tanaka.ask("told")
    until(lambda: tanaka.ask("told")["read"] > before["read"] + 1_000_000, 60)
    assert tanaka.ask("told")["errors"] == []


def test_a_stolen_hub_and_authority_open_no_account_outside_the_owners_table(site: Testbed, at: Host) -> None:
    options = certify(site, "cx01", "rs-tanaka", "curator", "cloud")
    status, answer = sftp(site, "cx01", options, "curator", "pwd")

    assert status == 255
    assert "Permission denied" in answer


def test_a_session_that_nobody_vouches_for_does_not_come_in(site: Testbed, at: Host) -> None:
    options = certify(site, "cx01", "rs-tanaka", "jrs0017", "cloud")
    assert sftp(site, "cx01", options, "jrs0017", "pwd")[0] == 0
    known = at.path("/root/other-hub-sessions")
    session = known.read_text().splitlines()[-1].split()[1]
    known.write_text("\n".join(line for line in known.read_text().splitlines() if session not in line) + "\n")
    owner.vouch(at, "0000000000000000", "jrs0017")

    assert "Permission denied" in sftp(site, "cx01", options, "jrs0017", "pwd")[1]
    assert f"session {session} of jrs0017: no fresh statement says that it is alive" in said(at)


def test_a_grant_whose_last_day_is_over_ends_what_is_live_and_lets_nobody_in(site: Testbed, at: Host) -> None:
    options = certify(site, "cx01", "rs-yamada", "jrs0031", "cloud")
    stay = at_the_cloud(site, "rs-yamada", options, "jrs0031")
    until(lambda: seen(at, "jrs0031"), 10)
    entry = "[account jrs0031]\naccess = read-write\nuntil = "
    with changed(at, f"{entry}2099-12-31", f"{entry}2020-03-31"):
        until(lambda: not seen(at, "jrs0031"), 10)
        stay.kill()
        stay.communicate()
        assert "Permission denied" in sftp(site, "cx01", options, "jrs0031", "pwd", user="rs-yamada")[1]
    assert sftp(site, "cx01", options, "jrs0031", "pwd", user="rs-yamada")[0] == 0


def at_the_cloud(site: Testbed, user: str, options: list[str], account: str):
    """An SFTP connection that stays, as a process."""
    return site.host("cx01").popen(["sftp", "-b", "-", *options, f"{account}@10.77.2.1"], user)


def test_who_may_only_read_reads_through_the_mount_and_writes_neither_there_nor_past_it(site_with_hub: Testbed, at: Host) -> None:
    entry = "[account jrs0023]\naccess = "
    attempt = """
import os
def tried(mode):
    try:
        return open(os.environ["RENKEI_MOUNT"] + "/people/jrs0023/file", mode).close()
    except OSError as error:
        return error.strerror
[tried("r"), tried("w"), sorted(os.listdir(os.environ["RENKEI_MOUNT"] + "/people/jrs0023"))]
"""
    at.write("/srv/cloud/people/jrs0023/file", "x", 0o644, "jrs0023")
    with changed(at, f"{entry}read-write", f"{entry}read-only"):
        with guest(site_with_hub, "suzuki") as suzuki:
            body, _, last = attempt.strip().rpartition("\n")
            assert suzuki.ask(f"{body}\n{last}")[:2] == [None, "Read-only file system"]
            assert {each["access"] for each in seen(at, "jrs0023")} == {"read-only"}
        options = certify(site_with_hub, "cx01", "rs-suzuki", "jrs0023", "cloud")
        status, answer = sftp(
            site_with_hub, "cx01", options, "jrs0023", "put /etc/hostname /srv/cloud/people/jrs0023/other", user="rs-suzuki"
        )
        assert (status != 0, "denied" in answer) == (True, True)
    assert not at.path("/srv/cloud/people/jrs0023/other").exists()


def test_the_control_account_answers_its_three_questions_and_does_nothing_else(site: Testbed, at: Host) -> None:
    hub = site.host("hub")
    hub.write("/tmp/known_hosts", f"cloud {hub.path('/etc/renkei/host_keys/cloud').read_text()}", 0o644)
    settings = "-F none -p 2201 -i /etc/renkei/owner/cloud-control -o UserKnownHostsFile=/tmp/known_hosts -o HostKeyAlias=cloud"
    ssh = ["ssh", *settings.split(), "-o", "BatchMode=yes"]
    there = "renkei-control@10.77.2.1"

    def run(*words: str, give: str = ""):
        return hub.run([*ssh, *words], "jupyterhub", give)

    shell = run(there, "id; cat /etc/shadow", give="id\n")
    assert json.loads(shell.stdout) == {"answer": "refused", "reason": "no JSON, or text that is none"}
    assert "SSH-2.0" not in run("-W", "127.0.0.1:22", there).stdout
    assert run("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22", there).returncode != 0
    assert json.loads(run("-s", there, "sftp", give="ls\n").stdout)["answer"] == "refused"
    assert "PTY allocation request failed" in run("-tt", there).stderr
    assert run("-o", "PreferredAuthentications=password", there).returncode == 255
    late = text(1, "live 1111111111111111 jrs0017 tanaka", issued=time.time() - 3600)
    hub.write("/tmp/statement", late, 0o644)
    sign = ["ssh-keygen", "-Y", "sign", "-q", "-f", "/etc/renkei/owner/cloud-statement", "-n", "renkei-statement"]
    signature = hub.run(sign, "jupyterhub", late, check=True).stdout
    replayed = run(there, give=json.dumps({"ask": "push", "statement": late, "signature": signature}) + "\n")
    assert "clocks differ, or it is an old one" in replayed.stdout


def test_one_accounts_failures_lock_nobody_else_out(site: Testbed, at: Host) -> None:
    wrong, right = (
        certify(site, "cx01", "rs-tanaka", "jrs0017", "cloud"),
        certify(site, "cx02", "rs-suzuki", "jrs0023", "cloud"),
    )
    for _ in range(10):
        assert sftp(site, "cx01", wrong, "jrs0031", "pwd")[0] == 255
    begun = time.monotonic()
    assert sftp(site, "cx02", right, "jrs0023", "pwd", user="rs-suzuki")[0] == 0
    assert time.monotonic() - begun < 5


def test_without_the_owners_side_a_start_fails_and_says_why(site_with_hub: Testbed, at: Host) -> None:
    signers = at.path("/etc/renkei-owner/allowed_signers").read_text()
    at.write("/etc/renkei-owner/allowed_signers", "", 0o640)
    try:
        with pytest.raises(PersonError) as caught, guest(site_with_hub, "suzuki"):
            pass
    finally:
        at.write("/etc/renkei-owner/allowed_signers", signers, 0o640)

    assert reasons.sentence(Reason.OWNER_DOWN, "en") in str(caught.value)
