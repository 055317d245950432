"""The hub's line to a data owner: the owner's own program at the other end of a pipe, in the place of ssh."""

import asyncio
import contextlib
import json
import logging
import sys
import time

import pytest

from dataowner import revocations
from enclave.messages import Reason
from spawner.owner.line import Line, LineDownError, LineRefusedError, command
from spawner.owner.owners import Owner, OwnerDownError, OwnerEndedError, OwnerRefusedError
from spawner.owner.protocol import Live, Stored, Why, WitnessRequest
from spawner.site import OwnerSite
from tests.dataowner.owners import OTHER, SESSION, OwnersSide

HERE = Live(session=SESSION, account="jrs0017", user="tanaka")
SERVE = """
import sys
from pathlib import Path
from dataowner import control
from dataowner.places import Places
control.serve(sys.stdin.buffer, sys.stdout.buffer, Places(Path(sys.argv[1])))
"""


@pytest.fixture
def side(tmp_path) -> OwnersSide:
    return OwnersSide(tmp_path)


@pytest.fixture
async def line(side):
    """A line to `side`."""
    side.places.live.write_text(json.dumps({"time": time.time(), "connections": []}))
    made = Line([sys.executable, "-c", SERVE, str(side.places.root)])
    yield made
    await made.close()


def owner_of(side, line, live=(HERE,), ended=lambda _session, _why: None) -> Owner:
    site = OwnerSite(control_key="/nowhere", statement_key=str(side.key))
    return Owner("cloud", site, line, live=lambda: live, ended=ended, log=logging.getLogger("owner"))


def believed(side) -> set[str]:
    """The sessions that the owner's last statement says are alive."""
    from dataowner import statement

    return {session for each in statement.current(side.places, set()) for session in each.statement.live}


async def test_an_announced_session_is_known_to_the_owner_when_announce_returns(side, line):
    await owner_of(side, line).announce(SESSION)

    assert believed(side) == {SESSION}


async def test_a_session_that_the_owner_does_not_have_is_not_announced(side, line):
    stranger = Live(session=OTHER, account="curator", user="tanaka")
    with pytest.raises(OwnerEndedError) as caught:
        await owner_of(side, line, (HERE, stranger)).announce(OTHER)
    assert caught.value.why is Why.NO_GRANT


async def test_the_owners_word_reaches_the_hub_with_the_next_push(side, line):
    told = []
    owner = owner_of(side, line, ended=lambda session, why: told.append((session, why)))
    await owner.announce(SESSION)
    assert told == []
    revocations.add(side.places, ("session", SESSION))

    with pytest.raises(OwnerEndedError):
        await owner.announce(SESSION)
    assert told == [(SESSION, Why.REVOKED)]


async def test_what_is_over_is_said_to_be_over(side, line):
    from dataowner import statement

    owner = owner_of(side, line)
    owner.over(OTHER)
    await owner.announce(SESSION)

    assert statement.current(side.places, set())[0].statement.over == {OTHER}


async def test_a_hub_whose_key_the_owner_does_not_know_gets_nothing(side, line):
    side.places.signers.write_text("")
    with pytest.raises(OwnerRefusedError, match="nobody whom the owner knows"):
        await owner_of(side, line).announce(SESSION)


async def test_without_its_key_the_hub_says_nothing(side, line):
    side.key.unlink()
    with pytest.raises(OwnerDownError, match="ssh-keygen"):
        await asyncio.wait_for(owner_of(side, line)._push(), 5)


async def test_witness_and_documents(side, line):
    owner = owner_of(side, line)
    assert (await owner.witness(SESSION)).connections == 0
    stored = await owner.store(SESSION, "残存なし\n")

    assert isinstance(stored, Stored)
    assert (side.places.documents / SESSION / stored.digest).read_text() == "残存なし\n"


async def test_a_connection_that_ends_is_made_again(side, line):
    owner = owner_of(side, line)
    await owner.announce(SESSION)
    line._ssh.kill()
    await line._ssh.wait()

    await owner.announce(SESSION)
    assert believed(side) == {SESSION}


