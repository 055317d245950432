"""The preset notebooks: everybody finds an own copy in their folder on the cloud, and keeps what they made of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

FOLDER = "tutorials"

_HEADING = re.compile(r"#\s+(\S.*)")
_NUMBER = re.compile(r"(\d+)_")


class Card(msgspec.Struct, frozen=True):
    """One tutorial as the Lab's launcher shows it."""

    file: str
    """Its name in the folder of tutorials."""
    title: str
    """The number that its file's name begins with, by which texts speak of it, and its first heading without emphasis."""


def cards(presets: Path) -> tuple[Card, ...]:
    """The notebooks in `presets` by their names; one that can't be read has its file's name for a title.

    Read on the node, where they come from, so that no card costs a round trip to the cloud.
    """
    return tuple(Card(path.name, _title(path)) for path in sorted(presets.glob("*.ipynb")))


def _title(path: Path) -> str:
    heading = next(_headings(path), "")
    if not heading:
        return path.stem
    number = _NUMBER.match(path.name)
    return f"{number[1]} {heading}" if number else heading


def _headings(path: Path) -> Iterator[str]:
    try:
        texts = ["".join(cell["source"]) for cell in json.loads(path.read_bytes())["cells"] if cell["cell_type"] == "markdown"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for text in texts:
        if found := _HEADING.match(text):
            yield found[1].replace("*", "").strip()


def copy(presets: Path, own: Path) -> int:
    """Copies the notebooks in `presets` to `own`/tutorials where no file of that name is; how many it copied.

    What is there belongs to the person, who may have changed it: a new version of the presets brings them what is new by name,
    and who wants the new text of an old one removes their copy. Each appears whole or not at all. Files go side by side, since
    every step is a round trip to the cloud. Raises OSError.
    """
    target = own / FOLDER
    target.mkdir(exist_ok=True)
    there = {entry.name for entry in os.scandir(target)}
    missing = [source for source in sorted(presets.glob("*.ipynb")) if source.name not in there]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda source: _copy(source, target / source.name), missing))
    return len(missing)


def _copy(source: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        fresh.write_bytes(source.read_bytes())
        fresh.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
