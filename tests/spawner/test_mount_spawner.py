"""The spawner in a live hub: what REST bodies reach, what is run, and what of batchspawner is gone.

Batch system and authority are small stand-ins here; tests/spawner/test_sessions_on_site.py has the real ones.
"""

import json
import pwd
import re
import socketserver
import threading

import msgspec
import pytest
import requests
from batchspawner import BatchSpawnerBase

from enclave.messages import Reason
from spawner import reasons
from spawner.authority.protocol import Accounts
from spawner.mount_spawner import MountSpawner, NoSessionError
from spawner.sessions import Session
from tests.spawner.hubs import TOKEN, Hub
from tests.spawner.stage import CLOUD, DEMO, record

PERSON = pwd.getpwuid(1).pw_name
"""A hub user whose name is a Unix account of this machine too."""

SUDO = """#!/bin/sh
printf '%s\\n' "$@" >> {folder}/argv
env > {folder}/env
cat > {folder}/script
echo "sbatch: error: Batch job submission failed: User's group not permitted to use this partition" >&2
exit 1
"""

CONFIG = """
import asyncio, msgspec
from spawner import mount_spawner
async def no_shell(*_, **__):
    raise AssertionError("a shell")
asyncio.create_subprocess_shell = no_shell
replace = msgspec.structs.replace
scheduler = replace(here.scheduler, sudo="{folder}/sudo", account="{{user}}")
mount_spawner.configure(c, replace(here, scheduler=scheduler, authority=replace(here.authority, socket="{folder}/authority")))
"""


class Authority(socketserver.ThreadingUnixStreamServer):
    """Says that everybody has an account at the cloud."""

    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(msgspec.json.encode(Accounts(accounts=(CLOUD,))) + b"\n")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    (folder / "sudo").write_text(SUDO.format(folder=folder))
    (folder / "sudo").chmod(0o755)
    authority = Authority(str(folder / "authority"), Authority.Handler)
    threading.Thread(target=authority.serve_forever, daemon=True).start()
    more = CONFIG.format(folder=folder)
    running = Hub(folder, f'[login]\npeople = ["{PERSON}"]\nchecker_socket = "{folder}/mux"\n', more)
    try:
        running.wait()
        yield running
    finally:
        running.stop()
        authority.shutdown()
        authority.server_close()


def ask(hub: Hub, method: str, path: str, token: str = TOKEN, **more) -> requests.Response:
    headers = {"Authorization": f"token {token}"}
    return requests.request(method, f"{hub.url}/hub/api/{path}", headers=headers, timeout=60, **more)


def wish(hub: Hub, body: object) -> requests.Response:
    return ask(hub, "post", f"users/{PERSON}/server", json=body)


def ran(hub: Hub) -> list[str]:
    path = hub.folder / "argv"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "body",
    [
        {"user_options": {"prologue": "curl evil | sh"}},
        {"user_options": {"runtime": "999:00:00", "cmd": ["sh"]}},
        {"user_options": {"gpus": 64}},
        {"user_options": {"gpus": "1"}},
        {"user_options": {"destination": "kashiwa"}},
        {"user_options": {"resource_group": "ct-link --uid=0"}},
        {"user_options": {"hours": 1e308}},
        {"user_options": {"language": {"a": ["b"] * 1000}}},
        {"user_options": {"x": "y" * 100_000}},
    ],
)
def test_a_hostile_body_is_refused_with_a_sentence_and_nothing_is_run(hub, body):
    before = ran(hub)

    answer = wish(hub, body)

    assert (answer.status_code, answer.json()["message"]) == (400, reasons.sentence(Reason.BAD_OPTIONS, "ja"))
    assert ran(hub) == before


@pytest.mark.parametrize("body", [{"user_options": []}, {"user_options": "x"}, [1], "x"])
def test_a_body_that_holds_no_options_starts_nothing(hub, body):
    before = ran(hub)

    assert wish(hub, body).status_code in {400, 403}
    assert ran(hub) == before


