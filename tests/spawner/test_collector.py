"""How the parts of a residue statement come together at the hub, and who is believed about them."""

import asyncio
import itertools
import json
import time

import aiohttp
import msgspec
import pytest

from enclave.messages import Epilog, Reason, Refusal, decode, encode
from spawner.audit.line import parse as parse_line
from spawner.owner.signing import SignatureError
from spawner.residue import signing
from spawner.residue.__main__ import main
from spawner.residue.signing import signature, signer
from spawner.residue.statement import Doubt, Verdict, parse
from spawner.schedulers.base import JobState, JobStatus
from tests.spawner.stage import JOB
from tests.spawner.witnesses import ENCLAVE, EPILOG, FOUND

replace = msgspec.structs.replace


def credential(stage, report=EPILOG):
    return encode(Epilog(munge=stage.munge.credential(encode(report).decode())))


async def epilog(stage, body, job=JOB):
    url = f"{stage.url}/v1/jobs/{job}/epilog"
    async with aiohttp.ClientSession() as http, http.post(url, data=body, ssl=stage.trust) as answer:
        return answer.status, await answer.read()


def end(stage):
    """The batch system says that the job is over, and the hub closes the session."""
    stage.scheduler.jobs[JOB] = JobStatus(state=JobState.ENDED, node="cx01", ends=30.0)
    stage.sessions.close(stage.session)
    stage.residue.closed(stage.session, Reason.CANCELLED)


async def made(stage, seconds=10):
    path = stage.residue.folder / f"{stage.session.id}.json"
    until = time.monotonic() + seconds
    while not path.exists() or (stage.residue.folder / "pending" / path.name).exists():
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    return path


def audited(stage, event):
    return [each for line in stage.audit.read_text().splitlines() if (each := json.loads(line))["event"] == event]


def chain(path, until):
    """The chain's head before the first event called `until`."""
    before = itertools.takewhile(lambda line: json.loads(line)["event"] != until, path.read_bytes().splitlines())
    return [parse_line(line) for line in before][-1].head


async def test_from_both_reports_to_a_statement_that_can_be_checked(stage, tmp_path):
    key = await stage.started()
    assert (await stage.post("residue", encode(ENCLAVE), key=key))[0] == 204
    assert (await epilog(stage, credential(stage)))[0] == 204
    end(stage)

    path = await made(stage)

    found = parse(path.read_bytes())
    assert (found.verdict, found.enclave, found.epilog, found.cloud) == (Verdict.CLEAN, ENCLAVE, EPILOG, None)
    assert found.hub.audit == str(chain(stage.audit, until="residue-statement"))
    assert (found.hub.certificates, found.hub.first_serial, found.hub.ended_at) == (1, 1, 30.0)
    assert [(each["verdict"], each["session"]) for each in audited(stage, "residue-statement")] == [("clean", stage.session.id)]
    signers = tmp_path / "signers"
    signers.write_text(f"hub {(stage.residue.folder / 'key.pub').read_text()}")
    assert main(["verify", str(path), "--signers", str(signers)]) == 0
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_was_found_alarms(stage, caplog):
    key = await stage.started()
    await stage.post("residue", encode(replace(ENCLAVE, looks=FOUND)), key=key)
    await epilog(stage, credential(stage))
    end(stage)

    path = await made(stage)

    assert parse(path.read_bytes()).verdict is Verdict.RESIDUE
    assert len(audited(stage, "residue-alarm")) == 1
    assert [each.levelname for each in caplog.records if "RESIDUE" in each.getMessage()] == ["CRITICAL"]
    assert stage.residue.counts == {Verdict.RESIDUE: 1}


async def test_a_session_of_which_nobody_spoke_was_not_inspected(stage):
    await stage.started()
    end(stage)
    assert parse((await made(stage)).read_bytes()).doubts == (Doubt.NOBODY_LOOKED, Doubt.GPU)


async def test_a_session_that_got_no_certificate_has_no_statement(stage):
    end(stage)
    await asyncio.sleep(0.2)
    assert not stage.residue.folder.exists()


