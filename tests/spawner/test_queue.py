"""Who waits in the queue, or leaves it, is told what is so, over a restart of the hub and however silent the batch system is.

Both batch systems: their commands are small stand-ins, the hub, its proxy and the spawner are real.
"""

from __future__ import annotations

import contextlib
import pwd
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.spawner.hubs import TOKEN, Browser, CheckerServer, Hub, plain
from tests.spawner.test_mount_spawner import Authority

PERSON = pwd.getpwuid(1).pw_name
JOB = "4711"
SUBMIT = {"slurm": "sbatch", "pjm": "pjsub"}
END = ("scancel", "pjdel", "pjsig")
ASK = ("squeue", "sinfo", "pjstat")

SUDO = '#!/bin/sh\nshift 3\nexec "$@"\n'
COMMAND = '#!/bin/sh\necho "${{0##*/}} $*" >> {folder}/ran\n{then}\n'
BLOCKED = "exec sleep 60"
SLOW_S = 180
"""How long anything may take on a machine that others use too, in seconds."""

CONFIG = """
import asyncio
from pathlib import Path
import msgspec
from spawner import mount_spawner
replace = msgspec.structs.replace
scheduler = replace(here.scheduler, kind=site.Kind("{kind}"), sudo="{folder}/bin/sudo", commands="{folder}/bin", account="{{user}}")
changed = replace(here, scheduler=scheduler, authority=replace(here.authority, socket="{folder}/authority"))
mount_spawner.configure(c, changed)
take_up = mount_spawner.resume

async def when_it_may(session, log):
    # A busy hub answers people before it comes to this.
    while not Path("{folder}/go-on").exists():
        await asyncio.sleep(0.05)
    await take_up(session, log)

mount_spawner.resume = when_it_may
"""


class Place:
    """A hub with a batch system of `kind` that takes a job and then never answers again, and with one person."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        commands = folder / "bin"
        commands.mkdir()
        texts = {"sudo": SUDO, SUBMIT[kind]: COMMAND.format(folder=folder, then=f"cat > /dev/null; echo {JOB}")}
        texts |= {name: COMMAND.format(folder=folder, then=BLOCKED) for name in (*END, *ASK)}
        for name, text in texts.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        self.authority = Authority(str(folder / "authority"), Authority.Handler)
        threading.Thread(target=self.authority.serve_forever, daemon=True).start()
        self.checker = CheckerServer(folder / "mux", {(PERSON, "pw", "renkei")})
        login = f'[login]\npeople = ["{PERSON}"]\nchecker_socket = "{folder}/mux"\n'
        self.hub = Hub(folder, login, CONFIG.format(folder=folder, kind=kind))

    def ask(self) -> None:
        """The person asks for a session; returns at once."""

        def wish() -> None:
            # The hub goes down before it has answered.
            with contextlib.suppress(requests.RequestException):
                requests.post(
                    f"{self.hub.url}/hub/api/users/{PERSON}/server",
                    headers={"Authorization": f"token {TOKEN}"},
                    json={"user_options": {"language": "en"}},
                    timeout=60,
                )

        threading.Thread(target=wish, daemon=True).start()

    def ran(self, *names: str) -> list[str]:
        """What was run of the commands called so."""
        path = self.folder / "ran"
        return [line for line in (path.read_text().splitlines() if path.exists() else []) if line.split()[0] in names]

    def sessions(self) -> list[tuple[str, str]]:
        """State and job of every session that there was."""
        with sqlite3.connect(self.folder / "renkei.sqlite") as database:
            return database.execute("SELECT state, job FROM session").fetchall()

    def page(self, browser: Browser) -> requests.Response:
        """The page where the person waits."""
        return browser.open(f"/hub/spawn-pending/{PERSON}")

    def told(self, browser: Browser) -> Iterator[bytes]:
        """The events of the start, until it is over; none where it is not under way."""
        text = self.page(browser).text
        start = text.index('data-xsrf="') + len('data-xsrf="')
        token = text[start : text.index('"', start)]
        path = f"/hub/api/users/{PERSON}/server/progress"
        with browser.open(path, stream=True, params={"_xsrf": token}) as answer:
            yield from (line for line in (answer.iter_lines() if answer.ok else ()) if line.startswith(b"data:"))

    def go_on(self) -> None:
        """From now on the hub takes up what waited."""
        (self.folder / "go-on").touch()

    def close(self) -> None:
        self.hub.stop()
        self.checker.close()
        self.authority.shutdown()
        self.authority.server_close()


@pytest.fixture(params=SUBMIT)
def place(request, tmp_path):
    made = Place(tmp_path, request.param)
    try:
        made.hub.wait(SLOW_S)
        yield made
    finally:
        made.close()


def until(condition, seconds: float = SLOW_S):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("crash", [False, True], ids=["restart", "crash"])
def test_who_waits_in_the_queue_goes_on_waiting_and_is_told_nothing_else(place, crash):
    hub = place.hub
    browser = hub.browser("en")
    browser.log_in(PERSON, "pw")
    place.ask()
    until(lambda: (place.folder / "renkei.sqlite").exists() and place.sessions() == [("queued", JOB)])
    until(lambda: place.ran(*ASK))
    assert "data-progress=" in place.page(browser).text

    if crash:
        hub.process.kill()
        hub.process.wait()
    else:
        hub.stop()
    before = hub.log.stat().st_size
    # While somebody who can vouch for the person does not answer either.
    (place.folder / "authority").rename(place.folder / "away")
    hub.start()
    hub.wait(SLOW_S)
    for _ in range(20):
        page = place.page(browser)
        assert "data-progress=" in page.text, plain(page)
        lab = browser.open(f"/hub/user/{PERSON}/lab")
        assert "data-progress=" in lab.text, plain(lab)
        time.sleep(0.05)
    place.go_on()
    assert b'"step": "submitted"' in until(lambda: next(place.told(browser), None))

    assert "appears to have stopped" not in _said(hub, before)
    assert place.sessions() == [("queued", JOB)]
    assert (len(place.ran(*SUBMIT.values())), place.ran(*END)) == (1, [])


@pytest.mark.slow
def test_who_leaves_the_queue_is_not_told_that_the_session_is_ready(place):
    browser = place.hub.browser("en")
    browser.log_in(PERSON, "pw")
    place.ask()
    until(lambda: (place.folder / "renkei.sqlite").exists() and place.sessions() == [("queued", JOB)])
    events = place.told(browser)
    assert b'"step": "submitted"' in next(events)

    leave = {"headers": {"Authorization": f"token {TOKEN}"}, "timeout": 60}
    leaving = threading.Thread(target=requests.delete, args=(f"{place.hub.url}/hub/api/users/{PERSON}/server",), kwargs=leave)
    leaving.start()
    after = list(events)
    leaving.join()

    assert not any(b'"ready"' in event for event in after)
    until(lambda: place.ran(*END))


def _said(hub: Hub, since: int) -> str:
    """What the hub's log says after its first `since` bytes."""
    return hub.log.read_bytes()[since:].decode(errors="replace")