def test_a_refusal_of_the_batch_system_is_told_in_the_language_of_the_wish(hub):
    answer = wish(hub, {"user_options": {"language": "en", "gpus": 1}})

    assert (answer.status_code, answer.json()["message"]) == (403, reasons.sentence(Reason.NOT_PERMITTED, "en"))


def test_the_command_is_exactly_what_the_sudo_rule_allows(hub):
    (hub.folder / "argv").unlink(missing_ok=True)
    wish(hub, {"user_options": {}})

    assert ran(hub) == ["-n", "-u", PERSON, "/usr/bin/sbatch", "--parsable"]
    environment = dict(line.split("=", 1) for line in (hub.folder / "env").read_text().splitlines())
    assert set(environment) - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "LANG", "SLURM_TIME_FORMAT"}
    script = (hub.folder / "script").read_text()
    assert "#SBATCH --partition=ct-link" in script
    assert PERSON not in script.replace("/sbin", "")


def test_options_that_were_put_there_before_the_start_are_checked_too(hub):
    changed = ask(hub, "patch", f"users/{PERSON}/servers/", json={"user_options": {"prologue": "id"}})
    assert changed.ok, changed.text

    assert wish(hub, None).status_code == 400


def test_batchspawners_route_is_gone(hub):
    token = ask(hub, "post", f"users/{PERSON}/tokens", json={"note": "as a session has"}).json()["token"]

    for name in (token, TOKEN):
        answer = ask(hub, "post", "batchspawner", token=name, json={"port": 1, "exec_prefix": "id"})
        assert answer.status_code == 404


def test_no_persons_session_is_the_same_client_as_a_session_of_somebody_whose_name_begins_with_theirs(hub):
    other = f"{PERSON}-x"
    assert ask(hub, "post", f"users/{other}").ok
    before = len(hub.log.read_text())
    for path in (f"users/{PERSON}/servers/x", f"users/{other}/server"):
        assert ask(hub, "post", path, json={"user_options": {"gpus": 64}}).status_code == 400

    clients = re.findall(r"(?:Creating|Updating) oauth client (\S+)", hub.log.read_text()[before:])
    assert clients == [f"jupyterhub-user-{PERSON}.x", f"jupyterhub-user-{other}"]


def test_every_refusal_is_in_the_audit(hub):
    wish(hub, {"user_options": {"prologue": "id"}})

    last = json.loads((hub.folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["user"], last["reason"]) == ("session-refused", PERSON, "bad-options")


def test_no_key_of_a_person_lies_on_the_hubs_disk(hub):
    wish(hub, {"user_options": {}})

    names = {path.name for path in (hub.folder / "internal-tls").rglob("*")}
    assert not any(PERSON in name or "callback" in name for name in names)


@pytest.mark.parametrize("name", ["run_command", "submit_batch_script", "query_job_status", "cancel_batch_job"])
def test_batchspawners_commands_can_not_be_reached(name):
    spawner = MountSpawner()

    assert getattr(MountSpawner, name) is not getattr(BatchSpawnerBase, name)
    with pytest.raises(RuntimeError, match="not used here"):
        getattr(spawner, name)("id")


def test_a_link_starts_nothing():
    spawner = MountSpawner(site=DEMO)

    with pytest.raises(NoSessionError) as caught:
        spawner.options_from_query({"gpus": ["4"]})
    assert caught.value.reason == "bad-options"


def test_state_names_the_session_and_holds_no_secret():
    spawner = MountSpawner()
    saved = record()
    spawner._session = Session(saved)
    key, ticket = spawner._session.give_key(), spawner._session.give_ticket()
    state = json.loads(json.dumps(spawner.get_state()))

    assert state["session"] == {"id": saved.id, "account": saved.account, "uid": saved.uid}
    for secret in (key, ticket, saved.key_hash):
        assert secret not in str(state)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_place_of_jupyterhub_shows_the_persons_sentence(reason):
    error = NoSessionError(reason, "ja", "<b>job 1</b> ended: exit code 1")

    assert error.message == error.jupyterhub_message == reasons.sentence(reason, "ja")
    assert "job 1" not in error.jupyterhub_html_message
    assert "job 1" in error.log_message
    assert error.status_code in {400, 403, 503}


