"""What a person can try with a folder: the same small program runs as a cell, through the mount, and on the cloud as that account.

This file's text is the program (`program`), so it needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

VERBS: dict[str, Callable[[Path, Path], object]] = {}
"""Name → what is tried with (a place, the own folder). What is told beyond `done` is compared as well."""


def verb(work: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
    """Enter a function among VERBS, in the order in which they are tried."""
    VERBS[work.__name__] = work
    return work


@verb
def list(place: Path, _: Path) -> object:  # noqa: A001  (its name in the matrix)
    return sorted(each.name for each in place.iterdir())


@verb
def look(place: Path, _: Path) -> object:
    found = (place / "file").stat()
    return [oct(found.st_mode), found.st_size]


@verb
def read(place: Path, _: Path) -> object:
    return (place / "file").read_text()


@verb
def write(place: Path, _: Path) -> None:
    with (place / "file").open("r+") as stream:
        stream.write("F")


@verb
def append(place: Path, _: Path) -> None:
    with (place / "file").open("a") as stream:
        stream.write("more")


@verb
def create(place: Path, _: Path) -> None:
    with (place / "new").open("x") as stream:
        stream.write("new")


@verb
def make_folder(place: Path, _: Path) -> None:
    (place / "new-folder").mkdir()


@verb
def delete(place: Path, _: Path) -> None:
    (place / "victim").unlink()


@verb
def delete_folder(place: Path, _: Path) -> None:
    (place / "folder").rmdir()


@verb
def chmod(place: Path, _: Path) -> None:
    (place / "file").chmod(0o604)


@verb
def chmod_folder(place: Path, _: Path) -> None:
    place.chmod(place.stat().st_mode & 0o7777)


@verb
def give_away(place: Path, _: Path) -> None:
    os.chown(place / "file", 6000, -1)


@verb
def give_to_group(place: Path, _: Path) -> None:
    os.chown(place / "file", -1, 6900)


@verb
def keep_owner(place: Path, _: Path) -> None:
    os.chown(place / "file", os.getuid(), os.getgid())


@verb
def symlink_out(place: Path, _: Path) -> None:
    (place / "out").symlink_to("/etc/shadow-not-there")


@verb
def follow_out(place: Path, _: Path) -> None:
    (place / "leads-out").read_text()


@verb
def follow_up(place: Path, _: Path) -> None:
    (place / "leads-up").read_text()


@verb
def follow_beside(place: Path, _: Path) -> object:
    return (place / "leads-beside").read_text()


@verb
def hard_link(place: Path, _: Path) -> None:
    os.link(place / "file", place / "linked")


@verb
def hard_link_home(place: Path, own: Path) -> None:
    os.link(place / "file", own / f"linked-{place.name}")


@verb
def rename_over(place: Path, _: Path) -> None:
    (place / "moving").rename(place / "target")


@verb
def rename_away(place: Path, own: Path) -> None:
    (place / "leaving").rename(own / f"left-{place.name}")


@verb
def rename_in(place: Path, own: Path) -> None:
    (own / f"for-{place.name}").write_text("brought")
    (own / f"for-{place.name}").rename(place / "brought")


@verb
def truncate(place: Path, _: Path) -> None:
    os.truncate(place / "file", 1)


@verb
def date(place: Path, _: Path) -> None:
    os.utime(place / "file", (1_000_000_000, 1_000_000_000))


@verb
def touch(place: Path, _: Path) -> None:
    os.utime(place / "file")


def attempts(root: str, places: str) -> dict[str, object]:
    """`PLACE VERB` → the answer, for every folder named in `places` (words) below `root`; `root`/own is the own folder."""
    os.umask(0o022)
    answers: dict[str, object] = {}
    for name in places.split():
        for each, work in VERBS.items():
            try:
                answers[f"{name} {each}"] = ["done", work(Path(root, name), Path(root, "own"))]
            except FileNotFoundError:
                answers[f"{name} {each}"] = ["missing"]
            except OSError:
                # SFTP knows few kinds of no: which one it was is not part of the right.
                answers[f"{name} {each}"] = ["refused"]
    return answers


def program(root: str, places: str) -> str:
    """A cell whose value is the answers below `root`."""
    return f"{Path(__file__).read_text()}\n\nattempts({root!r}, {places!r})"


if __name__ == "__main__" and len(sys.argv) == 3:
    sys.stdout.write(json.dumps(attempts(sys.argv[1], sys.argv[2])))
