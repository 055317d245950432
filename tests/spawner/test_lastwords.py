"""The last lines that a page shows hold no key, no token and no name of a file, whoever wrote them."""

import base64
import re
import secrets

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spawner.lastwords import GAP, LENGTH, LINES, ROOM, WORDS, shown

SAID = (
    "read: {}: No such file or directory",
    "[Errno 2] No such file or directory: '{}'",
    "the presets can't be written to {}",
    'Traceback: open("{}") failed with PermissionError',
    "sftp> get {} failed",
    "Permission denied: {}",
    "{}",
    "error {} error",
    "exit code {}",
)
"""Ways in which a program says a name."""

signs = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs"), exclude_characters="/\x85")
names = st.text(signs, min_size=1, max_size=30)
"""A part of a path as people and scanners make them, without blanks."""


def bare(lines: tuple[str, ...]) -> list[str]:
    return [word.strip(".,:;!?") for line in lines for word in line.split()]


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("sshfs ended with 1", "sshfs ended with 1"),
        ("ssh: connect to host 10.77.2.1 port 2202: Connection refused", "ssh: connect to host … port … Connection refused"),
        ("jrs0017@cloud: Permission denied (publickey).", "… Permission denied publickey."),
        ("read: /srv/cloud/people/jrs0017/山田 太郎/ct 12.nii.gz: Permission denied", "read: … Permission denied"),
        ("no mount after 20 s; Host key verification failed.", "no mount after 20 … Host key verification failed."),
        ("the key is AAAAC3NzaC1lZDI1NTE5AAAAIKf0 and 12345678", "the key is … and …"),
    ],
)
def test_what_is_left_of_a_line_still_says_what_happened(said, seen):
    assert shown(said) == (seen,)


def test_of_many_lines_the_last_are_shown_and_of_a_long_one_the_beginning():
    assert shown("\n".join(f"exit code {number}" for number in range(100))) == tuple(
        f"exit code {number}" for number in range(100 - LINES, 100)
    )
    assert len(shown("connection refused " * 1000)[0].split()) == LENGTH


@given(st.sampled_from(SAID), st.lists(names, min_size=1, max_size=4))
def test_no_part_of_a_path_below_the_cloud_is_shown(said, parts):
    said = said.format("/".join(("/tmp/cloud/people", *parts)))

    # Only words of the sentence around it are left.
    assert set(bare(shown(said))) <= {word.strip(".,:;!?()") for each in SAID for word in each.split()} | {GAP}


@given(st.sampled_from(SAID), st.lists(names, min_size=1, max_size=4))
def test_no_name_with_blanks_is_shown_whole(said, words):
    assume(not all(word.strip(".,:;!?()").lower() in WORDS or re.fullmatch(r"[0-9]{1,3}", word) for word in words))
    name = " ".join(words)
    # A name of one letter is part of many a word of the sentence around it.
    assume(GAP not in name and all(name not in each for each in SAID))

    assert name not in " ".join(shown(said.format(f"/tmp/cloud/people/{name}.nii.gz")))
    assert name not in " ".join(shown(said.format(name)))


@given(st.sampled_from(SAID), st.binary(min_size=16, max_size=64))
def test_no_key_and_no_token_is_shown(said, secret):
    for text in (base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode().rstrip("="), secret.hex()):
        assert text not in " ".join(shown(said.format(text)))
        assert text not in " ".join(shown(said.format(f"Authorization: Bearer {text}")))


def test_a_session_s_own_secrets_are_not_shown():
    for make in (secrets.token_urlsafe, secrets.token_hex):
        token = make(32)
        assert token not in str(shown(f"token {token} refused\nkey={token} refused"))


@given(st.text())
def test_whatever_is_said_only_known_words_come_out(text):
    for word in bare(shown(text)):
        assert word == GAP or word.lower() in WORDS or re.fullmatch(r"[0-9]{1,3}", word)
    assert "<" not in "".join(shown(text))


def test_the_longest_lines_fit_into_the_record_and_the_last_of_them_stay():
    longest = max(WORDS, key=len)
    lines = shown("\n".join([f"first {' '.join([longest] * LENGTH)}"] * (LINES - 1) + ["the last"]))

    assert 1 < len(lines) < LINES
    assert len("\n".join(lines)) <= ROOM
    assert lines[-1] == "the last"
