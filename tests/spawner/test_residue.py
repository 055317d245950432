"""The verdict on what witnesses say of a session's end, the statement that is made of it, and how it is checked."""

import json
import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Scrub, Trace
from spawner.owner.protocol import DOCUMENT_NAMESPACE
from spawner.residue.__main__ import main
from spawner.residue.statement import BadStatementError, Doubt, Statement, Verdict, judge, parse, text
from tests.spawner.witnesses import CLOUD, ENCLAVE, EPILOG, FOUND, HUB, LOOKS

replace = msgspec.structs.replace


def blind(part, trace):
    return replace(part, looks=tuple(replace(look, seen=look.trace is not trace) for look in part.looks))


CLEAN = [
    (HUB, ENCLAVE, EPILOG, CLOUD),
    (HUB, ENCLAVE, None, CLOUD),
    (HUB, None, EPILOG, CLOUD),
    (HUB, ENCLAVE, None, None),
    (HUB, blind(ENCLAVE, Trace.PROCESSES), EPILOG, None),
    (HUB, replace(ENCLAVE, gpu=Scrub.DONE), EPILOG, None),
    (HUB, replace(ENCLAVE, gpu=Scrub.FAILED), replace(EPILOG, gpu=Scrub.DONE), None),
    (HUB, replace(ENCLAVE, mounted=None, unmounted=None), None, None),
]
NOT_INSPECTED = [
    (HUB, None, None, CLOUD, Doubt.NOBODY_LOOKED),
    (HUB, None, replace(EPILOG, alone=False), CLOUD, Doubt.NOBODY_LOOKED),
    (HUB, replace(ENCLAVE, unmounted=None), None, CLOUD, Doubt.NOBODY_LOOKED),
    (HUB, replace(ENCLAVE, looks=()), None, CLOUD, Doubt.NOBODY_LOOKED),
    (HUB, replace(ENCLAVE, looks=LOOKS[1:]), None, CLOUD, Doubt.NOBODY_LOOKED),
    *((HUB, blind(ENCLAVE, trace), blind(EPILOG, trace), CLOUD, Doubt.NOBODY_LOOKED) for trace in Trace),
    (replace(HUB, ended=False), ENCLAVE, EPILOG, CLOUD, Doubt.NOT_ENDED),
    (HUB, ENCLAVE, EPILOG, replace(CLOUD, open=1), Doubt.CONNECTED),
    (HUB, replace(ENCLAVE, gpu=Scrub.FAILED), None, CLOUD, Doubt.GPU),
    (HUB, replace(ENCLAVE, gpu=Scrub.FAILED), EPILOG, CLOUD, Doubt.GPU),
    (HUB, None, replace(EPILOG, gpu=Scrub.FAILED), CLOUD, Doubt.GPU),
]
RESIDUE = [
    (HUB, replace(ENCLAVE, looks=FOUND), EPILOG, CLOUD),
    (HUB, ENCLAVE, replace(EPILOG, looks=FOUND), CLOUD),
    (replace(HUB, ended=False), None, replace(EPILOG, looks=FOUND, alone=False), None),
]


@pytest.mark.parametrize("parts", CLEAN)
def test_clean_needs_one_who_looked_everywhere(parts):
    assert judge(*parts) == (Verdict.CLEAN, ())


@pytest.mark.parametrize("row", NOT_INSPECTED)
def test_whatever_is_missing_or_contradicted_is_not_clean(row):
    *parts, doubt = row
    verdict, doubts = judge(*parts)
    assert verdict is Verdict.NOT_INSPECTED
    assert doubt in doubts


@pytest.mark.parametrize("parts", RESIDUE)
def test_what_anybody_found_is_residue(parts):
    assert judge(*parts) == (Verdict.RESIDUE, ())


def statement(*parts) -> Statement:
    verdict, doubts = judge(*parts)
    hub, enclave, epilog, cloud = parts
    return Statement(
        session="abcdefgh12345678", user="tanaka", destination="cloud", account="jrs0017", made=40.0,
        verdict=verdict, doubts=doubts, hub=hub, enclave=enclave, epilog=epilog, cloud=cloud,
    )  # fmt: skip


