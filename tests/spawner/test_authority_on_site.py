"""The authority on the hub: what its account guards, and how far a destination believes what it signs."""

import json
import shlex

import pytest

from testbed import owner
from testbed.site import Testbed

pytestmark = pytest.mark.site

SOCKET = "/run/renkei-authority/authority.sock"
KEY = "/tmp/authority-test"
SESSION = "authoritytest001"

ASK = f"""
import asyncio, json, sys
from spawner.authority.client import AuthorityClient, AuthorityRefusedError
user, destination, key = sys.argv[1:]
try:
    signed = asyncio.run(AuthorityClient("{SOCKET}").sign(user=user, destination=destination, session="{SESSION}", public_key=key))
    print(json.dumps([signed.certificate, signed.serial]))
except AuthorityRefusedError as error:
    sys.exit(f"refused: {{error}}")
"""


def ask(site: Testbed, account: str, user: str, destination: str, key: str):
    argv = ["env", "PYTHONPATH=/opt/renkei/src", "/opt/renkei/env/bin/python", "-c", ASK, user, destination, key]
    return site.run("hub", argv, user=account)


@pytest.fixture(scope="module")
def key(site_with_hub: Testbed) -> str:
    """The public half of a key pair that rs-tanaka has on cx01."""
    node = site_with_hub.host("cx01")
    site_with_hub.run("cx01", ["rm", "-rf", KEY], check=True)
    node.folder(KEY, 0o700, "rs-tanaka")
    node.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", f"{KEY}/id"], user="rs-tanaka", check=True)
    return node.path(f"{KEY}/id.pub").read_text().strip()


@pytest.fixture(scope="module")
def certified(site_with_hub: Testbed, key: str) -> int:
    """A certificate for tanaka beside that key; its serial."""
    site, node = site_with_hub, site_with_hub.host("cx01")
    answer = ask(site, "jupyterhub", "tanaka", "cloud", key)
    assert answer.returncode == 0, answer.stderr
    certificate, serial = json.loads(answer.stdout)
    owner.vouch(site.host("cloud"), SESSION, "jrs0017")
    node.write(f"{KEY}/id-cert.pub", certificate + "\n", 0o600, "rs-tanaka")
    pinned = site.host("hub").path("/etc/renkei/host_keys/cloud").read_text()
    node.write(f"{KEY}/known_hosts", f"cloud {pinned}", 0o600, "rs-tanaka")
    return serial


def at_the_cloud(site: Testbed, program: str, words: str, account: str = "jrs0017", stdin: str = ""):
    """`sftp` or `ssh` from cx01 with that certificate."""
    files = f"-o IdentityFile={KEY}/id -o CertificateFile={KEY}/id-cert.pub -o UserKnownHostsFile={KEY}/known_hosts"
    options = f"-F none -o Port=2201 {files} -o HostKeyAlias=cloud -o BatchMode=yes -o IdentitiesOnly=yes"
    argv = [program, *shlex.split(options), *shlex.split(words.format(who=f"{account}@10.77.2.1"))]
    return site.run("cx01", argv, user="rs-tanaka", input=stdin)


def test_the_destination_believes_it_and_logs_its_serial(site_with_hub: Testbed, certified: int):
    answer = at_the_cloud(site_with_hub, "sftp", "-b - {who}", stdin="@ls -1 /srv/cloud/people/jrs0017\n")
    assert answer.returncode == 0, answer.stderr
    log = site_with_hub.host("cloud").path("/var/log/sshd.log").read_text()
    assert f"ID session={SESSION} (serial {certified})" in log


def test_it_opens_no_other_account_no_shell_and_no_tunnel(site_with_hub: Testbed, certified: int):
    assert at_the_cloud(site_with_hub, "sftp", "-b - {who}", account="jrs0023").returncode == 255
    shell = at_the_cloud(site_with_hub, "ssh", "{who} id")
    assert "uid=" not in shell.stdout
    tunnel = at_the_cloud(site_with_hub, "ssh", "-W 127.0.0.1:22 {who}")
    assert "SSH-2.0" not in tunnel.stdout


def test_whoever_is_not_in_the_table_gets_nothing(site_with_hub: Testbed, key: str):
    for user, destination in (("sato", "cloud"), ("suzuki", "kashiwa"), ("jrs0017", "cloud")):
        answer = ask(site_with_hub, "jupyterhub", user, destination, key)
        assert answer.returncode != 0
        assert "refused" in answer.stderr


def test_nobody_but_the_hub_may_ask(site_with_hub: Testbed, key: str):
    for account in ("tanaka", "rs-tanaka", "renkei-authority"):
        answer = ask(site_with_hub, account, "tanaka", "cloud", key)
        assert "not for this account" in answer.stderr


def test_the_hub_can_read_neither_keys_nor_table_nor_log(site_with_hub: Testbed, certified: int):
    for path in ("/etc/renkei-authority/ca/cloud", "/etc/renkei/authority.toml", "/var/log/renkei-authority/signed.jsonl"):
        answer = site_with_hub.run("hub", ["cat", path], user="jupyterhub")
        assert "Permission denied" in answer.stderr
        assert site_with_hub.host("hub").path(path).exists()


def test_what_it_signed_is_in_its_log(site_with_hub: Testbed, certified: int):
    lines = site_with_hub.host("hub").path("/var/log/renkei-authority/signed.jsonl").read_text().splitlines()
    entry = next(entry for entry in map(json.loads, lines) if entry["serial"] == certified)
    assert (entry["user"], entry["account"], entry["destination"], entry["session"]) == ("tanaka", "jrs0017", "cloud", SESSION)
