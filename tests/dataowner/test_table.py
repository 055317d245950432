"""The owner's file: who may come. While it is wrong, nobody does."""

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataowner import table
from dataowner.places import UnusableError
from tests.dataowner.owners import TABLE

NOON = dt.datetime(2099, 12, 31, 12).astimezone().timestamp()


def test_it_says_who_may_come_and_how():
    known = table.parse(TABLE)

    assert known.settings.destination == "cloud"
    assert known.grant("jrs0017", time.time()).access == table.READ_WRITE
    assert known.grant("jrs0023", time.time()) == table.Grant("jrs0023", table.READ_ONLY, dt.date(2099, 12, 31), ("suzuki", "mori"))
    assert known.grant("curator", time.time()) is None


def test_a_grant_stands_to_the_end_of_its_last_day():
    known = table.parse(TABLE)

    assert known.grant("jrs0017", NOON) is not None
    assert known.grant("jrs0017", NOON + 11.9 * 3600) is not None
    assert known.grant("jrs0017", NOON + 12.1 * 3600) is None
    assert known.grant("jrs0031", time.time()) is None


WRONG = [
    ("access = read-write", "access = write", "expected read-write or read-only"),
    ("until = 2099-12-31", "until = never", "expected a day"),
    ("until = 2099-12-31", "until = 2099-02-30", "expected a day"),
    ("until = 2099-12-31", "", "until is missing"),
    ("[account jrs0017]", "[account JRS]", "expected [owner] or [account NAME]"),
    ("[account jrs0017]", "[account root]", "nobody comes as root"),
    ("[account jrs0017]", "[account jrs0023]", "already exists"),
    ("[account jrs0017]", "[DEFAULT]", "expected [owner] or [account NAME]"),
    ("users = suzuki mori", "users =", "expected names"),
    ("users = suzuki mori", "user = suzuki", "there is no such key"),
    ("gateway = 10.77.3.1", "gateway = gw", "expected an address"),
    ("destination = cloud", "destination = The cloud", "expected the hub's name"),
    ("destination = cloud", "destination = cloud\nclock_skew = -1", "expected seconds"),
    ("destination = cloud", "destination = cloud\nlog = auth.log", "begins with /"),
    ("[owner]", "[account jrs0001]", "there is no such key"),
    (TABLE, "", "no section [owner]"),
    (TABLE, "access = read-write\n", "no section headers"),
]


@pytest.mark.parametrize(("right", "wrong", "complaint"), WRONG)
def test_a_wrong_file_is_named_with_what_is_wrong(side, right, wrong, complaint):
    assert right in TABLE
    side.places.settings.write_text(TABLE.replace(right, wrong, 1))

    with pytest.raises(UnusableError) as caught:
        table.load(side.places)
    assert str(side.places.settings) in str(caught.value)
    assert complaint in str(caught.value)


def test_a_file_that_is_not_there_or_no_file_lets_nobody_in(side):
    side.places.settings.unlink()
    with pytest.raises(UnusableError, match="No such file"):
        table.load(side.places)
    side.places.settings.symlink_to("/etc/passwd")
    with pytest.raises(UnusableError, match="can't be read"):
        table.load(side.places)


@given(st.text(max_size=300))
def test_nothing_but_a_complaint_comes_of_rubbish(rubbish):
    with pytest.raises(ValueError, match=r"."):
        table.parse(rubbish)


@given(st.sampled_from(TABLE.splitlines()), st.text(alphabet=st.characters(codec="ascii"), max_size=40))
def test_a_changed_line_is_a_complaint_or_a_table_of_known_values(line, other):
    try:
        known = table.parse(TABLE.replace(line, other, 1))
    except ValueError:
        return
    assert all(grant.access in {table.READ_ONLY, table.READ_WRITE} for grant in known.grants.values())
    assert "root" not in known.grants
