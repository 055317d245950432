"""MUNGE's answer is read strictly: what is not exactly an accepted credential is a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.proof import Credential, ProofError, parse_unmunge, unmunge

TEXT = "STATUS:          0\nENCODE_HOST:     10.77.1.11\nUID:             20101\n\npayload"


def test_an_accepted_credential_is_read():
    assert parse_unmunge(TEXT) == Credential(20101, "10.77.1.11", "payload")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "payload",
        TEXT.replace(" 0\n", " 17\n"),
        TEXT.replace(" 0\n", " 00\n"),
        TEXT.replace("STATUS:          0\n", ""),
        TEXT.replace("UID:             20101\n", ""),
        TEXT.replace("20101", "-1"),
        TEXT.replace("20101", "root"),
        TEXT.replace("10.77.1.11", "cx01"),
        TEXT.replace("\n\n", "\nUID: 0\n\n"),
        TEXT.replace("\n\n", "\n"),
        TEXT + "x" * 2000,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ProofError):
        parse_unmunge(text)


@given(st.text())
def test_any_text_is_a_credential_or_a_refusal(text):
    with pytest.raises(ProofError):
        parse_unmunge(text)


@given(st.integers(0, 2**32 - 1), st.ip_addresses(), st.text(max_size=200))
def test_what_munge_vouches_for_is_what_is_read(uid, address, payload):
    text = f"STATUS: 0\nENCODE_HOST: {address}\nUID: {uid}\n\n{payload}"

    assert parse_unmunge(text) == Credential(uid, str(address), payload)


@pytest.mark.parametrize(
    "credential", ["", "MUNGE::", "--help", f"MUNGE:{'A' * 64}:\n", f"MUNGE:{'A' * 9000}:", f"MUNGE:;id;{'A' * 64}:"]
)
async def test_what_does_not_look_like_a_credential_is_not_even_decoded(credential):
    with pytest.raises(ProofError, match="no MUNGE credential"):
        await unmunge("/nonexistent", credential)
