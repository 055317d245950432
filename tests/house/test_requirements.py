"""pyproject.toml says what is needed, constraints.txt the exact versions, environment.yml the same for conda: they keep in step."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]]
PIN_LINES = (ROOT / "constraints.txt").read_text().split()


def pins() -> dict[str, str]:
    """Exact version of each package that constraints.txt names."""
    return dict(line.split("==") for line in PIN_LINES)


def test_constraints_pin_each_package_exactly_once():
    names = [canonicalize_name(re.fullmatch(r"([a-z0-9._-]+)==([0-9][^\s;,*]*)", line).group(1)) for line in PIN_LINES]

    assert names == sorted(set(names))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_each_requirement_is_pinned_within_its_bounds(requirement: Requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_no_pin_is_left_over():
    """Every pinned package is one that we ask for, or one that such a package asks for."""
    wanted = {canonicalize_name(requirement.name): requirement.extras for requirement in REQUIREMENTS}
    reached: dict[str, set[str]] = {}
    waiting = list(wanted.items())
    while waiting:
        name, extras = waiting.pop()
        if name in reached and extras <= reached[name]:
            continue
        reached.setdefault(name, set()).update(extras)
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                waiting.append((canonicalize_name(needed.name), needed.extras))

    assert set(pins()) <= set(reached)


def test_what_is_installed_is_what_is_pinned():
    # A build's own mark after a `+` (the one for machines without a GPU) is not part of the version.
    installed = {canonicalize_name(each.metadata["Name"]): each.version.partition("+")[0] for each in metadata.distributions()}

    assert {name: installed.get(name) for name in pins()} == pins()


def test_conda_environment_is_this_project_and_its_extras():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    python = next(entry for entry in conda if entry.startswith("python=")).removeprefix("python=")

    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    assert "pip" in conda
    constraint, project = pip
    assert (ROOT / constraint.removeprefix("--constraint ")).is_file()
    assert Requirement(f"renkei{project.removeprefix('.')}").extras == set(EXTRAS) - {"test"}
