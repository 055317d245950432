"""Sessions by the weaker mechanism: what they need of the node, and that nothing stays. Their walls: test_session."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from enclave.fusermount import Fusermount, in_memory
from enclave.ground import Places
from enclave.launch import EXIT_FAILED, EXIT_NO_NAMESPACES
from enclave.messages import Check, Finding, FindingLevel, Mechanism, Phase, Reason
from tests.enclave.nodes import replaced, without_user_namespaces
from tests.enclave.sessions import on_node, ready

EPILOG = "/opt/renkei/src/sites/epilog-fusermount"


def test_the_end_deletes_the_key_and_never_what_is_in_a_mountpoint(tmp_path):
    places = Places(tmp_path / "renkei")
    places.run.mkdir()
    for folder in places.folders:
        folder.mkdir()
        (folder / "file").write_text("x")
    Fusermount(places, user_namespace=True).clear()
    left = [path.relative_to(places.run) for path in places.run.rglob("*")]
    assert sorted(map(str, left)) == ["cloud", "cloud/file", "trial", "trial/file"]
    for point in (places.cloud, places.trial):
        (point / "file").unlink()
    Fusermount(places, user_namespace=True).clear()
    assert not places.run.exists()


def test_what_is_no_tmpfs_is_no_memory():
    assert in_memory(Path("/dev/shm"))
    assert not in_memory(Path("/proc"))


def refused(site, folder, detail: str) -> None:
    """Fails unless a session is refused for `detail`, before there was a credential, and nothing of it is left."""
    with on_node(site, folder, "cx01", Mechanism.FUSERMOUNT) as session:
        session.submit()
        assert session.ended() == f"{EXIT_FAILED}:0"
        assert session.hub.refusals == (Finding(check=Check.MECHANISM, level=FindingLevel.REFUSE, detail=detail),)
        assert session.hub.start is None
        session.nothing_is_left()


@pytest.mark.site
def test_a_node_whose_fusermount_is_not_setuid(site, tmp_path):
    with replaced(site, "cx01", "/usr/bin/fusermount3", 0o755):
        refused(site, tmp_path, "/usr/bin/fusermount3 is not setuid root")


@pytest.mark.site
def test_a_setuid_bubblewrap_where_a_cell_could_make_user_namespaces(site, tmp_path):
    with replaced(site, "cx01", "/usr/bin/bwrap", 0o4755):
        refused(site, tmp_path, "/usr/bin/bwrap is setuid root, but users may make user namespaces")


@pytest.mark.site
@pytest.mark.parametrize("bubblewrap", [0o755, 0o4755])
def test_an_administrator_asks_a_node_for_this_mechanism(site, bubblewrap):
    argv = ["/usr/bin/env", "PYTHONPATH=/opt/renkei/src", "/opt/renkei/env/bin/python", "-m", "enclave", "preflight", "--json"]
    argv += ["--mechanism=fusermount", *(f"--lowered={each}" for each in ("swap", "cores", "crashes", "gpu"))]
    before = site.kept("cx01")
    with replaced(site, "cx01", "/usr/bin/bwrap", bubblewrap):
        answer = site.run("cx01", argv, user="rs-tanaka")
    said = json.loads(answer.stdout)
    refused = {each["check"] for each in said["findings"] if each["level"] == "refuse"}
    assert (said["fit"], refused) == ((True, set()) if bubblewrap == 0o755 else (False, {"mechanism"}))
    assert answer.returncode == (0 if said["fit"] else 1)
    assert site.kept("cx01") == before


@pytest.mark.site
def test_a_node_without_namespaces_refuses_the_stronger_mechanism_and_the_weaker_is_not_tried(site, tmp_path):
    with without_user_namespaces(site, "cx01"), on_node(site, tmp_path) as session:
        session.submit()
        assert session.ended() == f"{EXIT_NO_NAMESPACES}:0"
        assert (session.hub.events, session.hub.start) == ([], None)
        session.nothing_is_left()


@pytest.mark.site
def test_a_cancelled_job_ends_in_order(site, tmp_path):
    with ready(site, tmp_path, "cx01", Mechanism.FUSERMOUNT) as session:
        session.cell("open('kept.txt', 'w').write('y' * 10**6)")
        site.run("hub", ["scancel", session.job], user="rs-tanaka", check=True)
        assert session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=15).phase is Phase.ENDED
        # It is told after everything is taken down.
        assert (session.mounts(), session.kept()) == ([], [])
        said = session.hub.residue
        assert [look for look in said.looks if look.left] == []
        assert said.unmounted > said.mounted
        assert said.traffic.sent > 10**6
        session.nothing_is_left()
    assert site.host("cloud").path("/srv/cloud/people/jrs0017/kept.txt").stat().st_size == 10**6


@pytest.mark.site
def test_the_watchdog_clears_up_after_a_killed_enclave(site, tmp_path):
    stays = "import subprocess; subprocess.Popen(['/usr/bin/sleep', '600'], start_new_session=True)"
    with ready(site, tmp_path, "cx01", Mechanism.FUSERMOUNT) as session:
        session.cell(f"{stays}; open('left.txt', 'w').write('x' * 10**6)")
        assert any("sleep" in line for line in session.processes().values())
        _, enclave = session.watchdog_and_enclave()
        session.kill(enclave)
        session.nothing_is_left()
        assert session.ended() == "137:0"
    assert site.host("cloud").path("/srv/cloud/people/jrs0017/left.txt").stat().st_size == 10**6


@pytest.mark.site
def test_a_killed_enclave_leaves_nothing_also_while_the_line_is_cut_and_a_cell_waits_for_it(site, tmp_path):
    reading = "import os, time\\nwhile True: time.sleep(0.2); os.listdir(os.environ['CTLAB_DATA'])"
    with ready(site, tmp_path, "cx01", Mechanism.FUSERMOUNT) as session:
        session.cell(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', \"{reading}\"], start_new_session=True)")
        site.cut()
        try:
            time.sleep(2)
            assert any("listdir" in line for line in session.processes().values())
            _, enclave = session.watchdog_and_enclave()
            session.kill(enclave)
            session.nothing_is_left()
        finally:
            site.restore()


@pytest.mark.site
def test_without_its_watchdog_the_session_ends_in_order(site, tmp_path):
    with ready(site, tmp_path, "cx01", Mechanism.FUSERMOUNT) as session:
        watchdog, _ = session.watchdog_and_enclave()
        session.kill(watchdog)
        session.nothing_is_left()


@pytest.mark.site
def test_the_session_ends_when_its_time_is_up(site, tmp_path):
    with ready(site, tmp_path, "cx01", Mechanism.FUSERMOUNT, seconds=8) as session:
        event = session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=20)
        assert (event.phase, event.reason) == (Phase.ENDED, Reason.TIME_UP)
        assert session.ended() == "0:0"
        session.nothing_is_left()


@pytest.mark.site
@pytest.mark.parametrize(("pause_s", "gets_away"), [(1800, []), (0, ["ssh"])], ids=["link", "ssh"])
def test_what_is_left_when_all_is_killed_at_once_holds_no_data_and_the_epilog_takes_it(site, tmp_path, pause_s, gets_away):
    uid, other = (site.host("cx01").user(name).uid for name in ("rs-tanaka", "rs-suzuki"))

    def epilog(job: str, account: int) -> None:
        site.run("cx01", ["/usr/bin/env", f"SLURM_JOB_ID={job}", f"SLURM_JOB_UID={account}", EPILOG], check=True)

    with ready(site, tmp_path, "cx01", Mechanism.FUSERMOUNT, pause_s=pause_s) as session:
        # An ssh without the link gets away, and waits for the other end while the line is cut.
        site.cut()
        try:
            session.kill(*[pid for pid, line in session.processes().items() if not line.startswith("ssh ")])
            time.sleep(1)
            assert [line.partition(" ")[0] for line in session.processes().values()] == gets_away
            (mount,) = [line.split()[4] for line in session.mounts()]
            assert "not connected" in site.run("cx01", ["ls", mount], user="rs-tanaka").stderr
            names = {line.split()[-1].rpartition("/")[2] for line in session.kept()}
            assert {"key", "key-cert.pub", "config", "known_hosts"} <= names
            epilog(session.job, other)
            epilog("1", uid)
            assert session.mounts() != []
            epilog(session.job, uid)
            session.nothing_is_left()
        finally:
            site.restore()
