from pathlib import Path

import pytest

from testbed import accounts
from testbed.accounts import Account, Accounts


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    people = ("root:x:0:0::/root:/bin/bash", "ada:x:1000:1000::/home/ada:/bin/bash", "slurm:x:64030:64030::/:/bin/false")
    (tmp_path / "passwd").write_text("\n".join(people) + "\n")
    (tmp_path / "shadow").write_text("root:*:1::::::\nada:$6$secret:1::::::\nslurm:!:1::::::\n")
    (tmp_path / "group").write_text("root:x:0:\nsasl:x:45:\nada:x:1000:\n")
    return tmp_path


def test_a_host_has_the_systems_accounts_and_none_of_the_machines_people(etc: Path) -> None:
    files = accounts.account_files(Accounts((Account("tanaka", 20_001, "hash", login="/bin/bash"),)), etc)

    assert [line.split(":")[0] for line in files["/etc/passwd"].splitlines()] == ["root", "slurm", "munge", "sshd", "tanaka"]
    assert "slurm:x:64030:" in files["/etc/passwd"]
    assert "secret" not in files["/etc/shadow"]
    assert "tanaka:hash:" in files["/etc/shadow"]
    assert "ada" not in files["/etc/group"]


def test_an_account_joins_groups_that_exist_and_groups_that_are_new(etc: Path) -> None:
    members = (Account("jupyterhub", 901, groups=("sasl", "team")), Account("sato", 20_003, groups=("team",)))
    wanted = Accounts(members, {"team": 20_900})

    groups = accounts.account_files(wanted, etc)["/etc/group"].splitlines()

    assert "sasl:x:45:jupyterhub" in groups
    assert "team:x:20900:jupyterhub,sato" in groups


def test_no_number_serves_two_accounts_of_a_host() -> None:
    hashes = dict.fromkeys(accounts.PEOPLE, "*")
    for host in ("hub", "cx01", "cloud", "kashiwa"):
        uids = [each.uid for each in accounts.of(host, hashes).accounts]
        assert len(uids) == len(set(uids))


def test_people_of_the_centre_are_nobody_at_the_destinations() -> None:
    centre = {each.uid for each in accounts.centre(dict.fromkeys(accounts.PEOPLE, "*"), "hub").accounts}
    for destination in (accounts.CLOUD, accounts.KASHIWA):
        assert not centre & {each.uid for each in destination.accounts}


def test_passwords_are_new_each_time_and_the_hash_is_of_that_password() -> None:
    first, second = accounts.new_passwords(), accounts.new_passwords()
    assert not set(first.values()) & set(second.values())
    hashes = accounts.hashed({"tanaka": "one", "sato": "two"})
    assert all(text.startswith("$6$") for text in hashes.values())
    assert hashes["tanaka"] != hashes["sato"]
