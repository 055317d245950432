"""Another account on the session's node, on the login node, on other nodes, and the same person's second job: they get nothing."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import msgspec
import pytest

from enclave.messages import Phase
from testbed.layout import DESTINATIONS, NODES, address
from testbed.site import Testbed
from tests.enclave.sessions import JOB, on_node
from tests.guest import Guest, guest
from tests.leaks.places import kept_files

pytestmark = pytest.mark.site

ATTACK = Path(__file__).with_name("attack.py").read_text()
PUBLIC = ("cmdline", "status", "stat", "comm", "cgroup", "mountinfo", "mountstats")
"""What Linux shows of every process to everybody, unless /proc is mounted otherwise."""
SLURMD = "tcp 0.0.0.0 6818"
OPEN_SOCKETS = ("/run/munge/munge.socket.2", "/var/spool/slurmd/")
"""The batch system's own, for everybody: MUNGE vouches for whoever asks, and a job's steward believes MUNGE alone."""


@pytest.fixture(scope="module")
def session(site_with_hub):
    with guest(site_with_hub, "tanaka") as tanaka:
        yield tanaka


def uid(site: Testbed, name: str) -> int:
    return site.host("hub").user(name).uid


def processes(session: Guest) -> list[int]:
    """The session's processes by the node's numbers, as root sees them."""
    owner, found = f"\nUid:\t{uid(session.site, 'rs-tanaka')}\t", []
    for folder in session.site.host(session.node).path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and owner in (folder / "status").read_text():
                found.append(int(folder.name))
    return found


def attack(session: Guest, attacker: str) -> dict:
    argv = ["/usr/bin/python3", "-I", "-S", "-", *map(str, processes(session))]
    return json.loads(session.site.run(session.node, argv, user=attacker, input=ATTACK, timeout=120, check=True).stdout)


def second_job(session: Guest) -> dict:
    """What an ordinary job of tanaka's own account gets on the node of tanaka's session."""
    site, node = session.site, session.node
    victims = " ".join(map(str, processes(session)))
    out = f"/tmp/attack-{time.time_ns()}"
    words = f"#!/bin/sh\n#SBATCH --partition=ct-link --nodelist={node} --output={out} --error=/dev/null --chdir=/\n"
    script = f"{words}exec /usr/bin/python3 -I -S - {victims} <<'ATTACK'\n{ATTACK}\nATTACK\n"
    site.run("hub", ["sbatch", "--wait", "--parsable"], user="tanaka", input=script, timeout=120, check=True)
    path = site.host(node).path(out)
    try:
        return json.loads(path.read_text())
    finally:
        path.unlink()


@pytest.fixture(scope="module", params=["another person's session", "the same person's second job"])
def found(request, session):
    if request.param == "another person's session":
        return attack(session, "rs-suzuki")
    return second_job(session)


def test_no_process_of_the_session_can_be_read_entered_traced_or_signalled(found):
    assert found["processes"] == {}


def test_no_process_of_the_session_is_seen(found):
    assert found["seen"] == []


def test_the_cloud_is_mounted_nowhere_that_others_see(found):
    assert found["mounts"] == []


def test_what_a_node_that_hides_nothing_shows_of_a_process_names_nobody_at_the_cloud(session):
    proc = session.site.host(session.node).path("/proc")
    shown = []
    for place in (proc / str(pid) / name for pid in processes(session) for name in PUBLIC):
        with contextlib.suppress(OSError):  # of a process that has ended meanwhile
            shown.append(place.read_text())
    text = "\n".join(shown)

    assert "destination:/srv/cloud" in text
    for word in ("jrs0017", "people/", "PRIVATE KEY", "token", "kashiwa", "10.77.2.1"):
        assert word not in text


def test_one_port_is_open_and_says_nothing(found):
    doorway = found["ports"].keys() - {SLURMD}

    assert len(doorway) == 1
    assert [said for answers in found["ports"].values() for said in answers if said and not said.endswith("Error")] == []


def test_no_unix_socket_of_the_session_lets_others_in(found):
    let_in = [name for name, open_ in found["sockets"].items() if open_]

    assert [name for name in let_in if not name.startswith(OPEN_SOCKETS)] == []
    assert [name for name in found["sockets"] if name.startswith("@")] == []
    assert {"/tmp/sockets/hub.sock", "/tmp/sockets/server.sock"} <= found["sockets"].keys()


@pytest.mark.parametrize("host", ["hub", "cx03", "another dedicated node"])
def test_elsewhere_there_is_nothing_of_the_session(session, host):
    site, node = session.site, session.node
    host = next(each for each in NODES if each not in {node, "cx03"}) if host.startswith("another") else host
    listening = site.run(node, ["ss", "-Hlnt"], check=True).stdout.splitlines()
    [doorway] = {line.split()[3].rpartition(":")[2] for line in listening} - {SLURMD.split()[2]}

    # As root, from whom a node that hides processes hides none.
    assert site.run(host, ["pgrep", "--uid", str(uid(site, "rs-tanaka"))]).returncode == 1
    assert site.run(node, ["pgrep", "--uid", str(uid(site, "rs-tanaka"))]).returncode == 0
    url = f"https://{address(node)}:{doorway}/user/tanaka/api"
    answer = site.run(host, ["curl", "--silent", "--insecure", "--max-time", "3", url], user="suzuki")
    assert (answer.returncode != 0, answer.stdout) == (True, "")


GATEWAY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("host", "account"), [("hub", "suzuki"), ("hub", "tanaka"), ("hub", "rs-tanaka"), ("cx03", "suzuki"), ("cx03", "root")]
)
def test_the_gateway_is_reached_from_the_dedicated_nodes_and_by_the_hub_itself_alone(site_with_hub, host, account):
    for each in DESTINATIONS:
        argv = ["/usr/bin/python3", "-c", GATEWAY, str(address("gw", "link")), str(each.port)]
        assert site_with_hub.run(host, argv, user=account).stdout.strip() not in {"reached", ""}
        assert site_with_hub.run("hub", argv, user="jupyterhub").stdout.strip() == "reached"


@pytest.mark.parametrize("person", ["suzuki", "yamada", "mori"])
def test_who_is_not_in_the_resource_group_gets_no_job_where_the_gateway_is(site_with_hub, person):
    answer = site_with_hub.run("hub", ["sbatch", "--partition=ct-link", "--wrap=true"], user=person)

    assert answer.returncode != 0
    assert "group not permitted" in answer.stderr


def test_at_the_gateway_a_dedicated_node_without_a_certificate_is_refused(site_with_hub):
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", "2201"]
    answer = site_with_hub.run("cx01", ["ssh", *options, "jrs0017@10.77.2.1", "-s", "sftp"], user="rs-suzuki")

    assert "Permission denied (publickey)" in answer.stderr


def commands(job: str) -> dict[str, list[str]]:
    """Ways to start something as a session's account, or to get at its job."""
    return {
        "submit as the account": ["sbatch", "--uid=rs-tanaka", "--wrap=true"],
        "sudo": ["sudo", "-n", "-u", "rs-tanaka", "/usr/bin/sbatch", "--parsable"],
        "su": ["su", "rs-tanaka", "-s", "/bin/sh", "-c", "true"],
        "runuser": ["runuser", "-u", "rs-tanaka", "true"],
        "setpriv": ["setpriv", "--reuid=rs-tanaka", "--clear-groups", "true"],
        "a step in its job": ["srun", f"--jobid={job}", "--overlap", "true"],
        "attach to its job": ["sattach", f"{job}.batch"],
        "cancel it": ["scancel", job],
        "signal it": ["scancel", "--signal=CONT", "--full", job],
        "change it": ["scontrol", "update", f"JobId={job}", "Comment=x"],
        "hold it": ["scontrol", "suspend", job],
        "its script": ["scontrol", "write", "batch_script", job, "-"],
    }


