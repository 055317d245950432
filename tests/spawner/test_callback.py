"""What jobs say to the hub: the job that was submitted gets everything, once; everybody else gets a refusal."""

import asyncio
import datetime as dt
import json
import ssl
import subprocess

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import (
    BODY_LIMIT,
    Event,
    Level,
    Outflow,
    Phase,
    Reason,
    Refusal,
    Start,
    Welcome,
    binding,
    decode,
    encode,
)
from spawner.callback import OUTFLOWS
from spawner.firstcall import known_hosts
from spawner.schedulers.base import JobState, JobStatus
from spawner.sessions import State, Step
from tests.spawner.stage import JOB, refused, tls_request


async def test_the_job_that_was_submitted_is_welcome(stage):
    status, body = await stage.post("start", encode(stage.start()))

    welcome = decode(body, Welcome)
    assert status == 200
    assert (welcome.user, welcome.language, welcome.base_url) == ("tanaka", "ja", "/user/tanaka/")
    assert welcome.environment["JUPYTERHUB_SERVICE_URL"] == "https://127.0.0.1:12345/user/tanaka/"
    assert welcome.ssh_certificate == "certificate 1"
    assert welcome.destination.host_keys == "cloud ssh-ed25519 AAAAC3Nz\n"
    assert (welcome.destination.account, welcome.destination.folder) == ("jrs0017", "people/jrs0017")
    assert stage.authority.signed == [
        {"user": "tanaka", "destination": "cloud", "session": stage.session.id, "public_key": "ssh-ed25519 AAAAkey"}
    ]
    assert stage.session.saved.state is State.STARTING
    assert [json.loads(line)["event"] for line in stage.audit.read_text().splitlines()] == ["session-start"]


async def test_a_site_that_keeps_no_pictures_in_notebooks_says_so_to_the_session(stage):
    session = msgspec.structs.replace(stage.site.session, still_pictures=False)
    stage.callback.first.site = msgspec.structs.replace(stage.site, session=session)

    _, body = await stage.post("start", encode(stage.start()))

    assert not decode(body, Welcome).still_pictures


async def test_the_certificates_names_come_from_the_batch_system_and_not_from_the_job(stage):
    _, body = await stage.post("start", encode(stage.start(tls_request=tls_request(name="hub"))))

    certificate = x509.load_pem_x509_certificate(decode(body, Welcome).tls_certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cx01"]
    assert "127.0.0.1" in {str(each) for each in names.get_values_for_type(x509.IPAddress)}
    assert certificate.subject.rfc4514_string() == f"CN=renkei-{stage.session.id}"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) < dt.timedelta(days=7, hours=2)


async def test_a_second_start_is_refused_and_changes_nothing(stage):
    key = await stage.started()

    assert await refused(stage, encode(stage.start())) == (409, Reason.PROOF_REFUSED)
    assert (await stage.post("event", encode(Event(phase=Phase.MOUNT)), key=key))[0] == 204
    assert len(stage.authority.signed) == 1


async def test_of_two_starts_at_once_one_wins(stage):
    bodies = [encode(stage.start()), encode(stage.start())]

    answers = await asyncio.gather(*(stage.post("start", body) for body in bodies))

    assert sorted(status for status, _ in answers) == [200, 409]


async def test_a_munge_credential_works_once(stage):
    first = stage.start()
    stage.authority.down = True
    assert await refused(stage, encode(first)) == (503, Reason.AUTHORITY_DOWN)
    stage.session.saved.state, stage.session.failure = State.QUEUED, None
    stage.authority.down = False

    assert await refused(stage, encode(first)) == (403, Reason.PROOF_REFUSED)
    assert "exit code 17" in stage.session.refused[1]


async def test_a_credential_can_not_be_moved_to_another_key(stage):
    proved = stage.start()
    moved = msgspec.structs.replace(proved, ssh_public_key="ssh-ed25519 AAAAmine")

    assert await refused(stage, encode(moved)) == (403, Reason.PROOF_REFUSED)
    assert stage.authority.signed == []


async def test_another_persons_job_is_not_this_session(stage):
    stage.session.saved.uid += 1

    assert await refused(stage, encode(stage.start())) == (403, Reason.PROOF_REFUSED)
    assert "uid" in stage.session.refused[1]
    assert stage.scheduler.asked == []
    assert stage.session.saved.state is State.QUEUED


async def test_another_job_is_not_this_session(stage):
    assert await refused(stage, encode(stage.start(job="4712"))) == (403, Reason.PROOF_REFUSED)
    assert stage.scheduler.asked == []


async def test_a_call_from_another_node_is_refused(stage):
    stage.scheduler.addresses = ("127.0.0.2", stage.munge.host) if stage.munge.host != "127.0.0.1" else ("127.0.0.2",)

    assert await refused(stage, encode(stage.start())) == (403, Reason.PROOF_REFUSED)


