"""The whole site on PJM: what a person sees is what they see on Slurm, and what the job carried is worth nothing afterwards."""

import asyncio
import contextlib
import json
import re
import time

import pytest

from bench.batch import Pjm
from bench.person import Person, PersonError
from enclave.messages import Reason, Start, encode
from spawner import reasons
from spawner.residue.statement import Verdict, parse
from testbed.pjm.install import turn
from testbed.site import Testbed
from tests.spawner.stage import tls_request

pytestmark = pytest.mark.site

AUDIT = "/var/log/renkei/audit.jsonl"
SPOOL = "/var/spool/pjm"
KNOWABLE_S = 120


@contextlib.asynccontextmanager
async def person(site: Testbed, name: str):
    async with Person(site.url, name) as somebody:
        await somebody.log_in(site.passwords[name])
        try:
            yield somebody
        finally:
            await somebody.stop()


@contextlib.contextmanager
def turned(site: Testbed, **changes):
    """The centre with other switches meanwhile."""
    path = site.host("hub").path("/etc/pjm.json")
    before = json.loads(path.read_text())
    turn(site.host("hub"), **changes)
    try:
        yield
    finally:
        turn(site.host("hub"), **before)


def jobs(site: Testbed, *options: str) -> list[list[str]]:
    """Id, state, PJM code and name of every job that waits or runs; with -H, of those that are over."""
    answer = site.run("hub", ["pjstat", *options, "--data", "--choose=jid,st,pc,jnam"], check=True)
    return [line.split(",")[1:] for line in answer.stdout.splitlines() if line.startswith(",")]


def audit(site: Testbed) -> list[dict]:
    return [json.loads(line) for line in site.host("hub").path(AUDIT).read_text().splitlines()]


def session_has(site: Testbed, job: str) -> bool:
    """Whether the hub's record of some session names `job`."""
    query = "import sqlite3, sys; print([*sqlite3.connect('/var/lib/renkei/hub/renkei.sqlite').execute(sys.argv[1], sys.argv[2:])])"
    argv = ["/opt/renkei/env/bin/python", "-c", query, "SELECT id FROM session WHERE job = ?", job]
    return site.run("hub", argv, user="jupyterhub", check=True).stdout.strip() != "[]"


async def until(condition, seconds: float = KNOWABLE_S):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    return found


async def complaint(somebody: Person, wish: dict) -> str:
    """What a person is told who asks for a session and gets none."""

    async def ask() -> None:
        await somebody.ask_for_server(wish)
        await somebody.wait_until_ready()

    with pytest.raises(PersonError) as caught:
        await ask()
    said = str(caught.value)
    return json.loads(said[said.index("{") :])["message"] if "{" in said else said.removeprefix("the start failed: ")


def ends(line: dict, job: str) -> bool:
    """Whether a line of the audit says that the session with `job` is over."""
    return (line["event"], line.get("job")) == ("session-end", job)


async def stated(site: Testbed, session: str):
    """The statement of what `session` left."""
    path = site.host("hub").path(f"/var/lib/renkei/hub/statements/{session}.json")
    await until(path.exists)
    return parse(path.read_bytes())


def replayed(site: Testbed, session: str, job: str, ticket: str) -> str:
    """The status that somebody else gets who shows the ticket, from a node where it could have been shown."""
    start = Start(session=session, job=job, ssh_public_key="ssh-ed25519 AAAA", tls_request=tls_request(), port=2222, ticket=ticket)
    url = f"https://10.77.1.10:8443/v1/sessions/{session}/start"
    curl = ["curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}", "--data-binary", "@-", url]
    return site.run("cx01", curl, user="rs-suzuki", input=encode(start).decode()).stdout


