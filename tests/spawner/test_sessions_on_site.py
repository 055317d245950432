"""Sessions on a real Slurm through the real sudo rule, with everybody's parts: from the wish to the end, and what goes wrong."""

import asyncio
import contextlib
import json
import re
import time

import aiohttp
import pytest

from bench.person import Person, PersonError
from enclave.messages import Check, Reason
from spawner import reasons
from spawner.sessions import Note, Step
from testbed import services
from testbed.build import Texts
from testbed.site import Testbed

pytestmark = pytest.mark.site

AUDIT = "/var/log/renkei/audit.jsonl"
KNOWABLE_S = 30


@contextlib.asynccontextmanager
async def person(site: Testbed, name: str, server: str = ""):
    """Somebody who has logged in, and whose session is gone afterwards."""
    async with Person(site.url, name, server) as person:
        await person.log_in(site.passwords[name])
        try:
            yield person
        finally:
            await person.stop()


def jobs(site: Testbed, *columns: str) -> list[list[str]]:
    """The given columns (squeue's letters) of every job that waits or runs."""
    answer = site.run("hub", ["squeue", "--all", "--noheader", f"--format={'|'.join(columns or ('%i',))}"], check=True)
    return [line.split("|") for line in answer.stdout.splitlines()]


def audit(site: Testbed) -> list[dict]:
    return [json.loads(line) for line in site.host("hub").path(AUDIT).read_text().splitlines()]


@contextlib.contextmanager
def closed(site: Testbed):
    """The CT nodes take no new job meanwhile."""
    site.run("hub", ["scontrol", "update", "partition=ct-link", "state=down"], check=True)
    try:
        yield
    finally:
        site.run("hub", ["scontrol", "update", "partition=ct-link", "state=up"], check=True)