async def test_a_credential_from_another_node_is_refused(stage, monkeypatch):
    start = stage.start()
    monkeypatch.setattr("spawner.firstcall.unmunge", _elsewhere(binding(start)))

    assert await refused(stage, encode(start)) == (403, Reason.PROOF_REFUSED)
    assert "proved by 10.9.9.9" in stage.session.refused[1]


def _elsewhere(payload):
    from os import getuid

    from spawner.proof import Credential

    async def unmunge(_command, _credential):
        return Credential(getuid(), "10.9.9.9", payload)

    return unmunge


@pytest.mark.parametrize("status", [None, *(JobStatus(state=state) for state in JobState)])
async def test_a_job_that_does_not_run_anywhere_is_refused(stage, status, monkeypatch):
    monkeypatch.setattr("spawner.firstcall.TAKEN_UP_S", 0.3)
    monkeypatch.setattr("spawner.firstcall.JOB_KNOWN_S", 0.3)
    stage.scheduler.jobs = {JOB: status} if status else {}

    assert await refused(stage, encode(stage.start())) == (403, Reason.PROOF_REFUSED)


async def test_a_call_from_outside_the_nodes_networks_is_refused(stage):
    group = msgspec.structs.replace(stage.site.resource_group[0], subnets=("10.77.1.0/24",))
    stage.callback.first.site = msgspec.structs.replace(stage.site, resource_group=(group,))

    assert await refused(stage, encode(stage.start())) == (403, Reason.PROOF_REFUSED)


@pytest.mark.parametrize("session", ["zzzzzzzz12345678", "0000000000000000"])
async def test_an_unknown_session_is_refused(stage, session):
    assert await refused(stage, encode(stage.start()), session=session) == (404, Reason.PROOF_REFUSED)


async def test_a_body_about_another_session_is_refused(stage):
    stage.add("other00012345678")

    assert await refused(stage, encode(stage.start()), session="other00012345678") == (403, Reason.PROOF_REFUSED)


async def test_a_start_after_the_person_gave_up_is_refused(stage):
    stage.session.fail(Reason.START_TIMEOUT, "too late")

    assert (await refused(stage, encode(stage.start())))[0] == 409


async def test_who_gives_up_while_the_certificate_is_signed_gets_none(stage, monkeypatch):
    sign = stage.authority.sign

    async def slowly(**wish):
        stage.session.saved.state = State.ENDING
        return await sign(**wish)

    monkeypatch.setattr(stage.authority, "sign", slowly)

    assert (await refused(stage, encode(stage.start())))[0] == 409