async def test_a_session_from_the_wish_to_the_end_and_nothing_that_it_carried_is_worth_anything(site_on_pjm):
    async with person(site_on_pjm, "tanaka") as tanaka:
        await tanaka.ask_for_server({"destination": "kashiwa", "gpus": 2, "hours": 2})
        shown = await tanaka.wait_until_ready()
        await tanaka.open_lab()
        [[job, state, _, name]] = jobs(site_on_pjm)
        argv = "\n".join(" ".join(each.argv) for host in site_on_pjm.hosts.values() for each in host.processes())
        statistics = site_on_pjm.run("hub", ["pjstat", "-s", job], user="rs-tanaka", check=True).stdout
        async with tanaka.kernel("ct") as kernel:
            assert await tanaka.run_cell(kernel, "40 + 2") == "42"
        await tanaka.stop()
        assert jobs(site_on_pjm) == []
    assert (state, shown[-1]) == ("RUN", "セッションの準備ができました。")
    mine = [each for each in audit(site_on_pjm) if each.get("job") == job]
    start = next(each for each in mine if each["event"] == "session-start")
    assert start["node"] in {"10.77.1.11", "10.77.1.12"}
    session = start["session"]
    assert f"r{session}".startswith(name)

    script = site_on_pjm.host("hub").path(f"{SPOOL}/{job}.sh").read_text()
    ticket = re.search(r'"ticket":"([^"]{40,})"', re.sub(r"'?\norder\+='?", "", script))[1]
    assert "JUPYTERHUB" not in script
    logs = list(site_on_pjm.host("hub").path("/var/log").rglob("*.log"))
    assert logs
    for text in (argv, statistics, *(path.read_text(errors="replace") for path in logs)):
        assert ticket not in text
    signed = sum(each["event"] == "session-start" for each in audit(site_on_pjm))
    assert replayed(site_on_pjm, session, job, ticket) == "404"
    assert sum(each["event"] == "session-start" for each in audit(site_on_pjm)) == signed
    left = [each.path for host in ("cx01", "cx02") for each in site_on_pjm.kept(host)]
    assert left == []

    statement = await stated(site_on_pjm, session)
    assert statement.enclave is not None
    assert (statement.hub.ended, statement.hub.job) == (True, job)
    assert statement.verdict in {Verdict.CLEAN, Verdict.NOT_INSPECTED}


async def test_at_the_centres_limit_the_enclave_ends_by_itself_and_states_what_was_left(site_on_pjm):
    # SIGXCPU, and ten seconds later the kill, as at a centre: in them it has to unmount and to say what is left.
    async with person(site_on_pjm, "tanaka") as tanaka:
        await tanaka.ask_for_server({"destination": "cloud", "gpus": 1, "hours": 1})
        await tanaka.wait_until_ready()
        await tanaka.open_lab()
        [[job, *_]] = jobs(site_on_pjm)
        site_on_pjm.run("hub", ["pjmadm", "limit", job, "1"], check=True)
        await until(lambda: job in {each[0] for each in jobs(site_on_pjm, "-H")})
        end = await until(lambda: [each for each in audit(site_on_pjm) if ends(each, job)])

    assert end[0]["reason"] == Reason.TIME_UP
    [over] = [each for each in jobs(site_on_pjm, "-H") if each[0] == job]
    assert over[1:3] == ["EXT", "11"]
    statement = await stated(site_on_pjm, end[0]["session"])
    assert statement.enclave is not None
    assert statement.enclave.unmounted is not None
    assert [each.path for host in ("cx01", "cx02") for each in site_on_pjm.kept(host)] == []


async def test_where_the_enclave_is_killed_at_once_hub_and_cloud_still_state_the_end_and_nobody_calls_it_clean(site_on_pjm):
    async with person(site_on_pjm, "tanaka") as tanaka:
        await tanaka.ask_for_server({"destination": "cloud", "gpus": 1, "hours": 1})
        await tanaka.wait_until_ready()
        await tanaka.open_lab()
        [[job, *_]] = jobs(site_on_pjm)
        # An operator's, which the emulator turns into a kill without a warning.
        site_on_pjm.run("hub", ["pjdel", job], check=True)
        end = await until(lambda: [each for each in audit(site_on_pjm) if ends(each, job)])

    statement = await stated(site_on_pjm, end[0]["session"])
    assert (end[0]["reason"], statement.enclave, statement.epilog) == (Reason.CANCELLED, None, None)
    assert (statement.hub.ended, statement.cloud.open, statement.verdict) == (True, 0, Verdict.NOT_INSPECTED)
    assert [each.path for host in ("cx01", "cx02") for each in site_on_pjm.kept(host)] == []


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("sato", {}, Reason.NO_CLOUD_ACCOUNT),
        ("yamada", {}, Reason.NOT_PERMITTED),
        ("mori", {}, Reason.NO_UNIX_ACCOUNT),
        ("suzuki", {"groups": {}}, Reason.SUBMIT_REFUSED),
        ("suzuki", {"groups": {"ct-link": {"nodes": [], "disabled": True}}}, Reason.GROUP_CLOSED),
        ("suzuki", {"groups": {"ct-link": {"nodes": ["cx01"], "gpus": 4, "elapse": 60}}}, Reason.TOO_LARGE),
        ("suzuki", {"site_text": "The budget of your project is used up."}, Reason.CENTRE_RULE),
    ],
)
async def test_what_the_centre_refuses_is_told_in_a_sentence(site_on_pjm, name, changes, reason):
    with turned(site_on_pjm, **changes):
        async with person(site_on_pjm, name) as somebody:
            assert await complaint(somebody, {"language": "ja"}) == reasons.sentence(reason, "ja")
    assert jobs(site_on_pjm) == []


