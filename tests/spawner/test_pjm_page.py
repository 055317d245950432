"""The page for a centre's staff: each of its commands runs, and says what the page says that it does; here on the emulator."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import processes
from testbed.pjm.install import turn
from testbed.site import Testbed
from tests.testbed.certificates import certify

pytestmark = pytest.mark.site

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"pjm.md": "The *test job*", "pjm.ja.md": "**試験ジョブ**"}
NOT_HERE = {"15"}
"""Asked of the centre: nobody outside knows what its command prints."""
HUB, ACCOUNT = "10.77.1.10", "rs-tanaka"
NAMES = {
    "HUB": HUB,
    "FOLDER": "/",
    "GROUP": "ct-link",
    "rs-test": ACCOUNT,
    "/dev/nvidia": "/dev/renkei-gpu",
    "sleep 1200": "sleep 1.5",
}
"""Of this site, and how its stand-ins for GPUs are called; a silence of seconds is enough to see that the command works."""
JOB = """#!/bin/bash
#PJM -L rscgrp=ct-link,elapse=300,gpu={gpus}
#PJM --norestart -j -o {output}
export PYTHONPATH=/opt/renkei/src
{command}
"""


def told(page: str) -> tuple[str, dict[str, list[str]]]:
    """The test job's command, and the commands of each row of the table."""
    text = (DOCS / page).read_text()
    job = text[text.index(PAGES[page]) :].split("```\n")[1].strip()
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| \d+ \| ", line)]
    return job, {number.removeprefix("| "): re.findall(r"`([^`]+)`", cell) for number, _, cell, _ in rows}


TEST_JOB, ROWS = told("pjm.md")


def of_this_site(command: str) -> str:
    for word, here in NAMES.items():
        command = command.replace(word, here)
    return command


class Job:
    """A command that runs in a job, and what it has said."""

    def __init__(self, site: Testbed, command: str, gpus: int = 0) -> None:
        self._site, self._output = site, f"/tmp/staff-{time.monotonic_ns()}"
        script = JOB.format(gpus=gpus, output=self._output, command=of_this_site(command))
        self.number = site.run("hub", ["pjsub", "-z", "jid"], user=ACCOUNT, input=script, check=True).stdout.strip()

    @property
    def node(self) -> str:
        """Where it is, once it has begun to say something or has ended."""
        return next((node for node in ("cx01", "cx02") if self._site.host(node).path(self._output).exists()), "")

    @property
    def said(self) -> str:
        return self._site.host(self.node).path(self._output).read_text() if self.node else ""

    def ended(self) -> str:
        """What it had said by its end."""
        until(lambda: (self.number, "EXT") in [(each[1], each[2]) for each in history(self._site)])
        return self.said


def history(site: Testbed) -> list[list[str]]:
    lines = site.run("hub", ["pjstat", "-H", "--data", "--choose=jid,st"], check=True).stdout.splitlines()
    return [line.split(",") for line in lines if line.startswith(",")]


