"""What a job says is wrong with its node: a refusal before anything is signed, or a banner; always in the audit."""

import json

import msgspec
import pytest

from enclave.messages import Check, Finding, FindingLevel, Reason, Welcome, decode, encode
from phrases import translator
from spawner import fitness, reasons
from spawner.audit import AuditError
from spawner.sessions import State, Step
from tests.spawner.stage import refused

SWAP = Finding(check=Check.SWAP, level=FindingLevel.BANNER, detail="swap is on: /dev/dm-1")
WALLS = Finding(check=Check.WALLS, level=FindingLevel.REFUSE, detail="interface eth0\x1b[31m")


def start(stage, *findings: Finding) -> bytes:
    return encode(stage.start(findings=findings))


def audited(stage) -> list[tuple[str, str]]:
    lines = map(json.loads, stage.audit.read_text().splitlines())
    return [(each["check"], each["level"]) for each in lines if each["event"] == "node-finding"]


async def test_a_node_that_is_not_fit_gets_no_certificate(stage):
    assert await refused(stage, start(stage, SWAP, WALLS)) == (403, Reason.NODE_UNFIT)

    assert stage.authority.signed == []
    assert stage.session.failure[0] is Reason.NODE_UNFIT
    assert stage.session.unfit is Check.WALLS
    assert "cx01 fails walls" in stage.session.failure[1]
    assert "\x1b" not in stage.session.failure[1]
    assert stage.session.saved.state is State.QUEUED
    assert audited(stage) == [("swap", "banner"), ("walls", "refuse")]
    assert Step.CERTIFICATE not in [note.step for note in stage.session.notes]


async def test_what_a_demonstration_lowers_is_written_down_and_said_for_as_long_as_the_session_lasts(stage):
    status, body = await stage.post("start", start(stage, SWAP))

    assert status == 200
    assert decode(body, Welcome).notice == translator("ja")(reasons.DEMONSTRATION)
    assert audited(stage) == [("swap", "banner")]


async def test_the_levels_are_the_sites_not_the_jobs(stage):
    lenient = msgspec.structs.replace(WALLS, level=FindingLevel.BANNER)

    assert await refused(stage, start(stage, lenient)) == (403, Reason.NODE_UNFIT)
    assert audited(stage) == [("walls", "refuse")]


async def test_a_job_may_be_stricter_than_the_site(stage):
    assert await refused(stage, start(stage, msgspec.structs.replace(SWAP, level=FindingLevel.REFUSE))) == (403, Reason.NODE_UNFIT)


async def test_a_credential_vouches_for_what_it_was_made_with(stage):
    proved = stage.start(findings=(WALLS,))

    assert await refused(stage, encode(msgspec.structs.replace(proved, findings=()))) == (403, Reason.PROOF_REFUSED)


async def test_a_finding_that_can_not_be_written_down_stops_the_session(stage, monkeypatch):
    def full(*_args, **_fields):
        raise AuditError("no space")

    monkeypatch.setattr("spawner.audit.Audit.record", full)

    assert await refused(stage, start(stage, SWAP)) == (503, Reason.INTERNAL)
    assert stage.authority.signed == []


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("check", list(Check))
def test_every_finding_has_its_sentence(check, language):
    said = reasons.sentence(Reason.NODE_UNFIT, language, check)

    assert said.startswith(translator(language)(reasons.UNFIT[check]))
    assert said.endswith("。" if language == "ja" else ".")
    assert said.count("。" if language == "ja" else ". ") >= 2
    assert said != reasons.sentence(Reason.NODE_UNFIT, language)


def test_the_job_scripts_own_finding_is_one_that_nothing_lowers():
    assert (fitness.NO_NAMESPACES.check, fitness.NO_NAMESPACES.level) == (Check.NAMESPACES, FindingLevel.REFUSE)
