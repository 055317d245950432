"""The host's log joined by serial."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from dataowner import sshlog
from dataowner.history import Past
from tests.dataowner.owners import OTHER, SESSION

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def login(second, pid, account="jrs0017", session=SESSION, serial="7"):
    said = f"Accepted publickey for {account} from 10.77.3.1 port 40000 ssh2: ED25519-CERT SHA256:x ID session={session}"
    return f"2026-02-01T10:00:{second:02}.123456+00:00 cloud sshd[{pid}]: {said} (serial {serial}) CA ED25519 SHA256:y\n"


def served(second, pid, text):
    return f"2026-02-01T10:00:{second:02}.5+00:00 cloud internal-sftp[{pid}]: {text}\n"


def past(process, servants, session=SESSION, serial="7"):
    opened = dt.datetime(2026, 2, 1, 10, tzinfo=dt.UTC).timestamp()
    return Past(session, "jrs0017", serial, "read-write", process, servants, opened, "closed", opened, 1, 1, opened, opened + 30)


LOG = [
    login(1, 60),
    login(2, 70, session=OTHER, serial="8"),
    served(3, 72, "session opened for local user jrs0017 from [10.77.3.1]"),
    served(3, 62, "session opened for local user jrs0017 from [10.77.3.1]"),
    served(4, 62, 'close "/srv/cloud/a" bytes read 100 written 0'),
    served(5, 72, 'close "/srv/cloud/b" bytes read 200 written 0'),
    "2026-02-01T10:00:06.5+00:00 cloud sshd[9]: Server listening on 0.0.0.0 port 22.\n",
    served(7, 99, 'close "/srv/cloud/c" bytes read 300 written 0'),
    "rubbish\n",
]


def test_each_file_belongs_to_the_connection_that_served_it():
    connections = [past(60, [61, 62]), past(70, [71, 72], OTHER, "8")]
    found = [(each.session, each.serial, each.text) for each in sshlog.joined(LOG, connections)]

    assert [each for each in found if "close" in each[2]] == [
        (SESSION, "7", 'close "/srv/cloud/a" bytes read 100 written 0'),
        (OTHER, "8", 'close "/srv/cloud/b" bytes read 200 written 0'),
    ]
    assert len(found) == 6


def test_a_connection_that_came_and_went_between_two_looks_is_taken_for_the_accounts_last_login():
    lines = [login(1, 60, "jrs0023", OTHER, "5"), login(2, 70), served(3, 72, "session opened for local user jrs0017 from [x]")]

    assert [each.serial for each in sshlog.joined([*lines, served(4, 72, "closedir")], [])] == ["5", "7", "7", "7"]
    late = served(40, 73, "session opened for local user jrs0017 from [x]")
    assert [each.serial for each in sshlog.joined([*lines[:2], late, served(41, 73, "closedir")], [])] == ["5", "7"]


def test_a_process_number_that_came_round_again_is_another_connection():
    lines = [served(50, 62, "session opened for local user jrs0031 from [x]"), served(51, 62, 'open "/srv/cloud/a" flags READ')]

    assert list(sshlog.joined(lines, [past(60, [61, 62])])) == []


def test_both_kinds_of_time_are_read():
    new = sshlog.parse("2026-02-28T10:00:00Z cloud sshd[1]: x", NOW)
    assert new.seconds == dt.datetime(2026, 2, 28, 10, tzinfo=dt.UTC).timestamp()
    old = sshlog.parse("Dec  9 10:00:00 cloud sshd[1]: x", NOW)
    assert dt.datetime.fromtimestamp(old.seconds, dt.UTC).year == 2025
    assert sshlog.parse("2026-02-31T10:00:00Z cloud sshd[1]: x", NOW) is None


@given(st.text(max_size=100))
def test_rubbish_is_no_line_or_one_whose_parts_stand_in_it(rubbish):
    line = sshlog.parse(rubbish, NOW)

    assert line is None or str(line.pid) in rubbish or line.text in rubbish


@given(st.lists(st.sampled_from(LOG) | st.text(max_size=60), max_size=20))
def test_any_log_is_read_to_its_end(lines):
    assert all(each.serial in {"7", "8"} for each in sshlog.joined(lines, [past(60, [61, 62]), past(70, [71, 72], OTHER, "8")]))
