"""A hub that is killed at any step of a session, its proxy, a node, the controller: nothing is lost, doubled or left over."""

import asyncio
import contextlib
import json
import time

import aiohttp
import pytest

from bench.person import Person, PersonError
from testbed import processes, services
from testbed.site import Testbed
from tests.spawner.test_sessions_on_site import closed, jobs, person, until

pytestmark = pytest.mark.site

DATABASE = "/var/lib/renkei/hub/renkei.sqlite"


def records(site: Testbed, *columns: str) -> list[tuple]:
    """`columns` of every session that is not over."""
    return asked(site, f"SELECT {', '.join(columns)} FROM session WHERE state != 'ended'")  # noqa: S608


def row(site: Testbed, session: str, *columns: str) -> tuple:
    """`columns` of one session."""
    [found] = asked(site, f"SELECT {', '.join(columns)} FROM session WHERE id = '{session}'")  # noqa: S608
    return found


def asked(site: Testbed, statement: str) -> list[tuple]:
    """What the hub's database answers, asked where it lies: its files belong to the hub's account."""
    program = (
        f"import json, sqlite3\nwith sqlite3.connect({DATABASE!r}) as database:\n"
        f" print(json.dumps(database.execute({statement!r}).fetchall()))"
    )
    answer = site.run("hub", [services.PYTHON, "-c", program], user="jupyterhub", check=True)
    return [tuple(row) for row in json.loads(answer.stdout)]


async def killed_and_started(site: Testbed) -> None:
    await asyncio.to_thread(site.kill_hub)
    await asyncio.to_thread(site.start_hub)


def kill(site: Testbed, host: str, *programs: str, user: int | None = None) -> None:
    """End at once what a host runs of `programs` (how an argument ends), and of the account with the number `user`."""
    found = [
        each.pid
        for each in site.host(host).processes()
        if each.uid == user or any(word.endswith(program) for word in each.argv for program in programs)
    ]
    assert found
    processes.kill(found)
    processes.wait_gone(found, 10)


SLEEP = "sleep 3600"


@contextlib.contextmanager
def instead(site: Testbed, command: str, script: str):
    """The hub's `command` of Slurm is `script` meanwhile, with the real one at `$real`."""
    hub = site.host("hub")
    hub.run(["cp", "--no-clobber", f"/usr/bin/{command}", f"/usr/local/bin/real-{command}"], check=True)
    hub.write(f"/usr/local/bin/our-{command}", f"#!/bin/sh\nreal=/usr/local/bin/real-{command}\n{script}\n", 0o755)
    hub.run(["mount", "--bind", f"/usr/local/bin/our-{command}", f"/usr/bin/{command}"], check=True)
    try:
        yield
    finally:
        hub.run(["umount", "--lazy", f"/usr/bin/{command}"], check=True)
        # Whoever waited for it is dead or knows better; what still sleeps would be met by other tests.
        hub.run(["pkill", "--full", f"^{SLEEP}$"])


@contextlib.asynccontextmanager
async def asking(somebody: Person):
    """A wish under way, whatever the hub answers: it may be killed meanwhile."""
    task = asyncio.create_task(somebody.ask_for_server({"language": "en"}))
    try:
        yield
    finally:
        with contextlib.suppress(PersonError, aiohttp.ClientError):
            await task


async def usable(somebody: Person) -> None:
    """The page of whoever comes back: it waits until the session is there, and the Lab opens."""
    end = time.monotonic() + 60
    while True:
        try:
            await somebody.wait_until_ready()
            break
        except (PersonError, aiohttp.ClientError):
            assert time.monotonic() < end
            await asyncio.sleep(0.5)
    await somebody.open_lab()


