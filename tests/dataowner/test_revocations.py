"""What the owner has ended: one list for people, and the same as a KRL that sshd itself holds certificates against."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataowner import revocations, watcher
from dataowner.places import UnusableError
from tests.dataowner.owners import OTHER, SESSION, make_key


def certificate(folder, ca, session, serial):
    key = make_key(folder / f"key-{session}-{serial}")
    signing = ["/usr/bin/ssh-keygen", "-q", "-s", str(ca), "-I", f"session={session}", "-z", serial, "-n", "jrs0017"]
    subprocess.run([*signing, f"{key}.pub"], check=True)
    return f"{key}-cert.pub"


def is_revoked(places, path):
    asking = ["/usr/bin/ssh-keygen", "-Q", "-f", str(places.krl), path]
    return subprocess.run(asking, capture_output=True, check=False).returncode != 0


def test_sshd_refuses_every_certificate_of_a_revoked_session_and_the_revoked_serial(side, tmp_path):
    ca = tmp_path / "ca"
    first, renewed = certificate(tmp_path, ca, SESSION, "7"), certificate(tmp_path, ca, SESSION, "8")
    other, third = certificate(tmp_path, ca, OTHER, "9"), certificate(tmp_path, ca, OTHER, "10")
    assert not any(is_revoked(side.places, path) for path in (first, renewed, other, third))

    revocations.add(side.places, ("session", SESSION), ("serial", "9"))

    assert [is_revoked(side.places, path) for path in (first, renewed, other, third)] == [True, True, True, False]


def test_saying_it_twice_is_saying_it_once_and_comments_stay(side):
    side.places.revoked.write_text("# left the hospital\naccount jrs0031\n")
    revocations.add(side.places, ("session", SESSION), ("account", "jrs0031"))
    revocations.add(side.places, ("session", SESSION))

    assert side.places.revoked.read_text() == f"# left the hospital\naccount jrs0031\nsession {SESSION}\n"
    assert revocations.load(side.places) == revocations.Revocations(frozenset({SESSION}), frozenset(), frozenset({"jrs0031"}))


def test_of_those_who_end_something_at_the_same_time_nobody_takes_away_what_another_has_ended(side, tmp_path):
    numbers = [str(number) for number in range(1, 17)]
    with ThreadPoolExecutor(8) as people:
        list(people.map(lambda number: revocations.add(side.places, ("serial", number)), numbers))

    assert revocations.load(side.places).serials == set(numbers)
    assert is_revoked(side.places, certificate(tmp_path, tmp_path / "ca", SESSION, "16"))


def test_a_serial_ends_the_session_that_had_it_also_between_two_of_its_connections(side):
    line = {
        "account": "jrs0017", "session": SESSION, "serial": "7", "access": "read-write", "process": 60, "servants": [67],
        "opened": 100.0, "state": "closed", "since": 100.0, "bytes_out": 10, "bytes_in": 5, "last_byte": 150.0, "closed": 200.0,
    }  # fmt: skip
    (side.places.sessions / SESSION).write_text(json.dumps(line) + "\n")
    (side.places.sessions / OTHER).write_text(json.dumps({**line, "session": OTHER, "serial": "8"}) + "\n")
    (side.places.sessions / ("z" * 16)).write_text("no line\n")

    assert watcher.revoke(side.places, "serial", "7") == [SESSION]
    assert revocations.load(side.places) == revocations.Revocations(frozenset({SESSION}), frozenset({"7"}))


def test_an_account_may_come_again_when_the_owner_says_so_its_ended_sessions_may_not(side):
    revocations.add(side.places, ("account", "jrs0017"), ("session", SESSION))
    revocations.restore(side.places, "jrs0017")

    assert revocations.load(side.places) == revocations.Revocations(sessions=frozenset({SESSION}))


@pytest.mark.parametrize(
    "line", ["session", f"session {SESSION} x", "session x", "serial 0", "serial x", "user tanaka", "account ../x"]
)
def test_a_line_that_revokes_nothing_is_a_complaint_and_then_nobody_comes_in(side, line):
    side.places.revoked.write_text(f"{line}\n")

    with pytest.raises(UnusableError, match="expected session, serial or account"):
        revocations.load(side.places)


@given(st.text(max_size=100))
def test_rubbish_is_a_complaint_or_revokes_only_what_can_be_revoked(rubbish):
    try:
        found = revocations.parse(rubbish)
    except ValueError:
        return
    assert all(revocations.KINDS[kind].fullmatch(what) for kind, what in found)


def test_a_list_that_can_not_be_made_leaves_the_one_before(side):
    before = side.places.krl.read_bytes()
    side.places.ca.write_text("no key\n")

    with pytest.raises(UnusableError, match="can't be made"):
        revocations.add(side.places, ("session", SESSION))
    assert side.places.krl.read_bytes() == before