async def test_a_job_whose_submission_broke_off_is_found_and_never_handed_in_twice_and_its_deletion_ends_the_wait(site_on_pjm):
    async with person(site_on_pjm, "suzuki") as suzuki:
        with turned(site_on_pjm, hold_queue=True, outage="91", outages=1):
            asking = asyncio.create_task(complaint(suzuki, {"language": "en"}))
            await until(lambda: "asks to be asked again" in site_on_pjm.host("hub").path("/var/log/renkei/hub.log").read_text())
            turn(site_on_pjm.host("hub"), outage="")
            [[job, state, *_]] = await until(lambda: jobs(site_on_pjm))
            assert state == "QUE"
            await until(lambda: session_has(site_on_pjm, job))
            assert len(jobs(site_on_pjm)) == 1
            site_on_pjm.run("hub", ["pjdel", job], check=True)

            assert await asking == reasons.sentence(Reason.CANCELLED, "en")


SCRIPT = "#!/bin/bash\n#PJM -L rscgrp=ct-link,elapse=600\n#PJM --norestart -j -o /dev/null\n{}\n"


async def begun(site: Testbed, what: str) -> str:
    """The number of a job that runs by now."""
    answer = site.run("hub", ["pjsub", "-z", "jid"], user="rs-tanaka", input=SCRIPT.format(what), check=True)
    job = answer.stdout.strip()
    await until(lambda: [job, "RUN"] in [each[:2] for each in jobs(site)])
    return job


async def test_jobs_go_on_without_the_daemon_of_the_emulator_and_the_next_one_knows_how_they_ended(site_on_pjm):
    batch, hub = Pjm(), site_on_pjm.host("hub")
    short, long = await begun(site_on_pjm, "sleep 1.25; exit 7"), await begun(site_on_pjm, "sleep 600.5")

    batch.stop(site_on_pjm)
    answer = hub.run(["pjstat"])
    await until(lambda: not any("1.25" in each.argv for node in ("cx01", "cx02") for each in site_on_pjm.host(node).processes()))
    batch.start(site_on_pjm)
    await until(lambda: [short, "EXT"] in [each[:2] for each in jobs(site_on_pjm, "-H")])

    known = {job.number: job for job in batch.jobs(hub)}
    assert (answer.returncode, answer.stderr) == (1, "[ERR.] PJM 0290 pjstat PJM daemon is not present.\n")
    assert hub.run(["pjstat", "-H", "--data", "--choose=ec", short], check=True).stdout.splitlines() == ["H,EC", ",7"]
    assert (known[short].alive, known[long].alive) == (False, True)
    assert known[short].seconds is not None
    hub.run(["pjdel", long], user="rs-tanaka", check=True)
    await until(lambda: not any("600.5" in each.argv for node in ("cx01", "cx02") for each in site_on_pjm.host(node).processes()))


@pytest.mark.parametrize("latency_s", [0.0, 1.5])
async def test_a_centre_that_is_slow_to_answer_answers_all_the_same(site_on_pjm, latency_s):
    # What the test before this one deleted may still be ending.
    await until(lambda: jobs(site_on_pjm) == [])
    with turned(site_on_pjm, latency_s=latency_s):
        began = time.monotonic()
        assert jobs(site_on_pjm) == []
        assert time.monotonic() - began > latency_s


async def test_a_job_whose_node_is_lost_is_over_and_its_code_says_so(site_on_pjm):
    job = await begun(site_on_pjm, "sleep 600")
    for node in ("cx01", "cx02"):
        Pjm().lose(site_on_pjm, node)

    over = await until(lambda: [each for each in jobs(site_on_pjm, "-H") if each[0] == job])
    assert over[0][1:3] == ["EXT", "20"]
