"""What ssh says when it can't, and what ssh is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from enclave import mount
from enclave.children import Child
from enclave.failure import SessionFailure
from enclave.ground import Places, is_cloud
from enclave.messages import Reason
from enclave.mount import MEMORY, classify, command, patience, ssh_config
from enclave.sandbox import argv
from tests.enclave.samples import DESTINATION, PLACES
from tests.enclave.test_sandbox import described

RESET = "read: Connection reset by peer\n"
"""What sshfs says at its end of the pipe, whatever ssh died of."""

SAID = {
    "ssh: connect to host 10.77.2.1 port 2201: Connection refused": Reason.GATEWAY_REFUSED,
    "ssh: connect to host 10.77.2.1 port 2201: No route to host": Reason.DESTINATION_DOWN,
    "ssh: connect to host 10.77.2.1 port 2201: Network is unreachable": Reason.GATEWAY_REFUSED,
    "ssh: Could not resolve hostname gw: Name or service not known": Reason.GATEWAY_REFUSED,
    "ssh: connect to host 10.77.2.1 port 2201: Connection timed out": Reason.DESTINATION_DOWN,
    "Connection timed out during banner exchange": Reason.DESTINATION_DOWN,
    "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.77.2.1": Reason.DESTINATION_DOWN,
    "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.77.2.1 port 2201": Reason.DESTINATION_DOWN,
    "No ED25519 host key is known for cloud and you have requested strict checking.\nHost key verification failed.": (
        Reason.HOST_KEY_CHANGED
    ),
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.": Reason.HOST_KEY_CHANGED,
    "jrs0017@10.77.2.1: Permission denied (publickey).": Reason.CERTIFICATE_REFUSED,
    "Received disconnect from 10.77.2.1 port 2201:2: Too many authentication failures": Reason.CERTIFICATE_REFUSED,
    "fuse: device not found, try 'modprobe fuse' first": Reason.SANDBOX_IMPOSSIBLE,
    "fuse: mount failed: Operation not permitted": Reason.SANDBOX_IMPOSSIBLE,
    "destination:/srv/cloud: No such file or directory": Reason.MOUNT_FAILED,
    "Connection to 10.77.2.1 closed by remote host.\nremote host has disconnected": Reason.MOUNT_FAILED,
    "": Reason.MOUNT_FAILED,
}


@pytest.mark.parametrize(("said", "reason"), SAID.items())
def test_every_way_to_fail_has_its_reason(said, reason):
    assert classify(said) is reason
    assert classify(f"{said}\n{RESET}") is reason
    assert classify(said.upper()) is reason


def settings(text: str) -> dict[str, str]:
    head, *lines = text.splitlines()
    assert head == "Host destination"
    return dict(line.strip().split(" ", 1) for line in lines)


def test_the_host_key_is_pinned_to_the_destination_not_to_the_address():
    found = settings(ssh_config(DESTINATION, PLACES.keys))
    assert found["HostKeyAlias"] == "cloud"
    assert found["StrictHostKeyChecking"] == "yes"
    assert found["GlobalKnownHostsFile"] == "/dev/null"
    assert found["UserKnownHostsFile"] == "/tmp/keys/known_hosts"


def test_one_key_and_no_agent_and_no_question():
    found = settings(ssh_config(DESTINATION, PLACES.keys))
    assert found["IdentitiesOnly"] == found["BatchMode"] == "yes"
    assert found["IdentityAgent"] == found["ControlPath"] == "none"
    assert found["PreferredAuthentications"] == "publickey"


@pytest.mark.parametrize(
    "change",
    [
        {"account": "-oProxyCommand=x"},
        {"account": "a b"},
        {"gateway": "10.0.0.1\n  ProxyCommand x"},
        {"name": "cloud\tx"},
        {"name": ""},
        {"folder": "../other"},
        {"folder": "people/../../etc"},
        {"folder": "/etc"},
        {"path": "relative"},
    ],
)
def test_a_value_that_would_say_something_else_to_ssh_is_refused(change):
    with pytest.raises(SessionFailure):
        ssh_config(msgspec.structs.replace(DESTINATION, **change), PLACES.keys)


@pytest.mark.parametrize("words", [command(DESTINATION, PLACES, 20101, 20102), argv(described(), 4)])
def test_mount_and_sandbox_outlive_what_the_batch_system_tells_every_process(words):
    """The enclave has handlers for both, which a program that it starts does not inherit."""
    script = "import signal; print([signal.getsignal(each).name for each in (signal.SIGTERM, signal.SIGXCPU)])"
    said = subprocess.run([*words[:2], sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "['SIG_IGN', 'SIG_IGN']\n"


def test_sshfs_has_little_memory_and_shows_files_as_the_session_s():
    words = command(DESTINATION, PLACES, 20101, 20102)
    assert words[2:4] == ["/usr/bin/prlimit", f"--data={MEMORY}"]
    options = words[-1].split(",")
    assert {"uid=20101", "gid=20102", "dir_cache=no", "reconnect", "contain_symlinks"} <= set(options)
    assert {"allow_other", "ro"} & set(options) == set()


def test_an_account_that_may_only_read_gets_a_mount_that_says_so():
    assert "ro" in command(msgspec.structs.replace(DESTINATION, read_only=True), PLACES, 1, 1)[-1].split(",")


def test_sshfs_dies_with_the_enclave():
    words = command(DESTINATION, PLACES, 20101, 20102)
    assert words[4:9] == ["/usr/bin/setpriv", "--pdeathsig", "KILL", "/usr/bin/sshfs", "-f"]


def test_a_cut_is_a_pause_for_as_long_as_the_site_says_or_left_to_ssh():
    linked = command(msgspec.structs.replace(DESTINATION, pause_s=600), PLACES, 1, 1)[-1].split(",")
    assert [each for each in linked if each.startswith("ssh_command=")] == [
        f"ssh_command={sys.executable} -S -P -m cloudlink --budget=600 --state=/tmp/link/state.json -- /usr/bin/ssh"
    ]
    assert "ssh_command" not in command(DESTINATION, PLACES, 1, 1)[-1]


def test_how_long_a_program_may_have_to_wait_in_a_cut():
    assert patience(0) == 630, "ssh's own keepalives"
    # The link's time begins when it has noticed, and ends with an error for whoever waits.
    assert 600 + 6 < patience(600) < 630


def test_a_place_whose_path_sshfs_would_take_apart_is_refused():
    with pytest.raises(SessionFailure):
        command(msgspec.structs.replace(DESTINATION, pause_s=600), Places(Path("/dev/shm/a,b")), 1, 1)


def test_a_python_whose_path_sshfs_would_take_apart_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/my env/bin/python")
    with pytest.raises(SessionFailure):
        command(msgspec.structs.replace(DESTINATION, pause_s=600), PLACES, 1, 1)


def test_the_list_of_mounts_names_no_path_of_the_destination_s():
    assert "fsname=destination" in command(DESTINATION, PLACES, 20101, 20102)[-1].split(",")


def test_the_kernel_s_list_tells_whether_the_cloud_is_mounted():
    mounted = "419 553 0:303 / /tmp/cloud rw,nosuid,nodev,relatime shared:3 - fuse.sshfs destination rw,user_id=1\n"
    assert is_cloud(mounted, PLACES.cloud)
    assert not is_cloud(mounted.replace("fuse.sshfs", "tmpfs"), PLACES.cloud)
    assert not is_cloud(mounted.replace("/tmp/cloud", "/tmp/cloud2"), PLACES.cloud)
    assert not is_cloud("", PLACES.cloud)


@pytest.mark.parametrize("there", [True, False])
def test_a_mount_that_went_before_it_was_asked_for_a_folder_says_why_it_went(tmp_path, monkeypatch, there):
    """Below it lies an empty folder of the node's: what that holds, or doesn't, is nobody's answer."""
    said = iter([True, False])
    monkeypatch.setattr(mount, "mounted", lambda cloud: next(said))
    if there:
        (tmp_path / DESTINATION.folder).mkdir(parents=True)

    async def ask() -> None:
        argv = ["sh", "-c", "sleep 0.2; echo 'ssh: connect to host gw port 2299: Connection refused'"]
        await mount.verified(Child(argv, environment={"PATH": "/usr/bin:/bin"}), DESTINATION, tmp_path)

    with pytest.raises(SessionFailure) as failure:
        asyncio.run(ask())
    assert failure.value.reason is Reason.GATEWAY_REFUSED
