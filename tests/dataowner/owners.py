"""An owner's side in a folder of the test's own, with real keys and real signatures."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from dataowner import revocations, statement
from dataowner.places import Places

SESSION, OTHER = "a1b2c3d4e5f60718", "0123456789abcdef"
TABLE = """\
[owner]
destination = cloud
gateway = 10.77.3.1

[account jrs0017]
access = read-write
until = 2099-12-31

[account jrs0023]
access = read-only
until = 2099-12-31
users = suzuki mori

[account jrs0031]
access = read-write
until = 2020-03-31
"""
NAMESPACES = 'namespaces="renkei-statement,renkei-document"'


class OwnersSide:
    """Files as `install` and the owner leave them, one signer `hub`."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder / "root")
        for each in (
            self.places.settings.parent,
            self.places.statements,
            self.places.documents,
            self.places.connections,
            self.places.sessions,
            self.places.live.parent,
        ):
            each.mkdir(parents=True)
        self.places.settings.write_text(TABLE)
        self.places.revoked.write_text("")
        self.key = make_key(folder / "hub")
        self.places.ca.write_text(Path(f"{make_key(folder / 'ca')}.pub").read_text())
        self.places.signers.write_text(f"hub {NAMESPACES} {Path(f'{self.key}.pub').read_text()}")
        revocations.write_krl(self.places)

    def push(self, text: str, *, key: Path | None = None, namespace: str = statement.NAMESPACE, now: float | None = None):
        """Sign `text` and hand it in."""
        moment = time.time() if now is None else now
        settings = statement_settings()
        return statement.accept(text, sign(key or self.key, text, namespace), self.places, settings, moment)


def statement_settings():
    from dataowner.table import parse

    return parse(TABLE).settings


def make_key(path: Path) -> Path:
    subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def sign(key: Path, text: str, namespace: str) -> str:
    signing = ["/usr/bin/ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", namespace]
    return subprocess.run(signing, input=text, capture_output=True, text=True, check=True).stdout


def text(number: int = 1, *lines: str, destination: str = "cloud", issued: float | None = None, seconds: int = 15) -> str:
    """A statement; by default it says that SESSION is alive."""
    stamp = int(time.time() if issued is None else issued)
    head = f"renkei-statement 1\ndestination {destination}\nnumber {number}\nissued {stamp}\nseconds {seconds}\n"
    return head + "".join(f"{line}\n" for line in lines or (f"live {SESSION} jrs0017 tanaka",))