async def test_a_start_after_a_restart_of_the_hub_is_refused(stage, monkeypatch):
    monkeypatch.setattr("spawner.firstcall.TAKEN_UP_S", 0.3)
    stage.session.environment = None

    assert (await refused(stage, encode(stage.start())))[0] == 409


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[" * 20_000, b"\xff\xfe", b'{"session": 1}', b"a" * BODY_LIMIT])
async def test_a_malformed_body_is_refused(stage, body):
    assert await refused(stage, body) == (400, Reason.PROOF_REFUSED)


async def test_an_unknown_field_is_refused(stage):
    body = msgspec.json.decode(encode(stage.start()))

    assert (await refused(stage, msgspec.json.encode({**body, "uid": 0})))[0] == 400


async def test_an_oversized_body_is_not_read(stage):
    status, answer = await stage.post("start", b"a" * (4 * BODY_LIMIT))

    assert (status, answer) == (400, b"")
    assert stage.session.refusals == 0
    assert await stage.started()


@pytest.mark.parametrize("path", ["/", "/v1/sessions/", "/v1/sessions/abcdefgh12345678/other", "/v1/sessions/../start"])
async def test_there_is_no_other_route(stage, path):
    async with aiohttp.ClientSession() as http, http.post(stage.url + path, data=b"", ssl=stage.trust) as answer:
        assert (answer.status, decode(await answer.read(), Refusal).reason) == (404, Reason.PROOF_REFUSED)


async def test_only_the_orders_authority_is_believed(stage):
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await stage.post("start", b"", client=ssl.create_default_context())


@pytest.mark.parametrize("request_text", ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"])
async def test_what_is_no_signing_request_is_refused(stage, request_text):
    assert await refused(stage, encode(stage.start(tls_request=request_text))) == (403, Reason.PROOF_REFUSED)


async def test_a_weak_key_is_not_signed(stage):
    weak = tls_request(rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505  (it is to be refused)

    assert await refused(stage, encode(stage.start(tls_request=weak))) == (403, Reason.PROOF_REFUSED)
    assert stage.authority.signed == []


async def test_without_the_authority_the_session_fails_with_that_reason(stage):
    stage.authority.down = True

    assert await refused(stage, encode(stage.start())) == (503, Reason.AUTHORITY_DOWN)
    assert stage.session.failure is not None
    assert stage.session.failure[0] is Reason.AUTHORITY_DOWN


async def test_without_the_audit_nothing_is_given(stage):
    stage.audit.mkdir()

    status, body = await stage.post("start", encode(stage.start()))

    assert (status, decode(body, Refusal).reason) == (503, Reason.INTERNAL)


async def test_events_tell_the_person_how_far_it_is(stage):
    key = await stage.started()

    for phase in (Phase.MOUNT, Phase.SERVER, Phase.READY):
        assert (await stage.post("event", encode(Event(phase=phase)), key=key))[0] == 204

    steps = [Step.RUNNING, Step.PREFLIGHT, Step.CERTIFICATE, Step.MOUNT, Step.SERVER, Step.READY]
    assert [note.step for note in stage.session.notes] == steps
    assert stage.session.saved.state is State.RUNNING


async def test_a_failure_is_told_with_its_reason(stage):
    key = await stage.started()

    await stage.post("event", encode(Event(phase=Phase.FAILED, reason=Reason.HOST_KEY_CHANGED, detail="\x1b[31mx\n")), key=key)

    assert stage.session.failure == (Reason.HOST_KEY_CHANGED, "the job says: '\\x1b[31mx\\n'")


async def test_a_running_session_says_why_it_ends_and_its_first_word_counts(stage):
    key = await stage.started()
    for event in (Event(phase=Phase.READY), Event(phase=Phase.ENDING, reason=Reason.IDLE), Event(phase=Phase.ENDED)):
        assert (await stage.post("event", encode(event), key=key))[0] == 204
    assert stage.session.own_reason is Reason.IDLE


async def test_a_session_ends_before_the_batch_system_loses_its_patience(stage):
    await stage.started()
    assert stage.session.saved.deadline == stage.scheduler.jobs[JOB].ends - 60


async def test_what_went_to_the_browser_is_audited_and_taken_from_the_day(stage):
    key = await stage.started()
    for level, sent in ((Level.WARNING, 800), (Level.USED_UP, 1000)):
        assert (await stage.post("outflow", encode(Outflow(level=level, sent=sent)), key=key))[0] == 204
    lines = [json.loads(line) for line in stage.audit.read_text().splitlines()]
    told = [(line["user"], line["level"], line["sent"], line["day"]) for line in lines if line["event"] == "browser-outflow"]
    assert told == [("tanaka", "warning", 800, 800), ("tanaka", "used-up", 1000, 1000)]
    assert stage.callback.outflows.of("tanaka") == 1000


async def test_a_flood_of_reports_does_not_fill_the_audit(stage):
    key = await stage.started()
    report = encode(Outflow(level=Level.FINE, sent=1))
    found = [(await stage.post("outflow", report, key=key))[0] for _ in range(OUTFLOWS + 2)]
    assert found == [204] * OUTFLOWS + [429] * 2


async def test_a_flood_of_refused_calls_does_not_fill_the_audit(stage):
    for _ in range(30):
        await refused(stage, b"{}")

    assert len(stage.audit.read_text().splitlines()) == 20


async def test_no_secret_of_a_call_reaches_the_log(stage, caplog):
    caplog.set_level("DEBUG")
    start = stage.start()
    await stage.post("start", encode(start))
    await refused(stage, encode(start))
    await refused(stage, b'{"munge": "MUNGE:secret:"}')

    assert start.munge not in caplog.text
    assert "secret" not in caplog.text
    assert "Refused start" in caplog.text


def test_a_binding_changes_with_every_part_that_the_proof_vouches_for():
    start = Start(session="a" * 16, job="1", ssh_public_key="k", tls_request="r", port=2000)
    others = [{"session": "b" * 16}, {"job": "2"}, {"ssh_public_key": "l"}, {"tls_request": "s"}, {"port": 2001}]

    assert len({binding(msgspec.structs.replace(start, **other)) for other in others} | {binding(start)}) == len(others) + 1


@given(st.lists(st.sampled_from(["ssh-ed25519 AAAA", "ssh-rsa BBBB comment", "", "# note", "word"])))
def test_known_hosts_lines_are_of_the_alias_alone(lines):
    for line in known_hosts("cloud", "\n".join(lines)).splitlines():
        alias, kind, key = line.split(" ")
        assert (alias, kind.startswith("ssh-"), key in {"AAAA", "BBBB"}) == ("cloud", True, True)


def test_openssl_accepts_the_chain(tmp_path, authorities):
    from cryptography.hazmat.primitives.asymmetric import ec

    from spawner.tls import InternalAuthority

    authority = InternalAuthority(str(authorities), "notebooks-ca")
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ca.pem").write_text(authority.pem)
    until = dt.datetime.now(dt.UTC).timestamp() + 60
    (tmp_path / "leaf.pem").write_text(authority.sign(key, name="x", addresses=("10.77.1.11",), hosts=("cx01",), until=until))

    for purpose in ("sslserver", "sslclient"):
        check = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", tmp_path / "ca.pem", tmp_path / "leaf.pem"]
        answer = subprocess.run(check, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
