"""What a site installs besides Renkei: each package at its pinned version, with its licence and what it asks for itself.

From `pyproject.toml`, `constraints.txt`, the installed packages' own metadata and the proxy's lock file; no network is asked.
"""

from __future__ import annotations

import json
import tomllib
from base64 import b64decode
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("hub", "node", "ctlab")
"""What a site installs; what tests need besides is no part of a release."""
LOCK = "spawner/proxy_package/package-lock.json"
_LONGEST = 60
"""Characters; a longer licence field is the licence's text itself."""


@dataclass(frozen=True)
class Part:
    """One package of PyPI (`kind` "pypi") or npm ("npm")."""

    kind: str
    name: str
    version: str
    licence: str
    """An SPDX expression where `is_spdx`, else the package's own words; "" where it says nothing."""
    is_spdx: bool
    home: str
    asks_for: tuple[str, ...] = ()
    """References (`ref`) of the parts that it needs."""
    sha512: str = ""
    """Hexadecimal, where the lock file has it."""

    @property
    def ref(self) -> str:
        """Its package URL."""
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}@{self.version}"


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def everything() -> tuple[Part, ...]:
    """All parts by kind and name. Raises PackageNotFoundError where the environment lacks one that is pinned."""
    return tuple(sorted((*python(), *npm()), key=lambda part: (part.kind != "pypi", part.name, part.version)))


def roots() -> tuple[str, ...]:
    """References of what Renkei itself asks for."""
    pins = _pins()
    names = {canonicalize_name(each.name) for each in _wanted()}
    return tuple(f"pkg:pypi/{name}@{pins[name]}" for name in sorted(names))


def python() -> tuple[Part, ...]:
    """The packages of PyPI."""
    pins, waiting = _pins(), _wanted()
    reached: dict[str, set[str]] = {}
    asked: dict[str, set[str]] = {}
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        if name in reached and each.extras <= reached[name]:
            continue
        reached.setdefault(name, set()).update(each.extras)
        further = [Requirement(line) for line in metadata.requires(name) or []]
        further = [one for one in further if _applies(one, reached[name]) and canonicalize_name(one.name) in pins]
        asked[name] = {canonicalize_name(one.name) for one in further}
        waiting += further
    return tuple(_python(name, pins, asked[name]) for name in asked)


def _wanted() -> list[Requirement]:
    table = project()
    lines = [*table["dependencies"], *(line for extra in EXTRAS for line in table["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def _pins() -> dict[str, str]:
    return dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


def _applies(wanted: Requirement, extras: set[str]) -> bool:
    return wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in {"", *extras})


def _python(name: str, pins: dict[str, str], asked: set[str]) -> Part:
    said = metadata.metadata(name)
    expression = _first(said, "License-Expression")
    addresses = dict(line.split(", ", 1) for line in said.get_all("Project-URL") or [] if ", " in line)
    lower = {label.lower(): address for label, address in addresses.items()}
    home = _first(said, "Home-page") or next(
        (lower[word] for word in ("homepage", "source", "repository", "source code") if word in lower), ""
    )
    refs = tuple(f"pkg:pypi/{each}@{pins[each]}" for each in sorted(asked - {name}))
    return Part("pypi", name, pins[name], expression or _own_words(said), bool(expression), home, refs)


def _own_words(said: metadata.PackageMetadata) -> str:
    """What the metadata of before SPDX say of the licence."""
    field = _first(said, "License").strip()
    if field and "\n" not in field and len(field) <= _LONGEST:
        return field
    classifiers = [each for each in said.get_all("Classifier") or [] if each.startswith("License :: ")]
    return ", ".join(each.rpartition(" :: ")[2] for each in classifiers) or field.partition("\n")[0].strip()[:_LONGEST]


def _first(said: metadata.PackageMetadata, name: str) -> str:
    return str((said.get_all(name) or [""])[0])


def npm() -> tuple[Part, ...]:
    """The proxy and its packages, as locked."""
    packages = json.loads((ROOT / LOCK).read_text())["packages"]
    parts = []
    for path, said in packages.items():
        name = path.rpartition("node_modules/")[2]
        if name and not said.get("dev"):
            kind, _, digest = said.get("integrity", "").partition("-")
            sha512 = b64decode(digest).hex() if kind == "sha512" else ""
            parts.append(Part("npm", name, said["version"], said.get("license", ""), "license" in said, "", (), sha512))
    return tuple(dict.fromkeys(parts))