@pytest.mark.parametrize("person", ["tanaka", "suzuki"])
@pytest.mark.parametrize("way", commands(""))
def test_nobody_starts_anything_as_a_sessions_account_or_gets_at_its_job(session, person, way):
    job = session.job
    answer = session.site.run("hub", commands(job)[way], user=person, timeout=30)

    # Slurm's own commands don't all say by their exit code that they were refused.
    assert answer.returncode != 0 or answer.stderr, answer
    assert answer.stdout.strip() == ""
    assert session.job == job


def test_the_jobs_script_on_the_node_is_the_accounts_alone(session):
    spool = session.site.run(session.node, ["find", "/var/spool/slurmd", "-name", "slurm_script", "-printf", "%u %m\n"], check=True)

    assert spool.stdout.split() == ["rs-tanaka", "700"]
    for account in ("rs-suzuki", "tanaka"):
        reading = ["sh", "-c", f"cat /var/spool/slurmd/job*{session.job}/slurm_script"]
        answer = session.site.run(session.node, reading, user=account)
        assert (answer.returncode != 0, answer.stdout) == (True, "")


def test_no_key_is_on_a_nodes_disk_during_a_session(session):
    for name in NODES:
        kept = [place for place, data in kept_files(session.site.host(name)) if b"PRIVATE KEY-----" in data]
        assert kept == [], name


