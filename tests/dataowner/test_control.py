"""The control account: three questions, and whatever else comes is refused and changes nothing."""

import contextlib
import io
import json
import os
import subprocess
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataowner import control, revocations
from spawner.owner import protocol
from tests.dataowner.owners import OTHER, SESSION, sign, text

CONNECTION = {
    "account": "jrs0017", "session": SESSION, "serial": "7", "access": "read-write", "process": 60, "servants": [67, 68],
    "opened": 100.0, "state": "live", "since": 100.0, "bytes_out": 10, "bytes_in": 5, "last_byte": 150.0,
}  # fmt: skip


def ask(side, request, now=None) -> protocol.Answer:
    """The hub's own words, as the hub reads the answer."""
    line = msgspec.json.encode(request) + b"\n"
    answer = control.reply(line, side.places, time.time() if now is None else now)
    return msgspec.json.decode(json.dumps(answer), type=protocol.Answer)


def push(side, written) -> protocol.Answer:
    return ask(side, protocol.Push(statement=written, signature=sign(side.key, written, protocol.STATEMENT_NAMESPACE)))


def seen(side, *connections):
    side.places.live.write_text(json.dumps({"time": time.time(), "connections": list(connections)}))


def over(side, **changes):
    with (side.places.sessions / SESSION).open("a") as stream:
        stream.write(json.dumps({**CONNECTION, "state": "closed", "closed": 200.0, "why": "closed", **changes}) + "\n")


def test_a_push_is_answered_with_what_the_cloud_sees_of_the_sessions_that_it_names(side):
    seen(side, CONNECTION, {**CONNECTION, "session": OTHER})
    answer = push(side, text(7))

    assert isinstance(answer, protocol.Pushed)
    assert (answer.number, answer.ended, answer.read_only) == (7, (), ())
    [each] = answer.seen
    assert (each.session, each.serial, each.state, each.bytes_out, each.last_byte) == (SESSION, "7", "live", 10, 150.0)


def test_the_hub_is_told_which_of_its_sessions_may_not_go_on(side):
    names = [f"{letter}" * 16 for letter in "abcdef"]
    revocations.add(side.places, ("session", names[0]))
    answer = push(
        side,
        text(
            1,
            f"live {names[0]} jrs0017 tanaka",
            f"live {names[1]} jrs0017 tanaka",
            f"live {names[2]} curator tanaka",
            f"live {names[3]} jrs0031 yamada",
            f"live {names[4]} jrs0023 tanaka",
            f"live {names[5]} jrs0023 mori",
        ),
    )

    assert {each.session: each.why for each in answer.ended} == {
        names[0]: protocol.Why.REVOKED,
        names[2]: protocol.Why.NO_GRANT,
        names[3]: protocol.Why.NO_GRANT,
        names[4]: protocol.Why.NO_GRANT,
    }
    assert answer.read_only == (names[5],)
    revocations.add(side.places, ("account", "jrs0023"))
    answer = push(side, text(2, f"live {names[5]} jrs0023 mori"))
    assert [each.why for each in answer.ended] == [protocol.Why.REVOKED]


def test_a_push_that_is_not_believed_says_why(side):
    push(side, text(7))
    answer = push(side, text(7))

    assert answer == protocol.Refused(reason="not newer than the last one")


def test_the_clouds_witness_of_a_session_counts_its_connections_over_and_live(side):
    seen(side)
    assert ask(side, protocol.WitnessRequest(session=SESSION)).connections == 0
    over(side)
    over(side, why="revoked")  # who ended it and the watcher may both write of one connection
    over(side, process=61, serial="8", opened=300.0, last_byte=350.0, closed=400.0)
    answer = ask(side, protocol.WitnessRequest(session=SESSION))
    assert answer == protocol.Witness(
        session=SESSION, revoked=False, connections=2, open=0, serials=("7", "8"), opened=100.0, last_byte=350.0, closed=400.0,
        bytes_out=20, bytes_in=10,
    )  # fmt: skip

    seen(side, {**CONNECTION, "process": 62, "opened": 500.0, "bytes_out": None})
    revocations.add(side.places, ("session", SESSION))
    answer = ask(side, protocol.WitnessRequest(session=SESSION))
    assert (answer.open, answer.closed, answer.bytes_out, answer.bytes_in, answer.revoked) == (1, None, None, 15, True)


def store(side, document, namespace=protocol.DOCUMENT_NAMESPACE, session=SESSION):
    signature = sign(side.key, document, namespace)
    return ask(side, protocol.Store(session=session, document=document, signature=signature))


