"""The installation guide's own blocks: what a stranger copies is understood by the programs that it is for, and fits together."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

import pytest

from dataowner import table as owners
from spawner.authority import table as authority
from tests.house.test_layout import ROOT

GUIDE = (ROOT / "docs" / "install.en.md").read_text()
OWNERS_GUIDE = (ROOT / "docs" / "dataowner.en.md").read_text()


def blocks(text: str, kind: str = "") -> list[str]:
    """The fenced blocks of `kind`, without the indentation of a list that they stand in."""
    found = re.findall(r"(?ms)^( *)```([a-z]*)\n(.*?)^ *```$", text)
    return [
        "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        for indent, name, body in found
        if name == kind
    ]


COMMANDS = [block for block in blocks(GUIDE) if not block.startswith("# /etc/")]
AUTHORITY, OWNER = blocks(GUIDE, "toml")[0], blocks(OWNERS_GUIDE, "ini")[0]
SITE = tomllib.loads((ROOT / "sites" / "slurm.toml").read_text())
CLOUD = next(each for each in SITE["destination"] if each["name"] == "cloud")
NFT = blocks(GUIDE, "nft")


@pytest.mark.parametrize("block", [*COMMANDS, *blocks(OWNERS_GUIDE)], ids=lambda block: block.splitlines()[0][:40])
def test_a_shell_understands_every_block(block):
    done = subprocess.run(["/bin/bash", "-n"], input=block, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("rules", NFT, ids=["gateway", "hub"])
def test_nftables_understands_the_rules(rules):
    # The hub's account is not on this machine; in a network namespace of its own, nothing of this machine's is asked.
    argv = ["unshare", "--net", "/usr/sbin/nft", "--check", "--file", "-"]
    done = subprocess.run(argv, input=rules.replace("jupyterhub", "root"), capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_file_that_the_example_names_is_made_by_a_command_or_told_in_the_text():
    made = {word for block in COMMANDS for line in block.splitlines() for word in line.split() if word.startswith("/")}
    told = set(re.findall(r"`[^`]*?(/etc/renkei[^`\s]*)`", GUIDE))
    named = {CLOUD["host_keys"], CLOUD["owner"]["control_key"], CLOUD["owner"]["statement_key"], SITE["hub"]["tls_key"]}
    named |= {tomllib.loads(AUTHORITY)["destination"][0]["ca_key"], "/etc/renkei/authority.toml", "/etc/renkei/site.toml"}

    assert named - made - told == set()


def test_site_file_authority_gateway_and_owner_speak_of_the_same_example(tmp_path):
    key = tmp_path / "ca"
    subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "authority.toml").write_text(re.sub('(?m)^ca_key = ".*"$', f'ca_key = "{key}"', AUTHORITY))
    (tmp_path / "authority.toml").chmod(0o600)
    known, owner = authority.load(tmp_path / "authority.toml"), owners.parse(OWNER)
    (account,) = known.account
    hub, subnet, gateway = SITE["hub"]["address"], SITE["resource_group"][0]["subnets"][0], CLOUD["gateway"]
    epilog = json.loads(re.search(r"^echo '(\{.*\})'", "\n".join(COMMANDS), re.MULTILINE)[1])

    assert known.destination[0].name == owner.settings.destination == CLOUD["name"]
    assert [f"{gateway}/32"] == list(known.destination[0].source)
    assert owner.settings.gateway == f"{gateway}/32"
    assert account.account in owner.grants
    assert f"ip saddr {{ {hub}, {subnet} }} ip daddr {gateway} tcp dport {CLOUD['port']} dnat to" in NFT[0]
    assert f"ip daddr {gateway} tcp dport {CLOUD['port']} meta skuid != {known.client} reject" in NFT[1]
    assert f"ip saddr != {subnet} drop" in NFT[1]
    assert epilog["hub"] == f"{hub}:8443"
    assert SITE["scheduler"]["account"].format(user=account.user) in "\n".join(COMMANDS)
