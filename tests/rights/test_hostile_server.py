"""A destination that was taken over, or never was what it says: it can spoil its own files, and reaches nothing else."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclave.messages import Reason
from enclave.mount import MEMORY
from testbed import cloud, services
from testbed.host import Host
from testbed.site import Testbed
from tests.e2e.nodes import held
from tests.guest import guest
from tests.rights.rogue import BREAKS, LINKS, MODES, NAMES, SILENCES, SIZES

pytestmark = pytest.mark.site

PROGRAM = "/opt/rogue.py"
CONFIGURATION = "/etc/ssh/sshd_config.d/10-renkei-owner.conf"

TRAPS = """
import os
traps = os.environ["RENKEI_MOUNT"] + "/traps"
def tried(work, path):
    try:
        return ["done", work(f"{traps}/{path}")]
    except OSError as error:
        return ["refused", error.errno]
def content(path):
    with open(path, "rb") as stream:
        return stream.read(100_000).decode(errors="replace")
def size(path):
    return os.stat(path).st_size
def kind(path):
    return oct(os.stat(path).st_mode)
"""


@contextlib.contextmanager
def rogue(site: Testbed, *arguments: str) -> Iterator[None]:
    """Whoever connects to kashiwa gets the rogue in place of sshd's own SFTP."""
    host = site.host("kashiwa")
    texts = {path: host.path(path).read_text() for path in (CONFIGURATION, "/etc/passwd")}
    host.write(PROGRAM, Path(__file__).with_name("rogue.py").read_text())
    forced = " ".join(["/usr/bin/python3", "-I", "-S", PROGRAM, *arguments])
    host.write(CONFIGURATION, re.sub("(?<=ForceCommand )(internal-sftp|.*rogue).*", forced, texts[CONFIGURATION]))
    # A forced command is run by the account's shell.
    host.write("/etc/passwd", texts["/etc/passwd"].replace("kt001:/usr/sbin/nologin", "kt001:/bin/sh"))
    cloud.stop(host)
    cloud.listen(host)
    try:
        yield
    finally:
        for path, text in texts.items():
            host.write(path, text)
        cloud.stop(host)
        cloud.listen(host)


@pytest.fixture(scope="module")
def kept(site_with_hub):
    """What the nodes hold before and, at the end, still hold: nothing that a destination says changes that."""
    before = held(site_with_hub)
    yield
    assert held(site_with_hub) - before == set()


@pytest.fixture(scope="module")
def victim(site_with_hub, kept):
    with rogue(site_with_hub), guest(site_with_hub, "tanaka", destination="kashiwa") as tanaka:
        tanaka.ask(f"{TRAPS}\n0")
        yield tanaka


@pytest.mark.parametrize("name", sorted(LINKS.keys() - {"beside", "nul"}))
def test_no_link_is_followed_out_of_its_folder(victim, name):
    assert victim.ask(f"tried(content, 'links/{name}')")[0] == "refused"
    assert victim.ask(f"tried(lambda path: open(path, 'w'), 'links/{name}')")[0] == "refused"
    # Where an empty link leads, nobody agrees: here to its own folder.
    assert name == "empty" or victim.ask(f"tried(os.listdir, 'links/{name}')")[0] == "refused"


