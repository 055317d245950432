"""A right that is taken away on the cloud during a session: what a cell can still do a moment later, and what it can't."""

from __future__ import annotations

import os
import time

import pytest

from tests.guest import guest
from tests.rights.places import ROOT, lend

pytestmark = pytest.mark.site

CACHED = 5.0
"""Seconds: the mount asks again after 1 s (`attr_timeout` and `entry_timeout` in enclave/mount.py); the rest is this machine's."""
SIZE = 4 * 2**20

WATCH = """
import os, time
mount = os.environ["RENKEI_MOUNT"]
TRIES = {"list": os.listdir, "read": lambda path: open(f"{path}/file", "rb").read(1), "look": lambda path: os.stat(f"{path}/file")}
def tried(path):
    found = {}
    for name, work in TRIES.items():
        try:
            work(f"{mount}/{path}")
            found[name] = True
        except OSError:
            found[name] = False
    return found
def until_refused(path, seconds=30):
    "When each way was first refused, on the clock of all hosts."
    times, end = {}, time.time() + seconds
    while len(times) < len(TRIES) and time.time() < end:
        for name, works in tried(path).items():
            if not works:
                times.setdefault(name, time.time())
        time.sleep(0.02)
    return times
"""


@pytest.fixture(scope="module")
def person(site_with_hub):
    with guest(site_with_hub, "tanaka") as tanaka:
        tanaka.ask(f"{WATCH}\n0")
        yield tanaka


@pytest.fixture
def lent(site_with_hub, request):
    """A folder of the curator's with a file of SIZE bytes, which everybody may read; its path below the mount."""
    host, name = site_with_hub.host("cloud"), f"withdrawn-{request.node.name}"
    host.folder(f"{ROOT}/{name}", 0o755, "curator")
    host.write(f"{ROOT}/{name}/file", "x" * SIZE, 0o644, "curator")
    yield host.path(f"{ROOT}/{name}"), f"rights/{name}"
    host.run(["rm", "-r", ROOT], check=True)


def worst(person, path: str, withdrawn: float) -> float:
    """Seconds from `withdrawn` until the last of list, read and look was refused."""
    times = person.ask(f"until_refused({path!r})")
    assert set(times) == {"list", "read", "look"}
    return max(times.values()) - withdrawn


def test_closing_a_folder_holds_within_the_attribute_cache(person, lent):
    folder, path = lent
    assert person.ask(f"tried({path!r})") == {"list": True, "read": True, "look": True}

    folder.chmod(0o700)

    assert worst(person, path, time.time()) < CACHED


def test_taking_somebody_from_an_access_control_list_holds_within_the_attribute_cache(person, lent, site_with_hub):
    folder, path = lent
    folder.chmod(0o700)
    lend(folder, 0o700, site_with_hub.host("cloud").user("jrs0017").uid, 0o5)
    time.sleep(1.1)
    assert person.ask(f"tried({path!r})") == {"list": True, "read": True, "look": True}

    os.removexattr(folder, "system.posix_acl_access")
    folder.chmod(0o700)

    assert worst(person, path, time.time()) < CACHED


def test_an_open_file_stays_open_and_a_new_open_is_refused(person, lent):
    """As on the cloud itself, and so with every SFTP client: rights are asked for when a file is opened."""
    folder, path = lent
    assert person.ask(f"kept = os.open(f'{{mount}}/{path}/file', os.O_RDONLY)\nlen(os.pread(kept, 10, 0))") == 10

    (folder / "file").chmod(0o600)
    folder.chmod(0o700)
    worst(person, path, time.time())

    # From the far end, where nothing was read before: it comes from the cloud.
    assert person.ask(f"len(os.pread(kept, 10, {SIZE - 10}))") == 10
    person.ask("os.close(kept)")


def test_leaving_a_group_holds_from_the_next_connection_on(person, site_with_hub):
    """A connection keeps the groups that its account had when it began: to end it sooner is what the data owner's revoke is for."""
    cloud = site_with_hub.host("cloud")
    groups = cloud.path("/etc/group")
    before = groups.read_text()
    path = "datasets/society-jrs"
    try:
        cloud.write("/etc/group", "".join(line.replace("jrs0017", "") if line.startswith("jrs:") else line
                                           for line in before.splitlines(keepends=True)))  # fmt: skip
        assert cloud.run(["ls", f"/srv/cloud/{path}"], user="jrs0017").returncode != 0
        time.sleep(1.5)
        assert person.ask(f"tried({path!r})['list']")

        site_with_hub.reset()

        end = time.monotonic() + 30
        while person.ask(f"tried({path!r})['list']"):
            assert time.monotonic() < end
        assert person.ask("len(os.listdir(f'{mount}/datasets'))") >= 3
    finally:
        cloud.write("/etc/group", before)
