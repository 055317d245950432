"""Who has which account where: the text of the account files of every host.

The centre and each destination have their own people and their own uids, as they have in life. Nothing here touches the
machine's own account files: they are the starting point, without the machine's people.
"""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from testbed.layout import CENTRE

PEOPLE = ("tanaka", "suzuki", "sato", "yamada", "mori", "admin")
"""They log in at the hub."""
SESSION_PEOPLE = ("tanaka", "suzuki", "sato", "yamada")
"""They have an account for sessions too; mori has none, so that this case can be seen."""
PERMITTED = ("rs-tanaka", "rs-suzuki", "rs-sato", "tanaka")
"""Members of the group that may use the dedicated nodes; `tanaka` in person for sites with `run_as = "person"`."""

_ORDINARY_UIDS = range(1000, 60_000)
"""Debian's range for people (login.defs); system accounts lie outside."""
_LOCKED = "!"
_CERTIFICATE_ONLY = "*"
"""No password fits, but the account is not locked: sshd lets it in by certificate."""


@dataclass(frozen=True)
class Account:
    """One account of one host; its primary group has its name and its number."""

    name: str
    uid: int
    password: str = _LOCKED
    """What stands in the shadow file."""
    login: str = "/usr/sbin/nologin"
    """The program of a login."""
    home: str = ""
    groups: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The home folder."""
        return self.home or f"/home/{self.name}"


@dataclass(frozen=True)
class Accounts:
    """All accounts and further groups that a host has on top of the system's own."""

    accounts: tuple[Account, ...] = ()
    groups: dict[str, int] = field(default_factory=dict)

    def find(self, name: str) -> Account:
        """The account called `name`."""
        return next(each for each in self.accounts if each.name == name)


def new_passwords() -> dict[str, str]:
    """A fresh password for each person."""
    return {name: secrets.token_urlsafe(9) for name in PEOPLE}


def hashed(passwords: dict[str, str]) -> dict[str, str]:
    """The shadow file's form of each password."""
    answer = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input="\n".join(passwords.values()), capture_output=True, text=True, check=True
    )
    return dict(zip(passwords, answer.stdout.split(), strict=True))


def centre(hashes: dict[str, str], host: str) -> Accounts:
    """The accounts of a host of the computing centre; the services' accounts exist on the hub alone."""
    people = [
        Account(name, 20_001 + number, hashes[name], login="/bin/bash", groups=(*_centre_groups(name), "renkei-people"))
        for number, name in enumerate(PEOPLE)
    ]
    sessions = [
        Account(f"rs-{name}", 20_101 + number, groups=(*_centre_groups(f"rs-{name}"), "renkei-sessions"))
        for number, name in enumerate(SESSION_PEOPLE)
    ]
    services = [
        Account("jupyterhub", 901, home="/var/lib/renkei/hub", groups=("sasl",)),
        Account("renkei-authority", 902, home="/var/lib/renkei-authority"),
    ]
    groups = {"renkei-sessions": 20_900, "ct-link": 20_901, "renkei-people": 20_902}
    return Accounts((*people, *sessions, *(services if host == "hub" else ())), groups)


def _centre_groups(name: str) -> tuple[str, ...]:
    return ("ct-link",) if name in PERMITTED else ()


SYSTEM = Accounts(
    (
        Account("munge", 903, home="/nonexistent"),
        Account("slurm", 904, home="/nonexistent"),
        Account("sshd", 905, home="/run/sshd"),
    ),
    {"sasl": 906},
)
"""What Debian's packages make where they are installed; a host has it where the machine has not."""
CLOUD = Accounts(
    (
        Account("curator", 6000, _CERTIFICATE_ONLY),
        Account("jrs0017", 6017, _CERTIFICATE_ONLY, groups=("jrs",)),
        Account("jrs0023", 6023, _CERTIFICATE_ONLY),
        Account("jrs0031", 6031, _CERTIFICATE_ONLY),
        Account("jrs0040", 6040, _CERTIFICATE_ONLY),
    ),
    {"jrs": 6900},
)
"""The medical-image cloud: tanaka, suzuki, yamada and mori under the cloud's own names; jrs is a learned society."""
KASHIWA = Accounts((Account("curator", 7000, _CERTIFICATE_ONLY), Account("kt001", 7001, _CERTIFICATE_ONLY)))
"""The test server: tanaka alone."""


def of(host: str, hashes: dict[str, str]) -> Accounts:
    """The accounts of `host`."""
    if host in CENTRE:
        return centre(hashes, host)
    return {"cloud": CLOUD, "kashiwa": KASHIWA}.get(host, Accounts())


def account_files(wanted: Accounts, etc: Path = Path("/etc")) -> dict[str, str]:
    """Path and text of passwd, group, shadow and gshadow: system accounts of `etc` and of SYSTEM, then those that are `wanted`."""
    passwd = [line for line in _lines(etc / "passwd") if _is_systems(line)]
    kept = {line.split(":")[0] for line in passwd}
    shadow = [line for line in _lines(etc / "shadow") if line.split(":")[0] in kept]
    groups = [line for line in _lines(etc / "group") if _is_systems(line)]
    named = {line.split(":")[0] for line in groups}
    groups += [f"{name}:x:{gid}:" for name, gid in SYSTEM.groups.items() if name not in named]

    members: dict[str, list[str]] = {}
    for each in (*(each for each in SYSTEM.accounts if each.name not in kept), *wanted.accounts):
        passwd.append(f"{each.name}:x:{each.uid}:{each.uid}::{each.folder}:{each.login}")
        shadow.append(f"{each.name}:{each.password}:20000:0:99999:7:::")
        groups.append(f"{each.name}:x:{each.uid}:")
        for group in each.groups:
            members.setdefault(group, []).append(each.name)
    groups += [f"{name}:x:{gid}:" for name, gid in wanted.groups.items()]
    groups = [with_members(line, members.get(line.split(":")[0], [])) for line in groups]
    gshadow = [f"{line.split(':')[0]}:!::{line.split(':')[3]}" for line in groups]
    texts = {"passwd": passwd, "shadow": shadow, "group": groups, "gshadow": gshadow}
    return {f"/etc/{name}": "\n".join(lines) + "\n" for name, lines in texts.items()}


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.count(":") >= 3]


def _is_systems(line: str) -> bool:
    number = line.split(":")[2]
    return number.isdecimal() and int(number) not in _ORDINARY_UIDS


def with_members(line: str, names: list[str]) -> str:
    """A line of the group file with `names` as further members."""
    present = [name for name in line.split(":")[3].split(",") if name]
    return ":".join((*line.split(":")[:3], ",".join([*present, *names])))
