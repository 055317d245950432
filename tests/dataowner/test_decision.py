"""Who comes in, and what becomes of a connection: the owner's table first, then what is revoked, then the hub's statement."""

import time

import pytest

from dataowner import principals, revocations, watcher
from dataowner.connections import Claim, Connection, Process
from dataowner.places import UnusableError
from dataowner.principals import RefusedError
from dataowner.watcher import Verdict
from tests.dataowner.owners import OTHER, SESSION, text

KEY_ID = f"session={SESSION}"


def decide(side, account="jrs0017", key_id=KEY_ID, serial="7", now=None):
    return principals.decide(account, key_id, serial, time.time() if now is None else now, principals.standing(side.places))


def test_a_live_session_of_a_granted_account_comes_in(side):
    side.push(text())

    assert decide(side) == Claim("jrs0017", SESSION, "7", "read-write")


def test_a_stolen_hub_that_vouches_for_an_account_outside_the_table_gets_nothing(side):
    side.push(text(1, f"live {SESSION} curator tanaka"))

    with pytest.raises(RefusedError, match="no grant"):
        decide(side, "curator")


def test_a_grant_whose_last_day_is_over_lets_nobody_in(side):
    side.push(text(1, f"live {SESSION} jrs0031 yamada"))

    with pytest.raises(RefusedError, match="no grant"):
        decide(side, "jrs0031")


def test_without_a_fresh_statement_that_names_session_account_and_person_nobody_comes_in(side):
    with pytest.raises(RefusedError, match="no fresh statement"):
        decide(side)
    side.push(text(1, f"live {OTHER} jrs0017 tanaka"))
    with pytest.raises(RefusedError, match="no fresh statement"):
        decide(side)
    side.push(text(2, f"live {SESSION} jrs0023 suzuki"))
    with pytest.raises(RefusedError, match="no fresh statement"):
        decide(side)
    side.push(text(3, f"live {SESSION} jrs0023 tanaka"))
    with pytest.raises(RefusedError, match="no fresh statement"):
        decide(side, "jrs0023")
    side.push(text(4, f"live {SESSION} jrs0023 mori"))
    assert decide(side, "jrs0023").access == "read-only"
    with pytest.raises(RefusedError, match="no fresh statement"):
        decide(side, "jrs0023", now=time.time() + 16)


@pytest.mark.parametrize("entry", [("session", SESSION), ("serial", "7"), ("account", "jrs0017")])
def test_what_is_revoked_does_not_come_in(side, entry):
    side.push(text())
    revocations.add(side.places, entry)

    with pytest.raises(RefusedError, match="revoked"):
        decide(side)


@pytest.mark.parametrize("key_id", ["", "tanaka", "session=", f"session={SESSION}x", f"session={SESSION}\n", f" session={SESSION}"])
def test_a_key_id_that_names_no_session_does_not_come_in(side, key_id):
    side.push(text())

    with pytest.raises(RefusedError, match="names no session"):
        decide(side, key_id=key_id)


@pytest.mark.parametrize("serial", ["0", "", "-1", "7 ", "x"])
def test_nor_does_a_certificate_without_a_serial(side, serial):
    side.push(text())

    with pytest.raises(RefusedError, match="serial"):
        decide(side, serial=serial)


@pytest.mark.parametrize("name", ["settings", "revoked", "signers"])
def test_while_a_file_that_decides_is_missing_nothing_is_decided(side, name):
    side.push(text())
    getattr(side.places, name).unlink()

    with pytest.raises(UnusableError):
        decide(side)


def verdict(side, claim=None, now=None):
    monitor = Process(100, 1, 5000, "sshd", "S", 0)
    connection = Connection(claim or Claim("jrs0017", SESSION, "7", "read-write"), monitor, time.time(), [])
    return watcher.judge(connection, time.time() if now is None else now, principals.standing(side.places))[0]


def test_a_lapse_suspends_and_never_ends(side):
    side.push(text())

    assert verdict(side) is Verdict.GO_ON
    assert verdict(side, now=time.time() + 16) is Verdict.SUSPEND
    assert verdict(side, now=time.time() + 86_400 * 30) is Verdict.SUSPEND
    side.push(text(2))
    assert verdict(side) is Verdict.GO_ON


def test_a_suspension_outlives_a_night_and_its_processes_are_taken_away_after_a_day():
    assert not watcher.abandoned(0.0, 14 * 3600.0)
    assert watcher.abandoned(0.0, 25 * 3600.0)


def test_a_hub_that_has_lost_its_sessions_suspends_them_and_does_not_end_them(side):
    side.push(text(1, f"over {OTHER}"))

    assert verdict(side) is Verdict.SUSPEND


def test_the_owners_word_or_the_hubs_that_it_is_over_ends_it(side):
    side.push(text(1, f"over {SESSION}"))
    assert verdict(side) is Verdict.END
    side.push(text(2))
    assert verdict(side) is Verdict.GO_ON
    assert verdict(side, Claim("jrs0031", SESSION, "7", "read-write")) is Verdict.END
    assert verdict(side, Claim("curator", SESSION, "7", "read-write")) is Verdict.END
    assert verdict(side, Claim("jrs0017", SESSION, "7", "read-only")) is Verdict.END
    revocations.add(side.places, ("session", SESSION))
    assert verdict(side) is Verdict.END


def test_while_the_owners_files_can_not_be_used_everything_is_suspended():
    connection = Connection(Claim("jrs0017", SESSION, "7", "read-write"), Process(1, 0, 0, "sshd", "S", 0), 0.0, [])

    assert watcher.judge(connection, time.time(), None)[0] is Verdict.SUSPEND
