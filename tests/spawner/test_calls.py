"""What a session that has started says to the hub: with its key, from its node, for as long as it lives."""

import pytest

from enclave.messages import (
    Event,
    Notice,
    Phase,
    Pulse,
    PulseAnswer,
    Reason,
    Renewal,
    decode,
    encode,
)
from spawner.sessions import State
from tests.spawner.stage import refused


@pytest.mark.parametrize("verb", ["event", "outflow", "pulse", "renew"])
@pytest.mark.parametrize("key", ["", "wrong", "é"])
async def test_later_calls_need_the_key(stage, verb, key):
    await stage.started()

    body = encode(Event(phase=Phase.READY)) if verb == "event" else b""
    assert await refused(stage, body, verb, key=key) == (403, Reason.PROOF_REFUSED)
    assert stage.session.saved.state is State.STARTING


async def test_a_session_that_waits_has_no_key_at_all(stage):
    assert await refused(stage, b"", "renew", key="") == (403, Reason.PROOF_REFUSED)
    assert not stage.session.is_key("")


async def test_a_stolen_key_is_worth_nothing_from_another_address(stage):
    key = await stage.started()
    stage.session.saved.address = "127.0.0.9"

    assert await refused(stage, b"", "renew", key=key) == (403, Reason.PROOF_REFUSED)


async def test_a_certificate_is_renewed_for_the_key_of_the_start(stage):
    key = await stage.started()

    status, body = await stage.post("renew", b"{}", key=key)

    assert (status, decode(body, Renewal).ssh_certificate) == (200, "certificate 2")
    assert {each["public_key"] for each in stage.authority.signed} == {"ssh-ed25519 AAAAkey"}


async def test_a_renewal_can_not_bring_a_key_of_its_own(stage):
    key = await stage.started()

    assert (await refused(stage, b'{"ssh_public_key": "ssh-ed25519 AAAAmine"}', "renew", key=key))[0] == 400


async def test_nothing_is_renewed_for_a_session_that_is_being_ended_or_over(stage):
    key = await stage.started()
    stage.session.saved.state = State.ENDING
    assert await refused(stage, b"", "renew", key=key) == (403, Reason.CANCELLED)
    assert (await stage.post("event", encode(Event(phase=Phase.ENDED)), key=key))[0] == 204

    stage.sessions.close(stage.session)
    assert await refused(stage, b"", "renew", key=key) == (404, Reason.PROOF_REFUSED)


async def test_nothing_is_renewed_after_the_sessions_time(stage):
    key = await stage.started()
    stage.session.saved.deadline = 1.0

    assert await refused(stage, b"", "renew", key=key) == (403, Reason.TIME_UP)


async def pulsed(stage, key, **changes):
    values = {"kernels_busy": 0, "browser_s": 1.0, "gpu_busy": None, "sent": 5, **changes}
    return await stage.post("pulse", encode(Pulse(**values)), key=key)


async def test_a_pulse_is_kept_and_answered_with_what_the_session_has_to_know(stage):
    key = await stage.started()
    stage.session.notices = (Notice(id="n1", text="The power goes off at six."),)

    status, body = await pulsed(stage, key, kernels_busy=1, gpu_busy=0.25)

    answer = decode(body, PulseAnswer)
    assert (status, answer.deadline, answer.notices) == (200, stage.session.saved.deadline, stage.session.notices)
    assert answer.idle_s == 3600
    assert (stage.session.pulse.kernels_busy, stage.session.pulse.gpu_busy) == (1, 0.25)


async def test_a_flood_of_pulses_is_refused(stage):
    key = await stage.started()
    assert [(await pulsed(stage, key))[0] for _ in range(3)] == [200, 429, 429]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"kernels_busy": -1, "browser_s": 1, "gpu_busy": null, "sent": 0}',
     b'{"kernels_busy": 0, "browser_s": 1, "gpu_busy": 1.5, "sent": 0}',
     b'{"kernels_busy": 0, "browser_s": 1, "gpu_busy": null, "sent": 0, "deadline": 9e9}'],
)  # fmt: skip
async def test_a_malformed_pulse_changes_nothing(stage, body):
    key = await stage.started()
    assert (await refused(stage, body, "pulse", key=key))[0] == 400
    assert stage.session.pulse is None


async def test_nothing_is_renewed_for_a_session_in_which_nothing_goes_on(stage):
    key = await stage.started()
    await pulsed(stage, key, idle_s=3599.0)
    assert (await stage.post("renew", b"", key=key))[0] == 200
    stage.session.pulse_time = 0.0
    await pulsed(stage, key, idle_s=3600.0)
    assert await refused(stage, b"", "renew", key=key) == (403, Reason.IDLE)
