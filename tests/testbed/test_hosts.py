"""Each host is its own: names, accounts, files, processes."""

import pwd
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from testbed.host import TestbedError
from testbed.layout import HOSTS
from testbed.site import Testbed

pytestmark = pytest.mark.site


def test_every_host_has_namespaces_of_its_own(site: Testbed) -> None:
    for kind in ("net", "mnt", "pid", "uts", "ipc"):
        argv = ["readlink", f"/proc/self/ns/{kind}"]
        spaces = [site.run(name, argv, check=True).stdout for name in HOSTS]
        assert len({*spaces, f"{Path(argv[1]).readlink()}\n"}) == len(HOSTS) + 1


def test_a_command_runs_as_who_it_should_where_it_should(site: Testbed) -> None:
    script = "hostname; id -un; id -Gn; echo $HOME; pwd; cat"
    answer = site.run("cx01", ["sh", "-c", script], user="rs-tanaka", input="said", check=True)
    assert answer.stdout.split("\n") == ["cx01", "rs-tanaka", "rs-tanaka renkei-sessions ct-link", "/home/rs-tanaka", "/", "said"]


def test_a_command_that_takes_too_long_does_not_live_on(site: Testbed) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        site.run("cx03", ["sleep", "1234"], timeout=0.5)
    time.sleep(0.2)
    assert not [each for each in site.host("cx03").processes() if each.argv == ("sleep", "1234")]


def test_a_daemon_ignores_no_signal_whatever_its_starter_ignores(site: Testbed) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        site.host("cx03").daemon(["grep", "SigIgn", "/proc/self/status"], None, "/var/log/ignored.log")
    finally:
        signal.signal(signal.SIGINT, before)
    log = site.host("cx03").path("/var/log/ignored.log")
    end = time.monotonic() + 20
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < end, "the daemon wrote nothing"
        time.sleep(0.05)
    assert int(log.read_text().split()[1], 16) == 0


def test_unknown_hosts_and_accounts_get_a_sentence(site: Testbed) -> None:
    with pytest.raises(TestbedError, match="there is no host 'cx09'; there are hub, "):
        site.run("cx09", ["true"])
    with pytest.raises(TestbedError, match="cloud has no account 'tanaka'"):
        site.run("cloud", ["true"], user="tanaka")


def test_accounts_exist_where_they_belong_and_not_on_the_machine(site: Testbed) -> None:
    def has(host: str, account: str) -> bool:
        return site.run(host, ["id", account]).returncode == 0

    assert has("hub", "rs-tanaka")
    assert has("cx01", "rs-tanaka")
    assert not has("hub", "rs-mori")
    assert not has("cx01", "jupyterhub")
    assert has("cloud", "jrs0017")
    assert not has("kashiwa", "jrs0017")
    with pytest.raises(KeyError):
        pwd.getpwnam("rs-tanaka")


def test_no_password_fits_a_session_account_and_only_hashes_are_kept(site: Testbed) -> None:
    shadow = dict(line.split(":")[:2] for line in site.host("hub").path("/etc/shadow").read_text().splitlines())
    assert shadow["rs-tanaka"].startswith("!")
    assert shadow["tanaka"].startswith("$6$")
    assert (site.state.folder / "passwords.json").stat().st_mode & 0o077 == 0


def test_the_checkout_and_the_environment_are_there_for_everyone_and_read_only(site: Testbed) -> None:
    argv = ["/opt/renkei/env/bin/python", "-c", "import jupyterhub, sys; print(sys.prefix)"]
    answer = site.run("cx01", argv, user="rs-tanaka", check=True)
    assert answer.stdout.strip() == "/opt/renkei/env"
    for folder in ("src", "env"):
        refused = site.run("cx01", ["touch", f"/opt/renkei/{folder}/planted"])
        assert "Read-only file system" in refused.stderr


def test_what_a_host_writes_the_machine_does_not_have(site: Testbed) -> None:
    path = f"/var/lib/{uuid.uuid4().hex}"
    site.run("cx03", ["touch", path], check=True)
    assert not Path(path).exists()
    assert site.run("cx02", ["test", "-e", path]).returncode != 0


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/dev/shm", "/home/rs-sato", "/run/lock"])
def test_kept_shows_exactly_the_planted_file(site: Testbed, folder: str) -> None:
    before = set(site.kept("cx03"))
    path = f"{folder}/{uuid.uuid4().hex}"
    site.run("cx03", ["sh", "-c", 'printf 12345 > "$1"; chmod 640 "$1"', "sh", path], user="rs-sato", check=True)

    (found,) = [each for each in set(site.kept("cx03")) - before if not each.path.startswith("/var/log/")]

    assert (found.path, found.kind, found.size, found.uid, found.mode) == (path, "file", 5, 20_103, "640")
    assert abs(found.mtime - time.time()) < 60


def test_kept_sees_what_a_program_hides_from_the_host(site: Testbed) -> None:
    name = uuid.uuid4().hex
    site.run("cx03", ["sh", "-c", f"mkdir /tmp/{name} && touch /tmp/{name}/under && mount -t tmpfs none /tmp/{name}"], check=True)
    assert site.run("cx03", ["ls", f"/tmp/{name}"], check=True).stdout == ""
    assert f"/tmp/{name}/under" in {each.path for each in site.kept("cx03")}
    site.run("cx03", ["umount", f"/tmp/{name}"], check=True)


def test_kept_shows_a_file_of_the_machine_that_a_host_removed(site: Testbed) -> None:
    site.run("cx03", ["rm", "/etc/debian_version"], check=True)
    assert [each.kind for each in site.kept("cx03") if each.path == "/etc/debian_version"] == ["deleted"]


def test_the_first_process_reaps_what_others_leave(site: Testbed) -> None:
    site.run("cx03", ["sh", "-c", "(sleep 0.1 &) ; exit 0"], check=True)
    time.sleep(0.5)
    # A command's own parent is outside: the machine reaps that one.
    states = site.run("cx03", ["ps", "--ppid", "1", "-o", "stat="], check=True).stdout.split()
    assert states
    assert not [state for state in states if state.startswith("Z")]