async def test_a_job_in_the_queue_is_the_same_session_after_a_crash_of_the_hub(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        with closed(site_with_hub):
            async with asking(tanaka):
                await until(lambda: records(site_with_hub, "state") == [("queued",)])
                before = jobs(site_with_hub, "%i", "%j")
                await killed_and_started(site_with_hub)
            assert jobs(site_with_hub, "%i", "%j") == before != []
        await usable(tanaka)

        assert jobs(site_with_hub, "%i", "%j") == before
        await tanaka.stop()
        assert jobs(site_with_hub) == []
        assert records(site_with_hub, "id") == []


BEFORE = SLEEP
"""An sbatch that never comes to ask the controller."""
BEHIND = '"$real" "$@" > /dev/null; ' + SLEEP
"""An sbatch whose answer never comes."""


@pytest.mark.parametrize("step", ["wish", "reserved"])
async def test_a_wish_that_was_only_written_down_is_handed_in_by_the_next_hub(site_with_hub, step):
    async with person(site_with_hub, "tanaka") as tanaka:
        with instead(site_with_hub, "sbatch", BEFORE):
            async with asking(tanaka):
                await until(lambda: records(site_with_hub, "state") == [("submitting",)])
                await asyncio.to_thread(site_with_hub.kill_hub)
        [(session,)] = records(site_with_hub, "id")
        # The same on the disk as if it had been killed before: the batch system was never asked.
        asked(site_with_hub, f"UPDATE session SET state = '{step}', submitting = NULL WHERE id = '{session}'")  # noqa: S608
        await asyncio.to_thread(site_with_hub.start_hub)
        await usable(tanaka)

        assert jobs(site_with_hub, "%j") == [[f"renkei-{session}"]]


async def test_a_job_that_was_never_handed_in_is_not_waited_for(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        with instead(site_with_hub, "sbatch", BEFORE):
            async with asking(tanaka):
                await until(lambda: records(site_with_hub, "state") == [("submitting",)])
                await asyncio.to_thread(site_with_hub.kill_hub)
        [(session,)] = records(site_with_hub, "id")
        await asyncio.to_thread(site_with_hub.start_hub)
        # Whoever waited goes on waiting: for another session, because the answer for the first may yet come.
        await usable(tanaka)

        [(other, state)] = records(site_with_hub, "id", "state")
        assert (other != session, state) == (True, "running")
        assert jobs(site_with_hub, "%j") == [[f"renkei-{other}"]]
        assert row(site_with_hub, session, "state", "reason") == ("ended", "scheduler-down")


async def test_a_job_whose_number_the_hub_never_learnt_is_found_by_its_name(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        with closed(site_with_hub):
            with instead(site_with_hub, "sbatch", BEHIND):
                async with asking(tanaka):
                    await until(lambda: jobs(site_with_hub) != [])
                    await asyncio.to_thread(site_with_hub.kill_hub)
            before = jobs(site_with_hub)
            assert records(site_with_hub, "state", "job") == [("submitting", "")]
            await asyncio.to_thread(site_with_hub.start_hub)
            await until(lambda: records(site_with_hub, "state", "job") == [("queued", before[0][0])])
        await usable(tanaka)

        assert jobs(site_with_hub) == before


async def test_a_session_that_was_just_starting_goes_on(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        async with asking(tanaka):
            await until(lambda: records(site_with_hub, "state") == [("starting",)])
            before = jobs(site_with_hub)
            await killed_and_started(site_with_hub)
        await usable(tanaka)

        assert jobs(site_with_hub) == before
        assert records(site_with_hub, "state") == [("running",)]


async def test_a_session_that_was_being_ended_ends(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        with instead(site_with_hub, "scancel", BEFORE):
            stopping = asyncio.create_task(tanaka.stop())
            await until(lambda: records(site_with_hub, "state") == [("ending",)])
            await asyncio.to_thread(site_with_hub.kill_hub)
            with contextlib.suppress(PersonError, aiohttp.ClientError):
                await stopping
        assert jobs(site_with_hub) != []
        await asyncio.to_thread(site_with_hub.start_hub)

        await until(lambda: (jobs(site_with_hub), records(site_with_hub, "id")) == ([], []))
        await tanaka.stop()


async def test_what_ended_while_the_hub_was_away_is_settled(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        [(session,)] = records(site_with_hub, "id")
        await asyncio.to_thread(site_with_hub.kill_hub)
        site_with_hub.run("hub", ["scancel", jobs(site_with_hub)[0][0]], check=True)
        await until(lambda: jobs(site_with_hub) == [])
        await asyncio.to_thread(site_with_hub.start_hub)
        await until(lambda: records(site_with_hub, "id") == [])

        assert row(site_with_hub, session, "reason", "ended > running") == ("cancelled", 1)
        # JupyterHub agrees: the same person gets a new one.
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()


LOST = {
    "answered with nothing": '"$real" "$@" > /dev/null',
    "timed out": '"$real" "$@" > /dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1',
    "never answered": BEHIND,
}


@pytest.mark.parametrize("answer", LOST)
async def test_a_job_whose_answer_was_lost_is_one_session_all_the_same(site_with_hub, answer):
    async with person(site_with_hub, "tanaka") as tanaka:
        with instead(site_with_hub, "sbatch", LOST[answer]):
            await tanaka.ask_for_server({})
            await usable(tanaka)

        [(session,)] = records(site_with_hub, "id")
        assert jobs(site_with_hub, "%j") == [[f"renkei-{session}"]]


async def test_a_job_that_appears_when_nobody_expects_it_any_more_is_cancelled(site_with_hub):
    late = 'cat > "/tmp/late.$$"; (sleep 25; "$real" "$@" < "/tmp/late.$$" > /dev/null; touch /tmp/came) & sleep 3600'
    site_with_hub.run("hub", ["rm", "-f", "/tmp/came"], check=True)
    async with person(site_with_hub, "tanaka") as tanaka:
        with closed(site_with_hub), instead(site_with_hub, "sbatch", late):
            async with asking(tanaka):
                await until(lambda: asked(site_with_hub, "SELECT reason FROM session ORDER BY wished DESC LIMIT 1") != [(None,)])
            await until(lambda: site_with_hub.host("hub").path("/tmp/came").exists())
            await until(lambda: jobs(site_with_hub) == [])


async def test_a_session_that_runs_outlives_a_crash_of_the_hub(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        before = jobs(site_with_hub)
        await killed_and_started(site_with_hub)
        await usable(tanaka)

        assert jobs(site_with_hub) == before


async def test_answers_that_say_nothing_end_no_session(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        before = jobs(site_with_hub)
        for silence in ("exit 0", 'echo "slurm_load_jobs error: Socket timed out on send/recv operation" >&2; exit 1'):
            with instead(site_with_hub, "squeue", silence):
                await asyncio.sleep(12)
        await tanaka.open_lab()

        assert jobs(site_with_hub) == before
        assert records(site_with_hub, "state") == [("running",)]


async def test_a_controller_that_is_killed_ends_no_session(site_with_hub):
    hub = site_with_hub.host("hub")
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        before = jobs(site_with_hub)
        # It writes its jobs down every five seconds at most: one that it forgets with its own death is beyond everybody's help.
        await asyncio.sleep(6)
        kill(site_with_hub, "hub", "/slurmctld")
        await asyncio.sleep(5)
        await tanaka.open_lab()
        hub.run(["/usr/sbin/slurmctld"], check=True)
        await until(lambda: jobs(site_with_hub) == before)

        assert records(site_with_hub, "state") == [("running",)]


async def test_a_proxy_that_is_killed_comes_back_with_every_session(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        kill(site_with_hub, "hub", "/configurable-http-proxy")
        await usable(tanaka)

        assert records(site_with_hub, "state") == [("running",)]


async def test_a_node_that_is_lost_is_told_and_nothing_of_it_stays(site_with_hub):
    async with person(site_with_hub, "tanaka") as tanaka:
        await tanaka.ask_for_server({})
        await tanaka.wait_until_ready()
        [(session, uid)] = records(site_with_hub, "id", "uid")
        [[node]] = jobs(site_with_hub, "%N")
        host = site_with_hub.host(node)
        # All that runs there dies at once, as with a power cut.
        kill(site_with_hub, node, "/slurmd", "slurmstepd", ".batch]", user=uid)
        try:
            await until(lambda: records(site_with_hub, "id") == [], 90)
        finally:
            host.run(["/usr/sbin/slurmd"], check=True)
        # Asked for one node alone, sinfo goes on saying what it last knew of its processors.
        asked = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
        await until(lambda: f"{node} idle" in site_with_hub.run("hub", asked).stdout.splitlines(), 60)

        assert row(site_with_hub, session, "reason") == ("node-lost",)
        assert jobs(site_with_hub) == []
