"""Quotas at a real site: refused in a sentence, settled by Slurm's own times, held against a real slurmdbd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from bench.person import Person, PersonError
from testbed import accounting, services
from testbed.rules import RULES
from testbed.site import Testbed
from tests.guest import WISH

pytestmark = pytest.mark.site

DATABASE = "/var/lib/renkei/hub/renkei.sqlite"
NIGHT = ("env", f"PYTHONPATH={services.SOURCE}", services.PYTHON, "-m", "tests.quota.night", "/etc/renkei/site.toml")


@pytest.fixture(scope="module")
def hub(site_with_hub) -> Iterator[Testbed]:
    """The site with an accounting, and without rules afterwards."""
    with accounting.kept(site_with_hub.host("hub")):
        yield site_with_hub
    sql(site_with_hub, "DELETE FROM quota_rule")


SQL = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20)
connection.row_factory = sqlite3.Row
with connection:
    rows = [dict(row) for row in connection.execute(sys.argv[2], json.loads(sys.argv[3]))]
print(json.dumps(rows))
"""
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def sql(site: Testbed, statement: str, *values: object) -> list[dict]:
    """What the hub's database answers to `statement`, asked on its own host."""
    argv = [services.PYTHON, "-c", SQL, DATABASE, statement, json.dumps(values)]
    return json.loads(site.run("hub", argv, user="jupyterhub", check=True).stdout)


def charges(site: Testbed) -> list[dict]:
    return sql(site, "SELECT * FROM quota_charge ORDER BY at")


@contextlib.contextmanager
def held(site: Testbed) -> Iterator[None]:
    """Nobody can write into the hub's database meanwhile."""
    command, environment = site.host("hub").command([services.PYTHON, "-c", HOLD, DATABASE], "jupyterhub")
    with subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()


def limit(site: Testbed, kind: str, number: float) -> None:
    """One rule for everybody, instead of those before it."""
    sql(site, "DELETE FROM quota_rule")
    columns = 'scope, subject, resource_group, kind, "limit", openings, destinations, shared'
    sql(site, f"INSERT INTO quota_rule ({columns}) VALUES ('everyone', '', '', ?, ?, '', '', 0)", kind, number)  # noqa: S608


async def refused(person: Person, wish: dict) -> str:
    with pytest.raises(PersonError) as caught:  # noqa: PT012  (either of the two tells)
        await person.ask_for_server(wish)
        await person.wait_until_ready()
    said = str(caught.value)
    return json.loads(said[said.index("{") :])["message"] if "{" in said else said


async def until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def test_a_wish_above_a_rule_is_told_which_and_its_job_is_never_handed_in(hub):
    limit(hub, "gpus", 1)
    before = len(charges(hub))

    async with Person(hub.url, "suzuki") as person:
        await person.log_in(hub.passwords["suzuki"])
        english = await refused(person, {**WISH, "gpus": 2})
        japanese = await refused(person, {**WISH, "gpus": 2, "language": "ja"})

    assert "at most 1 GPUs at once) does not allow this: 1 left, 2 asked for; it can't fit as it is." in english
    assert "同時に1GPUまで" in japanese
    assert len(charges(hub)) == before
    assert hub.run("hub", ["squeue", "--noheader", "--user=rs-suzuki"], check=True).stdout == ""


async def test_a_session_is_settled_by_slurm_s_times_and_held_against_its_accounting(hub):
    limit(hub, "sessions", 1)
    async with Person(hub.url, "tanaka") as person:
        await person.log_in(hub.passwords["tanaka"])
        await person.ask_for_server(WISH)
        await person.wait_until_ready()
        assert charges(hub)[-1]["state"] == "reserved"
        await person.stop()
        await until(lambda: charges(hub)[-1]["state"] == "settled")
        # At once, though the last one has only just ended.
        await person.ask_for_server(WISH)
        await person.wait_until_ready()
        await person.stop()
        await until(lambda: charges(hub)[-1]["state"] == "settled")

    first, second = charges(hub)[-2:]
    assert first["source"] == second["source"] == "scheduler"
    assert 0 < first["ended"] - first["began"] < 120

    # Sessions of other tests, from before the accounting began, may differ too: they are put right first.
    hub.run("hub", NIGHT, user="jupyterhub", check=True)
    # Somebody has changed what was charged; Slurm's accounting knows better, and one of the two is left alone.
    sql(hub, "UPDATE quota_charge SET ended = ended + 900 WHERE session = ?", first["session"])
    (difference,) = json.loads(hub.run("hub", NIGHT, user="jupyterhub", check=True).stdout)
    assert (difference["session"], difference["user"], difference["job"]) == (first["session"], "tanaka", first["job"])
    assert difference["charged_s"] - difference["counted_s"] == pytest.approx(900, abs=1.5)
    corrected = next(each for each in charges(hub) if each["session"] == first["session"])
    assert corrected["ended"] == pytest.approx(first["ended"], abs=1.5)
    assert json.loads(hub.run("hub", NIGHT, user="jupyterhub", check=True).stdout) == []


async def test_without_its_database_nobody_begins_and_who_works_goes_on(hub):
    sql(hub, "DELETE FROM quota_rule")
    async with Person(hub.url, "tanaka") as works, Person(hub.url, "suzuki") as asks:
        await works.log_in(hub.passwords["tanaka"])
        await asks.log_in(hub.passwords["suzuki"])
        await works.ask_for_server(WISH)
        await works.wait_until_ready()
        with held(hub):
            said = await refused(asks, WISH)
            await works.open_lab()
        await works.stop()

    assert "The hub can't write down new sessions at the moment." in said


def test_the_demonstration_s_rules_are_planted_once(hub):
    sql(hub, "DELETE FROM quota_rule")
    for _ in range(2):
        services.make_rules(hub.host("hub"))

    assert sql(hub, "SELECT count(*) AS number FROM quota_rule") == [{"number": len(RULES)}]