async def test_a_hub_that_stops_in_between_goes_on_at_its_next_start(stage):
    key = await stage.started()
    await stage.post("residue", encode(ENCLAVE), key=key)
    end(stage)
    stage.residue.stop()
    await asyncio.sleep(0)
    assert not (stage.residue.folder / f"{stage.session.id}.json").exists()

    stage.residue._cases.clear()
    stage.residue.resume()

    assert parse((await made(stage)).read_bytes()).verdict is Verdict.CLEAN


@pytest.mark.parametrize("change", [{"job": "4712"}, {"uid": 12345}])
async def test_an_epilog_that_speaks_of_another_job_is_not_believed(stage, change):
    await stage.started()
    status, body = await epilog(stage, credential(stage, replace(EPILOG, **change)))
    assert (status, decode(body, Refusal).reason) == (403, Reason.PROOF_REFUSED)


async def test_an_epilog_without_roots_credential_or_of_no_session_is_not_believed(stage):
    await stage.started()
    body = credential(stage)
    asked = list(stage.scheduler.asked)
    assert (await epilog(stage, body, "4712"))[0] == 403
    assert (await epilog(stage, encode(Epilog(munge="MUNGE:" + "A" * 64 + ":"))))[0] == 403
    assert (await epilog(stage, b"{}"))[0] == 400
    assert stage.scheduler.asked == asked
    assert (await epilog(stage, body))[0] == 204


async def test_the_right_words_of_another_account_are_not_roots(stage, tmp_path):
    await stage.started()
    asked = list(stage.scheduler.asked)
    somebody = tmp_path / "unmunge"
    somebody.write_text(f"#!/bin/sh\nprintf 'STATUS: 0\nENCODE_HOST: 127.0.0.1\nUID: 20101\n\n%s' '{encode(EPILOG).decode()}'\n")
    somebody.chmod(0o755)
    stage.residue._unmunge = str(somebody)
    assert (await epilog(stage, credential(stage)))[0] == 403
    assert stage.scheduler.asked == asked


async def test_an_epilog_of_another_node_is_not_believed(stage):
    await stage.started()
    stage.scheduler.addresses = ("10.9.9.9",)
    assert (await epilog(stage, credential(stage)))[0] == 403


async def test_the_first_report_counts(stage):
    key = await stage.started()
    await stage.post("residue", encode(replace(ENCLAVE, looks=FOUND)), key=key)
    assert (await stage.post("residue", encode(ENCLAVE), key=key))[0] == 409
    await epilog(stage, credential(stage))
    assert (await epilog(stage, credential(stage)))[0] == 403


@pytest.mark.parametrize("change", [{"session": "bbbbbbbb12345678"}, {"job": "4712"}])
async def test_a_job_speaks_of_its_own_session_alone(stage, change):
    key = await stage.started()
    assert (await stage.post("residue", encode(replace(ENCLAVE, **change)), key=key))[0] == 409
    assert (await stage.post("residue", encode(ENCLAVE), key="another"))[0] == 403


async def test_sessions_that_end_together_where_there_is_no_key_yet_are_signed_with_one(tmp_path):
    signed = await asyncio.gather(*(signature(f"document {number}", None, tmp_path / "statements") for number in range(6)))

    signers = tmp_path / "signers"
    signers.write_text(f"hub {(tmp_path / 'statements' / 'key.pub').read_text()}")
    for number, text in enumerate(signed):
        (tmp_path / "sig").write_text(text)
        assert signer(f"document {number}".encode(), tmp_path / "sig", signers) == "hub"


@pytest.mark.parametrize("tool", ["#!/bin/sh\nexec sleep 5\n", None])
async def test_an_ssh_keygen_that_does_not_end_or_is_not_there_makes_no_key_and_believes_nobody(tmp_path, monkeypatch, tool):
    path = tmp_path / "ssh-keygen"
    if tool:
        path.write_text(tool)
        path.chmod(0o700)
    monkeypatch.setattr(signing, "SSH_KEYGEN", str(path))
    monkeypatch.setattr(signing, "KEYGEN_S", 0.2)
    with pytest.raises(SignatureError, match="made no key"):
        await signature("text", None, tmp_path / "statements")
    assert signer(b"text", tmp_path / "signature", tmp_path / "signers") is None