def until(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def on_hub(site: Testbed, command: str, user: str = "jupyterhub"):
    return site.run("hub", ["bash", "-c", of_this_site(command)], user=user)


@pytest.fixture(autouse=True)
def _nothing_stays(site_on_pjm: Testbed) -> Iterator[None]:
    yield
    for node in ("cx01", "cx02"):
        for path in site_on_pjm.host(node).path("/tmp").glob("staff-*"):
            path.unlink()


def test_both_pages_name_the_same_commands_and_no_row_is_without_one():
    job, rows = told("pjm.ja.md")
    assert job == TEST_JOB
    assert rows == ROWS
    assert list(ROWS) == [str(number) for number in range(1, 16)]
    english = (DOCS / "pjm.md").read_text()
    for row, named in ROWS.items():
        [line] = re.findall(rf"^\| {row} \| .*$", english, re.MULTILINE)
        assert named or "the test job" in line


def test_namespaces_and_the_preflight_in_a_job(site_on_pjm):
    [namespaces], [preflight] = ROWS["1"], ROWS["2"]
    first, second = Job(site_on_pjm, namespaces), Job(site_on_pjm, preflight, gpus=4)
    assert first.ended() == "yes\n"
    # Whether it is fit is this machine's business, with its swap and its stand-ins for GPUs; that it is told is the row's.
    assert second.ended().splitlines()[-1] in {"Sessions may run on this node.", "This node is not fit: no session starts here."}


def test_a_silent_connection_through_the_gateway_is_still_there(site_on_pjm):
    [command] = ROWS["3"]
    options, _ = (certify(site_on_pjm, node, ACCOUNT, "kt001", "kashiwa") for node in ("cx01", "cx02"))
    # A silence of seconds is enough to see that the command works.
    command = command.replace("sleep 1200", "sleep 1.5")
    assert "-P PORT ACCOUNT@GATEWAY" in command
    said = Job(site_on_pjm, command.replace("-P PORT ACCOUNT@GATEWAY", " ".join([*options, "kt001@10.77.2.1"]))).ended()
    for node in ("cx01", "cx02"):
        site_on_pjm.run(node, ["rm", "-rf", f"/tmp/certificate-{ACCOUNT}-kashiwa"], check=True)
    site_on_pjm.run("hub", ["rm", "-rf", "/tmp/signing"], check=True)
    assert "Remote working directory: /" in said


def test_hub_and_node_reach_each_other(site_on_pjm):
    to_hub, listen, to_node = ROWS["4"]
    assert Job(site_on_pjm, to_hub).ended() == "8081\n8443\n"
    listening = Job(site_on_pjm, listen)
    node = until(lambda: listening.node)
    assert until(lambda: on_hub(site_on_pjm, to_node.replace("NODE", node)).stdout, 20) == "open\n"
    site_on_pjm.run("hub", ["pjdel", listening.number], check=True)


def test_the_hub_sees_a_nodes_own_address(site_on_pjm):
    listen, ask = ROWS["5"]
    seen: list[str] = []
    listener = threading.Thread(target=lambda: seen.append(on_hub(site_on_pjm, listen).stderr))
    listener.start()
    until(lambda: on_hub(site_on_pjm, "timeout 1 bash -c '</dev/tcp/HUB/20001' && echo open").stdout, 20)
    addresses = Job(site_on_pjm, ask).ended().split("\n")[0].split()
    # The page's minute need not be waited for.
    processes.kill([each.pid for each in site_on_pjm.host("hub").processes() if "http.server" in each.argv])
    listener.join()
    assert addresses
    assert any(line.split(" ")[0] in addresses for line in seen[0].splitlines() if "GET / " in line)


def test_what_a_job_can_open_of_gpus(site_on_pjm):
    *_, command = ROWS["6"]
    # The emulator keeps no device from anybody: what is printed is all of them, and such a site offers whole nodes.
    assert len(Job(site_on_pjm, command, gpus=1).ended().splitlines()) == 4


def test_jobs_of_a_sessions_account_are_taken_and_run_in_the_folder(site_on_pjm):
    assert on_hub(site_on_pjm, ROWS["7"][0]).returncode == 0
    answer = on_hub(site_on_pjm, TEST_JOB)
    assert (answer.returncode, answer.stderr) == (0, ""), "rows 8, 10 and 14"
    job = answer.stdout.strip()
    [shown, *_] = ROWS["9"]
    assert until(lambda: re.findall(rf"^,{job},(\d+)$", on_hub(site_on_pjm, shown.replace("JOB", job)).stdout, re.MULTILINE)) == [
        "0"
    ]


@pytest.mark.parametrize(("user", "changes", "number"), [("suzuki", {}, "0070"), (None, {"site_text": "No points."}, "0079")])
def test_who_may_not_or_has_no_points_is_told_so(site_on_pjm, user, changes, number):
    command = TEST_JOB if user is None else TEST_JOB.replace("sudo -u rs-test ", "")
    turn(site_on_pjm.host("hub"), **changes)
    try:
        answer = on_hub(site_on_pjm, command, user or "jupyterhub")
    finally:
        turn(site_on_pjm.host("hub"), site_text="")
    assert (answer.returncode, f"PJM {number} " in answer.stderr) == (1, True)


def test_pjstat_is_the_manuals_and_how_long_it_takes(site_on_pjm):
    timed, listed = ROWS["11"][0], ROWS["13"][0]
    assert "real" in on_hub(site_on_pjm, timed).stderr
    assert on_hub(site_on_pjm, listed).stdout.splitlines()[0].count(",") == 7


def test_the_one_command_that_only_the_centre_can_try(site_on_pjm):
    assert {row for row, named in ROWS.items() if any(each.startswith("pjshowrsc") for each in named)} == NOT_HERE
    assert on_hub(site_on_pjm, ROWS["15"][0]).returncode == 127
