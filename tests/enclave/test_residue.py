"""What the enclave says is left of a session on its node, and whether that is true: on the testbed, by real files and processes."""

from __future__ import annotations

import os
import stat
import time

import pytest

from enclave.messages import Phase, Scrub, Trace
from tests.enclave.sessions import ACCOUNT, ready

pytestmark = pytest.mark.site

NODE = "cx02"
SHARED_MEMORY = "import ctypes; assert ctypes.CDLL(None).shmget(0x52454e4c, 5000, 0o1600) >= 0"


@pytest.fixture
def node(site):
    """A node that shows everybody all processes, as most do; the testbed's own hide them."""
    host = site.host(NODE)
    host.run(["mount", "-o", "remount,hidepid=off", "/proc"], check=True)
    yield host
    host.run(["mount", "-o", "remount,hidepid=invisible", "/proc"], check=True)


def report(session):
    """The session's own words about its end."""
    session.site.run("hub", ["scancel", session.job], user=ACCOUNT, check=True)
    assert session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=20).phase is Phase.ENDED
    assert session.hub.residue is not None
    return session.hub.residue


def left(said):
    return {(look.trace, look.place): look.left for look in said.looks if look.left}


def test_a_session_that_leaves_nothing_says_so_and_has_looked_everywhere(site, node, tmp_path):
    with ready(site, tmp_path, NODE) as session:
        session.cell("import os; open(f\"{os.environ['RENKEI_MOUNT']}/people/jrs0017/big\", 'wb').write(os.urandom(10**6))")
        session.cell("open('/tmp/inside', 'w').write('x'); open('/dev/shm/inside', 'w').write('x')")
        said = report(session)
    assert left(said) == {}
    assert [look for look in said.looks if not look.seen] == []
    places = {look.place for look in said.looks if look.trace is Trace.FILES}
    assert places >= {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", f"/home/{ACCOUNT}"}
    assert {look.trace for look in said.looks} == set(Trace)
    assert said.unmounted > said.mounted > said.began
    assert 10**6 < said.traffic.sent < 2 * 10**6
    assert (said.destination, said.account, said.certificates, said.gpu) == ("cloud", "jrs0017", 1, Scrub.NOT_APPLICABLE)
    assert said.last_serial > 0


def test_what_its_account_leaves_outside_the_walls_is_counted(site, node, tmp_path):
    with ready(site, tmp_path, NODE) as session:
        stray = node.popen(["sleep", "600"], user=ACCOUNT)
        try:
            node.run(["sh", "-c", "mkdir /var/tmp/d && echo x > /var/tmp/d/patient-4711 && touch /home/rs-tanaka/y"], user=ACCOUNT)
            node.run(["python3", "-c", SHARED_MEMORY], user=ACCOUNT, check=True)
            said = report(session)
        finally:
            stray.kill()
            node.run(["sh", "-c", "rm -r /var/tmp/d /home/rs-tanaka/y; ipcrm --shmem-key 0x52454e4c"], user=ACCOUNT, check=True)
    assert left(said) == {
        (Trace.FILES, "/var/tmp"): 2,
        (Trace.FILES, "/home/rs-tanaka"): 1,
        (Trace.IPC, ""): 1,
        (Trace.PROCESSES, ""): 1,
    }


def test_a_job_sees_its_own_gpu_and_one_that_can_not_be_scrubbed_is_said_to_be_so(site, tmp_path):
    """Stand-ins without a driver: that the devices are there and the others are not, and that nobody claims a scrub."""
    made = [site.host(NODE).path(f"/dev/{name}") for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl")]
    for path in made:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.chmod(0o666)
    try:
        with ready(site, tmp_path, NODE, gpus=1) as session:
            own = site.run("hub", ["scontrol", "-d", "show", "job", session.job]).stdout.partition("IDX:")[2].partition(")")[0]
            seen = session.cell("import os; print(sorted(n for n in os.listdir('/dev') if n.startswith('nvidia')))").strip()
            begun = time.monotonic()
            said = report(session)
            assert time.monotonic() - begun < 10
    finally:
        for path in made:
            path.unlink()
    assert seen == str(sorted([f"nvidia{own}", "nvidiactl"]))
    # This node hides processes, and the report does not pretend to have seen them.
    assert {look.trace for look in said.looks if not look.seen} == {Trace.PROCESSES, Trace.MOUNTS}
    assert said.gpu is Scrub.FAILED
    assert [each.outcome for each in said.devices] == [Scrub.FAILED]
    assert "no driver" in said.devices[0].detail
