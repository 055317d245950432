"""What can be said of a request whose first answer was lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.repeat import Step, Verdict, after_look, after_repeat, appended, look_at
from cloudlink.requests import Request
from cloudlink.wire import HARDLINK, POSIX_RENAME, Kind, Open, Status

NO, FAILURE, DENIED = Status.NO_SUCH_FILE, Status.FAILURE, Status.PERMISSION_DENIED


def request(kind: Kind, *, flags: int = 0, extension: bytes = b"") -> Request:
    return Request(kind, 1, bytearray(), path=b"from", target=b"to", flags=flags, extension=extension)


@pytest.mark.parametrize(
    ("asked", "status", "verdict"),
    [
        (request(Kind.REMOVE), NO, Verdict.DONE),
        (request(Kind.RMDIR), NO, Verdict.DONE),
        (request(Kind.RMDIR), FAILURE, Verdict.AS_ANSWERED),
        (request(Kind.REMOVE), DENIED, Verdict.AS_ANSWERED),
        (request(Kind.RENAME), NO, Verdict.LOOK),
        (request(Kind.RENAME), FAILURE, Verdict.AS_ANSWERED),
        (request(Kind.EXTENDED, extension=POSIX_RENAME), NO, Verdict.LOOK),
        (request(Kind.MKDIR), FAILURE, Verdict.LOOK),
        (request(Kind.MKDIR), NO, Verdict.AS_ANSWERED),
        (request(Kind.SYMLINK), FAILURE, Verdict.LOOK),
        (request(Kind.EXTENDED, extension=HARDLINK), FAILURE, Verdict.LOOK),
        (request(Kind.OPEN, flags=Open.WRITE | Open.CREAT | Open.EXCL), FAILURE, Verdict.LOOK),
        (request(Kind.OPEN, flags=Open.WRITE | Open.CREAT), FAILURE, Verdict.AS_ANSWERED),
        (request(Kind.LSTAT), NO, Verdict.AS_ANSWERED),
    ],
)
def test_the_second_answer_says_what_it_can(asked, status, verdict):
    assert after_repeat(asked, status) is verdict
    assert after_repeat(asked, Status.OK) is Verdict.AS_ANSWERED


def test_a_rename_was_done_when_its_target_is_there():
    asked = request(Kind.RENAME)

    assert look_at(asked) == (Kind.LSTAT, b"to")
    assert after_look(asked, b"there") is Verdict.DONE
    assert after_look(asked, None) is Verdict.AS_ANSWERED


def test_a_link_was_made_when_it_says_the_same():
    asked = request(Kind.SYMLINK)

    assert look_at(asked) == (Kind.READLINK, b"to")
    assert after_look(asked, b"from") is Verdict.DONE
    assert after_look(asked, b"elsewhere") is Verdict.AS_ANSWERED


@pytest.mark.parametrize(
    "asked", [request(Kind.MKDIR), request(Kind.OPEN, flags=Open.EXCL), request(Kind.EXTENDED, extension=HARDLINK)]
)
def test_whose_folder_or_lock_it_is_nobody_can_say(asked):
    assert after_look(asked, b"there") is Verdict.UNKNOWN
    assert after_look(asked, None) is Verdict.AS_ANSWERED


STEPS = st.one_of(
    st.builds(Step, more=st.integers(1, 100)),
    st.builds(Step, least=st.integers(1, 500)),
    st.builds(Step, exactly=st.integers(0, 500)),
)


@given(st.integers(0, 1000), st.lists(st.integers(1, 100), max_size=10), st.data())
def test_the_size_says_how_much_of_an_appending_is_there(before, lengths, data):
    count = data.draw(st.integers(0, len(lengths)))

    assert appended(before, [Step(more=length) for length in lengths], before + sum(lengths[:count])) == count


@given(st.integers(0, 1000), st.lists(STEPS, max_size=10), st.data())
def test_whatever_else_happened_it_never_says_too_much_or_too_little(before, steps, data):
    done = steps[: data.draw(st.integers(0, len(steps)))]
    size = before
    for step in done:
        size = step.after(size)
    said = appended(before, steps, size)

    assert said is None or said == max((index + 1 for index, step in enumerate(done) if step.more), default=0)


def test_half_a_piece_is_not_known():
    assert appended(10, [Step(more=4), Step(more=4)], 16) is None
    assert appended(10, [Step(more=4), Step(more=4)], 9) is None


def test_what_was_emptied_before_is_known_by_what_was_appended_since():
    assert appended(10, [Step(exactly=0), Step(more=4)], 4) == 2
    assert appended(10, [Step(more=4), Step(exactly=0)], 0) == 1
    assert appended(10, [Step(exactly=0), Step(more=10)], 10) is None