async def until(condition, seconds: float = KNOWABLE_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def complaint(person: Person, wish: dict) -> str:
    """What a person is told who asks for a session and gets none, within the time that the house promises."""

    async def ask() -> None:
        await person.ask_for_server(wish)
        await person.wait_until_ready()

    begun = time.monotonic()
    with pytest.raises(PersonError) as caught:
        await ask()
    assert time.monotonic() - begun < KNOWABLE_S
    said = str(caught.value)
    return json.loads(said[said.index("{") :])["message"] if "{" in said else said.removeprefix("the start failed: ")


ALLOWED = [["/usr/bin/sbatch", "--parsable"], ["/usr/bin/scancel", "1"]]
REFUSED = [
    ("rs-tanaka", ["/usr/bin/sbatch"]),
    ("rs-tanaka", ["/usr/bin/sbatch", "--parsable", "--uid=0"]),
    ("rs-tanaka", ["/usr/bin/sbatch", "--parsable", "/etc/passwd"]),
    ("rs-tanaka", ["/usr/bin/scancel"]),
    ("rs-tanaka", ["/usr/bin/scancel", "-u", "rs-tanaka"]),
    ("rs-tanaka", ["/usr/bin/scancel", "1", "2"]),
    ("rs-tanaka", ["/usr/bin/scancel", "1_x"]),
    ("rs-tanaka", ["/usr/bin/squeue"]),
    ("rs-tanaka", ["/bin/sh"]),
    ("root", ["/usr/bin/sbatch", "--parsable"]),
    ("jupyterhub", ["/usr/bin/sbatch", "--parsable"]),
    ("tanaka", ["/usr/bin/sbatch", "--parsable"]),
    ("#0", ["/usr/bin/sbatch", "--parsable"]),
]


@pytest.mark.parametrize("command", ALLOWED)
def test_the_hub_may_run_what_it_needs_as_a_sessions_account(site, command):
    assert site.run("hub", ["sudo", "-n", "-l", "-u", "rs-tanaka", *command], user="jupyterhub").returncode == 0


@pytest.mark.parametrize(("account", "command"), REFUSED)
def test_the_hub_may_run_nothing_else(site, account, command):
    answer = site.run("hub", ["sudo", "-n", "-u", account, *command], user="jupyterhub")

    assert answer.returncode != 0
    assert "password is required" in answer.stderr or "not allowed" in answer.stderr


@pytest.mark.parametrize("account", ["rs-tanaka", "tanaka", "nobody"])
def test_nobody_else_may_use_the_hubs_rule(site, account):
    assert site.run("hub", ["sudo", "-n", "-u", "rs-suzuki", "/usr/bin/sbatch", "--parsable"], user=account).returncode != 0


def test_a_jobs_environment_is_empty_but_for_what_sudo_made(site):
    script = "#!/bin/bash\n#SBATCH --partition=ct-link --export=ALL --output=/dev/null --chdir=/\nenv > /tmp/environment\n"
    sbatch = ["sudo", "-n", "-u", "rs-tanaka", "/usr/bin/sbatch", "--parsable"]
    site.run("hub", ["env", "HUB_SECRET=1", "BASH_ENV=/x", *sbatch], user="jupyterhub", input=script, check=True)
    end = time.monotonic() + KNOWABLE_S
    while not (found := [site.host(node).path("/tmp/environment") for node in ("cx01", "cx02")]) or not any(
        path.exists() and path.stat().st_size for path in found
    ):
        assert time.monotonic() < end
        time.sleep(0.2)
    text = "".join(path.read_text() for path in found if path.exists())
    for path in found:
        path.unlink(missing_ok=True)

    assert not re.search(r"HUB_SECRET|BASH_ENV|JUPYTERHUB", text)


async def test_a_session_from_the_wish_to_the_end(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({"destination": "kashiwa", "gpus": 2, "hours": 2})
        assert await tanaka.wait_until_ready()
        await tanaka.open_lab()
        [[job, account, gres, limit]] = jobs(site_with_hub, "%i", "%u", "%b", "%l")
        await tanaka.stop()

        assert (account, gres, limit) == ("rs-tanaka", "gres:gpu:2", "2:00:00")
        assert jobs(site_with_hub) == []
    events = [each for each in audit(site_with_hub) if each.get("job") == job]
    findings = [each for each in events if each["event"] == "node-finding"]
    start, *later = [each for each in events if each["event"] != "node-finding"]
    assert ("gpu", "banner") in {(each["check"], each["level"]) for each in findings}
    # The statement of what was left comes when its witnesses have spoken.
    assert [each["event"] for each in (start, *later)][:4] == [
        "session-start", "session-mounted", "browser-outflow", "session-end",
    ]  # fmt: skip
    assert start["account"] == "kt001"
    assert start["node"] in {"cx01", "cx02"}


@pytest.mark.parametrize(
    ("name", "reason"), [("sato", Reason.NO_CLOUD_ACCOUNT), ("yamada", Reason.NOT_PERMITTED), ("mori", Reason.NO_UNIX_ACCOUNT)]
)
async def test_who_can_not_have_a_session_is_told_so_at_once(site_with_hub, name, reason):
    async with person(site_with_hub, name) as somebody:
        assert await complaint(somebody, {"language": "ja"}) == reasons.sentence(reason, "ja")
    assert jobs(site_with_hub) == []


async def test_the_queue_is_told_in_plain_words_and_the_session_begins_when_there_is_room(site_with_hub):
    async with person(site_with_hub, "suzuki") as suzuki:
        with closed(site_with_hub):
            asking = asyncio.create_task(suzuki.ask_for_server({"language": "en"}))
            await until(lambda: jobs(site_with_hub, "%t") == [["PD"]])
            await asking
            telling = asyncio.create_task(suzuki.wait_until_ready())
            await asyncio.sleep(2)
        shown = await telling

    queued = reasons.step(Note(Step.QUEUED, 0.0, "PartitionDown"), "en")[1]
    assert queued == "Waiting for a compute node. The administrators have paused these nodes."
    assert any(text.startswith(queued) for text in shown)
    assert "Server requested" not in shown
    assert shown[-1] == "Your session is ready."


async def test_a_job_that_is_cancelled_elsewhere_ends_the_wait(site_with_hub):
    async with person(site_with_hub, "suzuki") as suzuki:
        with closed(site_with_hub):
            asking = asyncio.create_task(complaint(suzuki, {"language": "en"}))
            await until(lambda: jobs(site_with_hub) != [])
            site_with_hub.run("hub", ["scancel", jobs(site_with_hub)[0][0]], check=True)

            assert await asking == reasons.sentence(Reason.CANCELLED, "en")


async def test_who_gives_up_waiting_leaves_no_job(site_with_hub):
    async with person(site_with_hub, "suzuki") as suzuki:
        with closed(site_with_hub):
            asking = asyncio.create_task(suzuki.ask_for_server({}))
            await until(lambda: jobs(site_with_hub) != [])
            await suzuki.stop()

            assert jobs(site_with_hub) == []
            with contextlib.suppress(PersonError, aiohttp.ClientError):
                await asking


async def test_a_session_that_runs_outlives_a_restart_of_the_hub(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        before = jobs(site_with_hub)
        await asyncio.to_thread(site_with_hub.restart_hub)
        await tanaka.open_lab()

        assert jobs(site_with_hub) == before != []
        await tanaka.stop()
        assert jobs(site_with_hub) == []


async def test_two_sessions_of_one_person_live_and_end_apart(site_with_hub):
    wish = {"destination": "cloud", "gpus": 1, "language": "en"}
    async with person(site_with_hub, "tanaka") as first, person(site_with_hub, "tanaka", "session-2") as second:
        for each in (first, second):
            await each.ask_for_server(wish)
        for each in (first, second):
            await each.wait_until_ready()
            await each.open_lab()
        ids = [name.removeprefix("renkei-") for (name,) in jobs(site_with_hub, "%j")]
        assert len(ids) == 2
        assert len({node for (node,) in jobs(site_with_hub, "%N")}) == 1, "the test means two on one node"
        async with person(site_with_hub, "tanaka", "session-3") as third:
            # Both would have one host name in the browser: what two clouds show must not meet there.
            refused = await complaint(third, {"destination": "kashiwa", "language": "en"})
            assert refused == reasons.sentence(Reason.OTHER_DESTINATION, "en")
        async with second.kernel("ct") as kernel:
            assert await second.run_cell(kernel, "40 + 2") == "42"
            await first.stop()
            # Nothing of the other one's went with it: not its kernel, not its mount, not its way out.
            assert await second.run_cell(kernel, "len(__import__('os').listdir('.')) > 0") == "True"
        assert len(jobs(site_with_hub)) == 1
        await second.stop()

    def verdicts() -> list[str]:
        return [each["verdict"] for each in audit(site_with_hub) if each["event"] == "residue-statement" and each["session"] in ids]

    await until(lambda: len(verdicts()) == 2, 60)
    assert set(verdicts()) <= {"clean", "ended-not-inspected"}


async def test_a_scheduler_that_does_not_answer_ends_no_session_and_begins_none(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka, person(site_with_hub, "suzuki") as suzuki:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        hub = site_with_hub.host("hub")
        hub.run(["scontrol", "shutdown", "slurmctld"], check=True)
        try:
            assert await complaint(suzuki, {"language": "en"}) == reasons.sentence(Reason.SCHEDULER_DOWN, "en")
            await asyncio.sleep(12)
            await tanaka.open_lab()
        finally:
            hub.run(["/usr/sbin/slurmctld"], check=True)
            await until(lambda: hub.run(["squeue"]).returncode == 0)
        await tanaka.open_lab()


async def test_a_node_on_which_no_sandbox_is_possible(site_with_hub):
    nodes = [site_with_hub.host(name) for name in ("cx01", "cx02")]
    for node in nodes:
        node.run(["mount", "--bind", "/usr/bin/false", "/usr/bin/unshare"], check=True)
    try:
        async with person(site_with_hub, "tanaka") as tanaka:
            said = await complaint(tanaka, {"language": "ja"})
            assert said == reasons.sentence(Reason.NODE_UNFIT, "ja", Check.NAMESPACES)
    finally:
        for node in nodes:
            node.run(["umount", "/usr/bin/unshare"], check=True)
    assert jobs(site_with_hub) == []


async def test_without_the_authority_there_is_no_session(site_with_hub):
    services.stop_authority(site_with_hub.host("hub"))
    try:
        async with person(site_with_hub, "tanaka") as tanaka:
            assert await complaint(tanaka, {"language": "en"}) == reasons.sentence(Reason.AUTHORITY_DOWN, "en")
    finally:
        services.start_authority(site_with_hub.host("hub"))


IMPOSTOR = """
import asyncio, sys
sys.path.insert(0, "/opt/renkei/src")
from enclave import callback
from enclave.messages import Order, ProofKind, Start
import msgspec
async def main():
    session, job, ca = sys.argv[1:]
    url = "https://10.77.1.10:8443"
    order = Order(session=session, callback_url=url, callback_ca=open(ca).read(), proof=ProofKind.MUNGE, software=())
    start = Start(session=session, job=job, ssh_public_key="ssh-ed25519 AAAA", tls_request="x", port=5000)
    async with callback.connect(order) as http:
        hub = callback.Callback(order, http)
        try:
            print(await hub.start(await callback.prove(start, order)))
        except Exception as error:
            print(type(error).__name__, error.reason)
asyncio.run(main())
"""


async def test_somebody_else_on_a_node_does_not_get_a_session_that_waits(site_with_hub):
    ca = site_with_hub.host("hub").path("/var/lib/renkei/hub/internal-tls/hub-ca/hub-ca.crt").read_text()
    node = site_with_hub.host("cx02")
    node.write("/tmp/ca.pem", ca)
    try:
        async with person(site_with_hub, "tanaka") as tanaka:
            with closed(site_with_hub):
                asking = asyncio.create_task(tanaka.ask_for_server({}))
                await until(lambda: jobs(site_with_hub) != [])
                [[job, name]] = jobs(site_with_hub, "%i", "%j")
                argv = ["/opt/renkei/env/bin/python", "-c", IMPOSTOR, name.removeprefix("renkei-"), job, "/tmp/ca.pem"]
                answer = await asyncio.to_thread(node.run, argv, "rs-suzuki")
            await asking
            await tanaka.wait_until_ready()

            assert answer.stdout == "SessionFailure proof-refused\n", answer.stderr
    finally:
        node.path("/tmp/ca.pem").unlink()
    assert [each["event"] for each in audit(site_with_hub) if each.get("session") == name.removeprefix("renkei-")][:2] == [
        "session-request", "call-refused",
    ]  # fmt: skip


@pytest.fixture
def site_as_the_person(site):
    """A testbed of its own: another site file, and the sudo rule's other line."""
    texts = Texts().of(site.source)
    changed = texts[0].replace('run_as = "service"', 'run_as = "person"\nproof = "ticket"')
    changed = changed.replace('partition = "ct-link"', 'partition = "ct-link"\nexclusive = true')
    other = Testbed(f"{site.name}p", site.source, site.environment)
    try:
        other.up(texts=Texts(site=changed, sudoers=texts[2].replace("%renkei-sessions", "tanaka")))
        yield other
    finally:
        other.down()


async def test_a_site_without_munge_that_runs_sessions_as_the_person(site_as_the_person):
    async with person(site_as_the_person, "tanaka") as tanaka:
        await tanaka.ask_for_server({"gpus": 1})
        await tanaka.wait_until_ready()
        await tanaka.open_lab()

        assert jobs(site_as_the_person, "%u", "%C") == [["tanaka", "16"]]
        await tanaka.stop()
        assert jobs(site_as_the_person) == []
    async with person(site_as_the_person, "suzuki") as suzuki:
        assert await complaint(suzuki, {"language": "en"}) == reasons.sentence(Reason.NO_UNIX_ACCOUNT, "en")
