"""What the call-back's listener says of calls that it does not believe."""

import logging

import msgspec

from enclave.messages import Reason, encode
from spawner import listener
from tests.spawner.stage import refused


def test_a_flood_of_refused_calls_does_not_fill_the_log(caplog):
    clock = [0.0]
    refusals = listener.Refusals(logging.getLogger("flood"), lambda: clock[0])
    for _ in range(10_000):
        refusals.tell("start", "unknown", "10.77.1.13", "no such session")
    assert len(caplog.records) == listener.LOGGED + 1

    clock[0] = listener.LOGGED_S + 1
    refusals.tell("start", "unknown", "10.77.1.13", "no such session")
    assert [each.getMessage() for each in caplog.records[-2:]] == [
        "9900 further calls were refused and not logged",
        "Refused start of session unknown from 10.77.1.13: 'no such session'",
    ]


async def test_a_call_that_is_not_believed_is_logged_with_its_reason(stage, caplog):
    assert (await stage.post("start", b"{}", session="a" * 16))[0] == 404

    assert "Refused start of session unknown from 127.0.0.1: 'no such session'" in caplog.text


async def test_what_a_stranger_was_refused_is_not_why_a_job_ends_that_was_let_in(stage):
    stranger = msgspec.structs.replace(stage.start(), ssh_public_key="ssh-ed25519 AAAAmine")
    assert await refused(stage, encode(stranger)) == (403, Reason.PROOF_REFUSED)

    await stage.started()
    assert await refused(stage, encode(stranger)) == (409, Reason.PROOF_REFUSED)

    assert stage.session.refused is None
