"""Statements: only what the owner's signer signed, for here, for now, and never twice."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataowner import statement
from dataowner.places import UnusableError
from dataowner.statement import NotBelievedError
from spawner.owner import protocol
from tests.dataowner.owners import NAMESPACES, OTHER, SESSION, make_key, statement_settings, text

SETTINGS = statement_settings()
SESSIONS = st.from_regex(r"\A[a-z0-9]{16}\Z")
ACCOUNTS = st.from_regex(r"\A[a-z_][a-z0-9_.-]{0,31}\Z")
USERS = st.from_regex(r"\A[a-z][a-z0-9-]{0,30}\Z")


@given(
    st.dictionaries(SESSIONS, st.tuples(ACCOUNTS, USERS), max_size=5),
    st.frozensets(SESSIONS, max_size=3),
    st.integers(1, 2**62),
    st.integers(1, 2**40),
    st.integers(1, 86_400),
)
def test_what_the_hub_writes_is_what_the_owner_reads(live, over, number, issued, seconds):
    over -= live.keys()
    written = protocol.statement(
        destination="cloud",
        number=number,
        issued=issued,
        seconds=seconds,
        live=[protocol.Live(session=name, account=account, user=user) for name, (account, user) in live.items()],
        over=over,
    )

    assert statement.parse(written) == statement.Statement("cloud", number, issued, seconds, live, over)


@given(st.text(max_size=200))
def test_nothing_but_disbelief_comes_of_rubbish(rubbish):
    with pytest.raises(NotBelievedError):
        statement.parse(rubbish)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_a_statement_with_changed_bytes_is_none_or_says_only_what_can_be_said(place, other):
    raw = text(5, f"live {SESSION} jrs0017 tanaka", f"over {OTHER}").encode()
    changed = (raw[:place] + other + raw[place + len(other) :]).decode("latin-1")
    try:
        read = statement.parse(changed)
    except NotBelievedError:
        return
    assert all(statement.SESSION.fullmatch(each) for each in (*read.live, *read.over))


@pytest.mark.parametrize(
    "wrong",
    [
        text().rstrip("\n"),
        text() + "\n",
        text().replace("\n", "\r\n"),
        text(1, f"live {SESSION} jrs0017 tanaka", f"live {SESSION} jrs0023 tanaka"),
        text(1, f"live {SESSION} jrs0017 tanaka", f"over {SESSION}"),
        text(1, f"live {SESSION} jrs0017  tanaka"),
        text(1, f"live {SESSION} ../etc tanaka"),
        text(1, f"live {SESSION[:-1]} jrs0017 tanaka"),
        text().replace("number 1", "number 01"),
        text().replace("number 1", "number -1"),
        text().replace("renkei-statement 1", "renkei-statement 2"),
        text().replace("seconds 15", "seconds 0"),
        text() + "x" * statement.LIMIT,
    ],
)
def test_what_is_nearly_a_statement_is_none(wrong):
    with pytest.raises(NotBelievedError):
        statement.parse(wrong)


def test_a_signed_statement_counts_until_its_time_is_over(side):
    now = time.time()
    accepted = side.push(text(7), now=now)

    assert accepted.signer == "hub"
    assert statement.current(side.places, set()) == [accepted]
    assert accepted.fresh(now + 14, SETTINGS)
    assert not accepted.fresh(now + 16, SETTINGS)


def test_a_statement_never_counts_twice_nor_an_older_one_after_a_newer(side):
    side.push(text(7))
    for number in (7, 6):
        with pytest.raises(NotBelievedError, match="not newer"):
            side.push(text(number))
    side.push(text(8))


def test_one_that_was_held_back_is_too_old(side):
    now = time.time()
    for away in (-61, 61):
        with pytest.raises(NotBelievedError, match="clocks"):
            side.push(text(1, issued=now), now=now + away)


def test_a_number_beyond_the_clock_after_which_none_could_come_is_not_believed(side):
    now = time.time()
    for number in (10**19 - 1, int((now + 61) * 1e9)):
        with pytest.raises(NotBelievedError, match="future"):
            side.push(text(number), now=now)
    side.push(text(int((now + 59) * 1e9)), now=now)


def test_a_claim_to_hold_for_long_is_not_believed(side):
    with pytest.raises(NotBelievedError, match="the owner allows 60"):
        side.push(text(1, seconds=61))


def test_a_stolen_file_that_says_it_came_just_now_does_not_hold_for_ever(side):
    now = time.time()
    accepted = side.push(text(1), now=now)
    later = accepted._replace(came=now + 3600)

    assert not later.fresh(now + 3600, SETTINGS)


def test_another_signer_namespace_destination_or_text_is_not_believed(side, tmp_path):
    stranger = make_key(tmp_path / "stranger")
    with pytest.raises(NotBelievedError, match="nobody whom the owner knows"):
        side.push(text(), key=stranger)
    with pytest.raises(NotBelievedError, match="does not fit"):
        side.push(text(), namespace="file")
    with pytest.raises(NotBelievedError, match="another destination"):
        side.push(text(destination="kashiwa"))
    signature = json.loads(_kept(side, text(1)))["signature"]
    with pytest.raises(NotBelievedError, match="does not fit"):
        statement.accept(text(2), signature, side.places, SETTINGS, time.time())
    assert [each.statement.number for each in statement.current(side.places, set())] == [1]


def _kept(side, written):
    side.push(written)
    return (side.places.statements / "hub").read_text()


def test_what_is_kept_is_checked_again_when_it_is_used(side, tmp_path):
    """Whoever holds the control account alone can't put a statement into its folder."""
    kept = json.loads(_kept(side, text(1)))
    forged = {**kept, "text": kept["text"].replace(SESSION, OTHER)}
    (side.places.statements / "hub").write_text(json.dumps(forged))
    assert statement.current(side.places, set()) == []

    (side.places.statements / "hub").write_text(json.dumps(kept))
    believed: set[str] = set()
    assert len(statement.current(side.places, believed)) == 1
    # Nor is what was once believed, when the signer is struck off the owner's list.
    side.places.signers.write_text(f"hub {NAMESPACES} {(make_key(tmp_path / 'new').with_suffix('.pub')).read_text()}")
    assert statement.current(side.places, believed) == []


def test_two_hubs_do_not_get_in_each_others_way(side, tmp_path):
    second = make_key(tmp_path / "second")
    with side.places.signers.open("a") as stream:
        stream.write(f"second {NAMESPACES} {second.with_suffix('.pub').read_text()}")
    side.push(text(9))
    side.push(text(3, f"live {OTHER} jrs0023 mori"), key=second)

    assert {each.signer: set(each.statement.live) for each in statement.current(side.places, set())} == {
        "hub": {SESSION},
        "second": {OTHER},
    }


def test_without_the_folder_or_the_list_of_signers_nothing_is_decided(side):
    side.places.signers.unlink()
    with pytest.raises(UnusableError):
        statement.current(side.places, set())
