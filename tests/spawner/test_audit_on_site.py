"""The audit of a real session: whole, anchored, without a file's name or a secret; and nothing new where it can't be written."""

import asyncio
import json
import re

import pytest
import requests

from bench.person import Person, PersonError
from enclave.messages import Reason
from spawner import reasons
from testbed.site import Testbed

pytestmark = pytest.mark.site

FOLDER = "/var/log/renkei"
AUDIT = f"{FOLDER}/audit.jsonl"
STATEMENTS = "/var/lib/renkei/hub/statements"
NAME = "patient-4711-a-name"
VERIFY = ["env", "PYTHONPATH=/opt/renkei/src", "/opt/renkei/env/bin/python", "-m", "spawner.audit", "verify"]
FULL_S = 20


def fill(site: Testbed) -> None:
    """A file system of 64 KiB without any room lies where the audit is written."""
    site.run("hub", ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", FOLDER], check=True)
    site.run("hub", ["sh", "-c", f"head -c 65536 /dev/zero > {FOLDER}/filler; true"], check=True)


async def refused(person: Person) -> str:
    """What somebody is told who may not have a session now."""
    try:
        await person.ask_for_server({"language": "en"})
        await person.wait_until_ready()
    except PersonError as error:
        return str(error)
    raise AssertionError("there is a session")


@pytest.fixture(scope="module")
def told(site_with_hub):
    """What was said while a session of tanaka's went on and the disk was full."""
    site = site_with_hub

    async def go() -> dict[str, object]:
        async with Person(site.url, "tanaka") as tanaka, Person(site.url, "suzuki") as suzuki, Person(site.url, "sato") as sato:
            await tanaka.log_in(site.passwords["tanaka"])
            await suzuki.log_in(site.passwords["suzuki"])
            said: dict[str, object] = {}
            try:
                await tanaka.ask_for_server({"gpus": 1})
                await tanaka.wait_until_ready()
                await tanaka.open_lab()
                async with tanaka.kernel("ct") as kernel:
                    await tanaka.run_cell(kernel, f"open('{NAME}.nii', 'w').close()", "1 + 1")
                    fill(site)
                    try:
                        said["session"] = await asyncio.wait_for(refused(suzuki), FULL_S)
                        with pytest.raises(PersonError) as login:
                            await sato.log_in(site.passwords["sato"])
                        said["login"] = str(login.value)
                        said["cell"] = await tanaka.run_cell(kernel, "", "20 + 22")
                    finally:
                        site.run("hub", ["umount", FOLDER], check=True)
            finally:
                await tanaka.stop()
            return said

    return asyncio.run(go())


def test_with_a_full_disk_there_is_no_new_session_and_no_login_and_the_running_session_goes_on(told):
    assert reasons.sentence(Reason.INTERNAL, "en") in told["session"]
    assert "login" in told
    assert told["cell"] == "42"


def test_no_event_of_a_session_names_a_file_or_holds_a_secret(site_with_hub, told):
    text = site_with_hub.host("hub").path(AUDIT).read_text()
    events = {json.loads(line)["event"] for line in text.splitlines()}
    assert {"login", "session-request", "session-start", "session-mounted", "browser-outflow", "session-end"} <= events
    assert NAME not in text
    for password in site_with_hub.passwords.values():
        assert password not in text
    # The path of an act on tokens is no token.
    told_of = re.sub(r'(?<="act":")[A-Z]+ /hub/api/users/[a-z]+/tokens(?=")', "", text)
    assert not re.search(r"PRIVATE KEY|ssh-ed25519|cert-v01|Bearer|token", told_of)


def test_the_record_of_the_site_is_whole_and_residue_statements_anchor_it(site_with_hub, told):
    verified = site_with_hub.run("hub", [*VERIFY, "--statements", STATEMENTS, AUDIT])
    assert verified.returncode == 0, verified
    lines = site_with_hub.host("hub").path(AUDIT).read_text().splitlines(keepends=True)
    cut = site_with_hub.host("hub").path("/tmp/cut.jsonl")
    cut.write_text("".join(lines[:2]))
    try:
        assert site_with_hub.run("hub", [*VERIFY, "/tmp/cut.jsonl"]).returncode == 0
        assert site_with_hub.run("hub", [*VERIFY, "--statements", STATEMENTS, "/tmp/cut.jsonl"]).returncode == 1
    finally:
        cut.unlink()


def test_metrics_are_for_nobody_without_the_scope(site_with_hub, told):
    answer = requests.get(f"{site_with_hub.url}/hub/metrics", timeout=10, allow_redirects=False)
    assert answer.status_code == 403
    assert "renkei_" not in answer.text