def cell(session: Guest, *argv: str) -> int:
    run = f"subprocess.run({argv!r}, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)"
    return session.ask(f"import subprocess\n{run}.returncode")


@pytest.mark.parametrize(
    "argv",
    [
        ("sbatch", "--wrap=true"), ("srun", "true"), ("squeue",), ("scancel", "1"), ("munge", "-n"), ("sudo", "-n", "true"),
        ("su", "root", "-c", "true"), ("unshare", "--user", "true"), ("nsenter", "-t", "1", "-m", "true"),
        ("fusermount3", "-u", "/tmp"), ("mount", "-t", "tmpfs", "x", "/tmp"), ("/usr/sbin/chroot", "/", "true"),
        ("ssh", "-o", "BatchMode=yes", "10.77.2.1", "true"), ("ip", "link", "add", "x", "type", "dummy"),
    ],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_a_cell_starts_nothing_outside(session, argv):
    assert cell(session, "sh", "-c", f"command -v {argv[0]}") == 0
    assert cell(session, *argv) != 0


def test_a_cell_gains_no_privilege_and_its_one_socket_is_its_own(session):
    status = session.ask("open('/proc/self/status').read()")
    modes = session.ask("import os\n[oct(os.stat(each).st_mode) for each in ('/run/renkei', '/run/renkei/hub.sock')]")

    assert "NoNewPrivs:\t1\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert modes == ["0o40700", "0o140600"]


def test_on_a_node_of_its_own_nothing_of_anybody_else_runs_beside_a_session(site_with_hub, tmp_path):
    """What two programs of one kernel can tell each other (locks, load, caches) no wall of an ordinary account holds back."""
    wish = ["sbatch", "--parsable", "--partition=ct-link", "--nodelist=cx02", "--output=/dev/null", "--wrap=true"]

    def state(job: str) -> str:
        asked = ["squeue", "--noheader", "--all", "--states=all", f"--jobs={job}", "--format=%T"]
        return site_with_hub.run("hub", asked, check=True).stdout.strip()

    with on_node(site_with_hub, tmp_path, "cx02") as session:
        session.asked = msgspec.structs.replace(JOB, exclusive=True)
        session.submit()
        session.hub.wait(Phase.READY)
        beside = site_with_hub.run("hub", wish, user="tanaka", check=True).stdout.strip()
        time.sleep(5)
        assert state(beside) == "PENDING"
    end = time.monotonic() + 30
    while state(beside) != "COMPLETED" and time.monotonic() < end:
        time.sleep(0.5)
    assert state(beside) == "COMPLETED"


def test_the_attack_gets_in_where_it_may(session):
    """The account itself may all of it: so the attack works, and the account has to be nobody's but the hub's."""
    found = attack(session, "rs-tanaka")
    got = found["processes"]

    assert len(found["seen"]) > 4
    assert {"environ", "root/", "trace", "read memory", "enter user and mount", "signal", "take a descriptor"} <= got.keys()