def test_a_signed_document_is_kept_and_openssh_alone_can_check_it_later(side):
    document = "何も残っていません。\n"
    answer = store(side, document)
    path = side.places.documents / SESSION / answer.digest

    assert path.read_text() == document
    assert path.stat().st_mode & 0o777 == 0o400
    check = ["/usr/bin/ssh-keygen", "-Y", "verify", "-I", "hub", "-n", protocol.DOCUMENT_NAMESPACE]
    check += ["-f", str(side.places.signers), "-s", f"{path}.sig"]
    done = subprocess.run(check, input=document.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_kept_is_never_replaced_and_a_session_has_few(side):
    first = store(side, "one")
    before = (side.places.documents / SESSION / first.digest).stat().st_ino
    assert store(side, "one") == first
    assert (side.places.documents / SESSION / first.digest).stat().st_ino == before
    for number in range(control.DOCUMENTS - 1):
        assert isinstance(store(side, f"{number}"), protocol.Stored)

    assert "8 documents at most" in store(side, "one too many").reason
    assert store(side, "one") == first


def test_no_document_without_its_own_signature_nor_one_that_is_too_long(side):
    assert "does not fit" in store(side, "x", namespace=protocol.STATEMENT_NAMESPACE).reason
    assert "longer than" in store(side, "x" * (control.DOCUMENT_LIMIT + 1)).reason
    assert list(side.places.documents.iterdir()) == []


HOSTILE = [
    b"", b"\n", b"[]\n", b"null\n", b"{}\n", b'{"ask":"push"}\n', b'{"ask":"list"}\n', b'{"ask":["push"]}\n', b"\xff\n",
    b'{"ask":"witness","session":"../../etc/passwd"}\n', b'{"ask":"witness","session":"a1b2c3d4e5f60718","x":"y"}\n',
    b'{"ask":"witness","session":17}\n', b'{"ask":"witness","session":"a1b2c3d4e5f60718\\n"}\n', b"[" * 100_000 + b"\n",
    b'{"ask":"store","session":"a1b2c3d4e5f60718","document":"\\ud800","signature":""}\n', b"exit\n", b"; sh\n",
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:40]))
def test_hostile_input_is_refused_and_changes_nothing(side, line):
    seen(side)
    assert control.reply(line, side.places, time.time())["answer"] == "refused"
    assert [*side.places.statements.iterdir(), *side.places.documents.iterdir()] == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["ask", "session"]), st.text(max_size=20) | st.integers()))
def test_any_json_is_answered_with_one_line(side, value):
    answer = control.reply(json.dumps(value).encode() + b"\n", side.places, time.time())

    assert answer["answer"] in {"refused", "unable", "witness"}


def test_a_line_without_end_is_not_read_on_and_on(side):
    source = io.BytesIO(b"x" * (3 * control.LINE_LIMIT))
    target = io.BytesIO()
    control.serve(source, target, side.places)

    assert source.tell() == control.LINE_LIMIT + 1
    assert json.loads(target.getvalue())["answer"] == "refused"


def test_each_line_has_its_answer_and_the_end_of_input_is_the_end(side):
    seen(side)
    target = io.BytesIO()
    control.serve(io.BytesIO(b'x\n{"ask":"witness","session":"a1b2c3d4e5f60718"}\n'), target, side.places)

    assert [json.loads(line)["answer"] for line in target.getvalue().splitlines()] == ["refused", "witness"]


def test_what_is_wrong_at_the_owners_is_not_told_to_the_hub(side):
    side.places.settings.write_text("[account secret-name]\n")
    answer = push(side, text())

    assert isinstance(answer, protocol.Unable)
    assert "secret" not in answer.reason


def test_the_program_answers_over_pipes_as_sshd_runs_it():
    argv = ["/usr/bin/python3", "-I", "-S", f"{os.path.dirname(control.__file__)}/__main__.py", "control"]  # noqa: PTH120
    answer = subprocess.run(argv, input=b"hello\n", capture_output=True, check=True, cwd="/", env={})

    # This machine has no owner's side.
    assert json.loads(answer.stdout)["answer"] == "unable"
    assert answer.stderr == b""


def test_a_hub_that_opens_connection_after_connection_is_refused_and_heard_again_when_one_ends(side):
    def asked(words: bytes) -> bytes:
        answer = io.BytesIO()
        control.serve(io.BytesIO(words), answer, side.places)
        return answer.getvalue()

    with contextlib.ExitStack() as others:
        for _ in range(control.CONNECTIONS):
            others.callback(os.close, control._place(side.places))
        assert b"too many connections" in asked(b"{}\n")
    assert b"no request" in asked(b"{}\n")