@pytest.mark.parametrize("parts", [*CLEAN, *(row[:4] for row in NOT_INSPECTED), *RESIDUE])
def test_a_statement_survives_being_written(parts):
    made = statement(*parts)
    assert parse(text(made)) == made


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_that_does_not_follow_is_no_statement(verdict):
    made = statement(HUB, None, None, CLOUD)
    if verdict is made.verdict:
        parse(text(made))
    else:
        with pytest.raises(BadStatementError):
            parse(text(replace(made, verdict=verdict)))


@pytest.mark.parametrize(
    "parts",
    [
        (HUB, replace(ENCLAVE, session="a" * 16), EPILOG, CLOUD),
        (HUB, replace(ENCLAVE, job="1"), EPILOG, CLOUD),
        (HUB, ENCLAVE, replace(EPILOG, job="1"), CLOUD),
    ],
)
def test_a_statement_with_another_sessions_part_is_none(parts):
    with pytest.raises(BadStatementError, match="another session"):
        parse(text(statement(*parts)))


@given(st.one_of(st.text(), st.binary()))
def test_no_text_is_a_statement_by_chance(document):
    with pytest.raises(BadStatementError):
        parse(document)


@given(st.data())
def test_any_change_of_a_number_is_read_or_refused(data):
    value = json.loads(text(statement(HUB, ENCLAVE, EPILOG, CLOUD)))
    part = value[data.draw(st.sampled_from(["hub", "enclave", "epilog", "cloud"]))]
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(st.one_of(st.none(), st.integers(), st.text(), st.booleans()))
    try:
        assert isinstance(parse(json.dumps(value)), Statement)
    except BadStatementError:
        return


# Checking one


@pytest.fixture
def signed(tmp_path):
    """Writes a statement with its signature; its path, and the file of whom to believe."""
    for name in ("hub", "stranger"):
        subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f'hub namespaces="{DOCUMENT_NAMESPACE}" {(tmp_path / "hub.pub").read_text()}')

    def write(made, key="hub", namespace=DOCUMENT_NAMESPACE):
        path = tmp_path / "statement.json"
        path.write_text(text(made))
        argv = ["/usr/bin/ssh-keygen", "-q", "-Y", "sign", "-f", tmp_path / key, "-n", namespace, path]
        subprocess.run(argv, check=True, capture_output=True)
        return path, ["verify", str(path), "--signers", str(signers)]

    return write


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((HUB, ENCLAVE, EPILOG, CLOUD), 0),
        ((HUB, ENCLAVE, replace(EPILOG, looks=FOUND), CLOUD), 1),
        ((HUB, None, None, None), 2),
    ],
)
def test_the_exit_code_says_the_verdict(signed, parts, code, capsys):
    _, argv = signed(statement(*parts))
    assert main(argv) == code
    said = capsys.readouterr().out
    assert judge(*parts)[0] in said
    assert "signed by hub" in said
    assert ("left: 1 files /var/tmp (7 bytes)" in said) is (code == 1)


def test_a_statement_that_was_changed_after_it_was_signed_does_not_hold(signed, capsys):
    path, argv = signed(statement(HUB, ENCLAVE, replace(EPILOG, looks=FOUND), CLOUD))
    path.write_text(text(statement(HUB, ENCLAVE, EPILOG, CLOUD)))
    assert main(argv) == 1
    assert "its signature does not hold" in capsys.readouterr().out


@pytest.mark.parametrize("how", [{"key": "stranger"}, {"namespace": "renkei-statement"}])
def test_somebody_elses_signature_and_one_for_something_else_do_not_hold(signed, how):
    assert main(signed(statement(HUB, ENCLAVE, EPILOG, CLOUD), **how)[1]) == 1


def test_a_signed_lie_about_the_verdict_does_not_hold(signed, capsys):
    _, argv = signed(replace(statement(HUB, None, None, CLOUD), verdict=Verdict.CLEAN, doubts=()))
    assert main(argv) == 1
    assert "does not follow" in capsys.readouterr().out


def test_without_a_list_of_signers_nobody_is_believed(signed, tmp_path):
    path, _ = signed(statement(HUB, ENCLAVE, EPILOG, CLOUD))
    assert main(["verify", str(path), "--signers", str(tmp_path / "nowhere")]) == 1