@pytest.mark.parametrize("name", ["beside", "nul"])
def test_a_link_that_stays_in_its_folder_is_followed(victim, name):
    assert victim.ask(f"tried(content, 'links/{name}')") == ["done", "plain"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_a_path(victim, name):
    said, names = victim.ask(f"tried(os.listdir, 'names/{name}')")

    assert said == "refused" or not [each for each in names if "/" in each or "\0" in each or each in {"", ".", ".."}]
    assert (said == "refused") is (name in {"slash", "absolute", "up", "empty"})


@pytest.mark.parametrize("name", SIZES)
def test_a_wrong_size_gives_no_more_than_was_sent(victim, name):
    said, content = victim.ask(f"tried(content, 'sizes/{name}')")

    assert said == "refused" or "plain".startswith(content)
    assert (victim.ask(f"tried(size, 'sizes/{name}')")[0] == "refused") is (name in {"negative", "largest"})


@pytest.mark.parametrize("name", MODES)
def test_a_device_or_a_privilege_is_a_word_without_effect(victim, name):
    opened = victim.ask(f"tried(content, 'modes/{name}')")

    assert opened == ["done", "plain"] if name == "suid" else opened[0] == "refused"
    assert "nosuid,nodev" in victim.ask("next(line.split()[5] for line in open('/proc/self/mountinfo') if 'fuse.sshfs' in line)")


@pytest.mark.parametrize("name", BREAKS)
def test_an_answer_that_breaks_the_protocol_breaks_one_read(victim, name):
    assert victim.ask(f"tried(content, {name!r})")[0] == "refused"
    assert victim.ask("tried(content, 'links/beside')") == ["done", "plain"]


def test_answers_that_never_come_keep_only_who_waits_for_them(victim):
    """Like a cut line. The person can go on working, and can end the session: the fixture does, within the time of any other."""
    for name in SILENCES:
        victim.ask(f"import threading\nthreading.Thread(target=tried, args=(content, {name!r}), daemon=True).start()\n0")

    assert victim.ask("tried(os.listdir, 'names/line')")[0] == "done"
    begun = time.monotonic()
    victim.run(victim.person.stop())
    assert time.monotonic() - begun < 20


def test_a_listing_without_an_end_ends_the_session_before_it_fills_the_node(site_with_hub, kept):
    with rogue(site_with_hub), guest(site_with_hub, "tanaka", destination="kashiwa") as tanaka:
        node, uid = site_with_hub.host(tanaka.node), site_with_hub.host(tanaka.node).user("rs-tanaka").uid
        listing = "threading.Thread(target=os.listdir, args=(f'{traps}/endless',), daemon=True).start()"
        tanaka.ask(f"{TRAPS}\nimport threading\n{listing}\n0")
        most, end = 0, time.monotonic() + 120
        while running := resident(node, uid):
            most = max(most, running)
            assert time.monotonic() < end
            time.sleep(0.1)
        # Before the guest leaves: who presses Stop in this moment has a session that ended as asked.
        while " ready" in (last := last_word(site_with_hub)) and time.monotonic() < end:
            time.sleep(0.1)

    assert MEMORY / 2 < most < 1.1 * MEMORY
    assert f"failed {Reason.MOUNT_FAILED} 'sshfs ended with" in last


def test_the_presets_are_not_written_where_a_link_leads(site_with_hub, kept):
    """They are copied outside the sandbox, where the session's own key lies; the session begins without them."""
    with rogue(site_with_hub, "keys"), guest(site_with_hub, "tanaka", destination="kashiwa") as tanaka:
        names = [path.name for path in keys(site_with_hub.host(tanaka.node)).iterdir()]

    assert "key" in names
    assert [name for name in names if "ipynb" in name] == []


def last_word(site: Testbed) -> str:
    """The line of the hub's log in which it last heard that a session is ready, or failed."""
    return site.run("hub", ["grep", "-E", "Session .* (ready|failed)", services.HUB_LOG]).stdout.splitlines()[-1]


def keys(node: Host) -> Path:
    """Where the enclave of the one session on `node` keeps its key."""
    for folder in node.path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if b"\0enclave\0run\0" in (folder / "cmdline").read_bytes() and (folder / "root/tmp/keys").is_dir():
                return folder / "root/tmp/keys"
    raise AssertionError("no enclave")


def resident(node: Host, uid: int) -> int:
    """Bytes of memory that the session's sshfs holds; 0 when there is none."""
    for folder in node.path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            text = (folder / "status").read_text()
            if text.startswith("Name:\tsshfs\n") and f"\nUid:\t{uid}\t" in text:
                return int(text.partition("VmRSS:")[2].split()[0]) * 1024
    return 0