async def test_silence_is_given_up_and_tried_again_soon(side, tmp_path):
    """The first program never answers: the line that is cut while a question is under way."""
    mark = tmp_path / "mark"
    silent_once = f"import os, sys, time\nif not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); time.sleep(60)\n{SERVE}"
    line = Line([sys.executable, "-c", silent_once, str(side.places.root)])
    begun = time.monotonic()
    with pytest.raises(LineDownError):
        await line.ask(WitnessRequest(session=SESSION))
    assert 4 < time.monotonic() - begun < 7
    side.places.live.write_text(json.dumps({"time": time.time(), "connections": []}))
    assert (await line.ask(WitnessRequest(session=SESSION))).session == SESSION
    await line.close()


async def test_a_question_that_is_given_up_does_not_leave_its_answer_to_the_next(side, line):
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(line.ask(WitnessRequest(session=OTHER)), 0.001)

    assert (await line.ask(WitnessRequest(session=SESSION))).session == SESSION


async def test_who_says_no_is_not_asked_again(side, line):
    side.places.revoked.unlink()
    with pytest.raises(LineDownError, match="can't answer now"):
        await line.ask(WitnessRequest(session=SESSION))
    begun = time.monotonic()
    with pytest.raises(LineRefusedError, match="no session's name"):
        await line.ask(WitnessRequest(session="not-a-session"), patience=30)
    assert time.monotonic() - begun < 5


async def test_whatever_is_no_answer_is_none():
    for said in ("{}", "x" * 2_000_000, '{"answer": "pushed"}', ""):
        line = Line([sys.executable, "-c", f"import sys; sys.stdin.readline(); print({said!r})"])
        with pytest.raises(LineDownError):
            await line.ask(WitnessRequest(session=SESSION))
        await line.close()


async def test_a_gateway_that_can_not_be_reached_is_given_up_quickly():
    line = Line(["/usr/bin/false"], ("192.0.2.1", 2201))
    begun = time.monotonic()
    with pytest.raises(LineDownError):
        await line.ask(WitnessRequest(session=SESSION))
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Host key verification failed.", Reason.HOST_KEY_CHANGED),
        ("ssh: connect to host 10.77.2.1 port 2202: Connection refused", Reason.GATEWAY_REFUSED),
        ("ssh: connect to host 10.77.2.1 port 2202: Connection timed out", Reason.DESTINATION_DOWN),
        ("renkei-control@10.77.2.1: Permission denied (publickey).", Reason.OWNER_DOWN),
        ("", Reason.OWNER_DOWN),
    ],
)
async def test_why_there_is_no_line_is_what_ssh_says(said, reason):
    line = Line(["/bin/sh", "-c", f"echo '{said}' >&2; exit 255"])
    with pytest.raises(LineDownError) as caught:
        await line.ask(WitnessRequest(session=SESSION))
    assert caught.value.reason is reason


async def test_a_port_that_nobody_listens_at_is_a_gateway_that_refuses():
    with pytest.raises(LineDownError) as caught:
        await Line(["/usr/bin/false"], ("127.0.0.1", 1)).ask(WitnessRequest(session=SESSION))
    assert caught.value.reason is Reason.GATEWAY_REFUSED


async def test_the_pusher_goes_on_whatever_happens_and_says_it_once(side, line, caplog):
    caplog.set_level(logging.INFO)
    faults = [ValueError("a bug"), None, None]

    def live():
        fault = faults.pop(0) if faults else None
        if fault:
            raise fault
        return (HERE,)

    owner = owner_of(side, line)
    owner._live = live
    signers = side.places.signers.read_text()
    side.places.signers.write_text("")
    pushing = asyncio.ensure_future(owner.run())
    await asyncio.sleep(4)
    side.places.signers.write_text(signers)
    await asyncio.sleep(4)
    pushing.cancel()

    assert believed(side) == {SESSION}
    said = [record.message for record in caplog.records if record.name == "owner"]
    assert sum("until it answers no session goes on" in each for each in said) == 1
    assert said[-1] == "The owner's side at cloud answers again"


def test_ssh_is_told_one_key_one_host_key_and_nothing_of_the_accounts(tmp_path):
    pinned = tmp_path / "hosts"
    argv = command(gateway="10.77.2.1", port=2201, account="renkei-control", alias="cloud", key="/k", known_hosts=pinned)

    assert argv[:4] == ["/usr/bin/ssh", "-F", "none", "-T"]
    assert argv[-2:] == ["renkei-control@10.77.2.1", "control"]
    assert {"StrictHostKeyChecking=yes", "IdentityAgent=none", "HostKeyAlias=cloud", "BatchMode=yes"} <= set(argv)
