"""PJM's text becomes typed values in one place: by position and by number, never by wording."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Reason
from spawner.schedulers import pjm, pjm_text
from spawner.schedulers.base import JobState, SchedulerError
from spawner.schedulers.command import Answer

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = dt.datetime(2024, 4, 12, 11, 30, 0, tzinfo=TOKYO).timestamp()
QUEUE_HEAD = "H,JOB_ID,ST,RSC_GRP,START_DATE,ELAPSE_LIM,ELAPSE_TIM,REASON\n"
HISTORY_HEAD = "H,JOB_ID,ST,EC,PC,SN,START_DATE,ELAPSE_TIM,REASON\n"


def at(*clock: int) -> float:
    return dt.datetime(2024, *clock, tzinfo=TOKYO).timestamp()


def queue(*lines: str, now: float = NOW):
    return pjm_text.queue(pjm_text.rows(QUEUE_HEAD + "\n".join(lines), 7), now, TOKYO)


def history(*lines: str):
    return pjm_text.history(pjm_text.rows(HISTORY_HEAD + "\n".join(lines), 8), NOW, TOKYO)


# Rows


def test_a_list_is_read_by_position_whatever_its_heading_calls_the_columns():
    text = "[INFO] PJM 0281 pjstat Data loading...\nH,A,B\n,6291500, RUN \n,34703955[1],QUE\n,71080_0,QUE\n"

    assert pjm_text.rows(text, 2) == [("6291500", "RUN"), ("34703955[1]", "QUE"), ("71080_0", "QUE")]


@pytest.mark.parametrize("text", ["", "\n", "H,JOB_ID,ST\n", "[INFO] PJM 0281 pjstat Data loading...\nH,JOB_ID,ST\n"])
def test_no_row_is_an_empty_list_with_and_without_a_heading(text):
    assert pjm_text.rows(text, 2) == []


@pytest.mark.parametrize(
    "text",
    [
        "H,JOB_ID\n,7\n",  # an item that this version does not know was dropped
        "H,JOB_ID,ST,USER\n,7,RUN,x\n",
        "JOB_ID     ST \n7          RUN\n",  # a site's wrapper that prints its own table
        "Wisteria/BDEC-01 scheduled stop time: 2023/03/31(Fri) 09:00:00 (Remain: 1days)\n\nJOB_ID  JOB_NAME  STATUS\n",
        ",7,RUN\n",
    ],
)
def test_what_is_no_such_list_says_of_no_job_that_it_is_gone(text):
    with pytest.raises(SchedulerError) as caught:
        pjm_text.rows(text, 2)
    assert caught.value.reason is Reason.SCHEDULER_DOWN


def test_a_comma_in_the_last_column_does_no_harm():
    assert pjm_text.rows("H,A,B\n,7,a, b,c\n", 2) == [("7", "a, b,c")]


@given(st.text() | st.lists(st.text(alphabet="H,[]0123456789RUNCQE:/() -\n"), max_size=9).map(",".join))
def test_any_text_is_read_or_refused(text):
    try:
        rows = pjm_text.rows(text, 7)
    except SchedulerError:
        return
    over = pjm_text.history([(*each, "") for each in rows], NOW, TOKYO)
    for status in (*pjm_text.queue(rows, NOW, TOKYO).values(), *over.values()):
        assert len(status.reason) <= 200


# The queue


def test_a_running_job_ends_when_its_limit_is_over_by_how_long_it_has_run():
    status = queue(",6291500,RUN,small,04/12 11:25:55,0001:00:00,0000:04:05,-")["6291500"]

    assert (status.state, status.starts, status.ends) == (JobState.RUNNING, NOW - 245, NOW - 245 + 3600)
    assert (status.node, status.uid, status.partition) == ("", None, "small")


def test_the_time_that_is_left_needs_no_clock_of_the_centres():
    line = ",7,RUN,small,01/01 00:00:00,0001:00:00,0000:04:05,-"
    assert queue(line)["7"].ends == NOW - 245 + 3600


@pytest.mark.parametrize("limit", ["-", "", "unlimited"])
def test_a_job_without_a_limit_has_no_end(limit):
    assert queue(f",7,RUN,small,04/12 11:25:55,{limit},0000:00:07,-")["7"].ends is None


@pytest.mark.parametrize(
    ("date", "starts"),
    [
        ("-", None),
        ("(04/12 11:40)", at(4, 12, 11, 40)),
        ("(04/13 00:10)<", at(4, 13, 0, 10)),
        ("(04/13 09:00)@", at(4, 13, 9, 0)),
        ("(2024/05/01)", at(5, 1)),
        ("(2024/05/01)#", at(5, 1)),
        ("(01/02 00:00)", at(1, 2)),
        ("(13/45 00:00)", None),
        ("(02/29 00:00)", at(2, 29)),
        ("tomorrow", None),
    ],
)
def test_a_planned_start_is_told(date, starts):
    status = queue(f",7,QUE,small,{date},0001:00:00,0000:00:00,-")["7"]

    assert (status.state, status.starts, status.ends) == (JobState.PENDING, starts, None)


def test_a_date_without_a_year_is_the_nearest():
    new_year = dt.datetime(2024, 12, 31, 23, 50, tzinfo=TOKYO).timestamp()

    status = queue(",7,QUE,small,(01/01 00:10),0001:00:00,0000:00:00,-", now=new_year)["7"]

    assert status.starts == new_year + 1200


@pytest.mark.parametrize(
    ("word", "spent", "state"),
    [
        *((word, "0000:00:00", JobState.PENDING) for word in ("ACC", "QUE", "RNA", "RNP", "HLD", "SPP", "SPD", "RSM")),
        *((word, "0000:01:00", JobState.RUNNING) for word in ("RUN", "SPP", "SPD", "RSM")),
        *((word, "0000:01:00", JobState.ENDING) for word in ("RNE", "RNO", "ERR")),
        *((word, "0000:01:00", JobState.ENDED) for word in ("EXT", "CCL", "RJT")),
        *((word, "0000:01:00", JobState.UNKNOWN) for word in ("SIN", "RDY", "SOT", "XYZ", "")),
    ],
)
def test_each_state_of_the_command_reference_has_its_meaning(word, spent, state):
    assert queue(f",7,{word},small,-,0001:00:00,{spent},-")["7"].state is state


@pytest.mark.parametrize(("word", "reason"), [("HLD", pjm_text.HELD), ("ERR", pjm_text.BROKEN), ("QUE", "RUNLIMIT EXCEED")])
def test_held_and_broken_are_known_by_the_state_and_not_by_what_stands_beside_it(word, reason):
    assert queue(f",7,{word},small,-,0001:00:00,-,RUNLIMIT EXCEED")["7"].reason == reason


def test_a_group_whose_name_was_cut_off_is_still_that_group():
    assert pjm_text.is_of("ct-link-", {"ct-link-nagoya"})
    assert not pjm_text.is_of("ct-link", {"ct-link-nagoya"})


# Those that are over


def test_a_job_that_was_killed_at_its_limit():
    """As Fugaku prints one: EC 0, PC 11, SN 24, 15:02 for a limit of 15:00."""
    status = history(",48969021,EXT,0,11,24,04/12 11:00:00,0000:15:02,ELAPSE LIMIT EXC")["48969021"]

    assert (status.state, status.ending) == (JobState.ENDED, Reason.TIME_UP)
    assert (status.starts, status.ends) == (at(4, 12, 11, 0), at(4, 12, 11, 15, 2))


def test_a_job_that_never_ran_has_no_times():
    status = history(",7,CCL,-,1,-,-,0000:00:00,-", ",8,CCL,-,1,-,(04/12 12:00),0000:00:00,-")

    assert {(each.starts, each.ends, each.ending) for each in status.values()} == {(None, None, Reason.CANCELLED)}


def test_only_what_is_over_is_history():
    assert history(",7,RUN,0,0,0,04/12 11:00:00,0000:15:02,-") == {}


@pytest.mark.parametrize(
    ("word", "code", "pjm_code", "signal", "reason"),
    [
        ("EXT", "0", "0", "15", Reason.JOB_DIED),
        ("EXT", "0", "0", "0", None),
        ("EXT", "71", "0", "0", Reason.SANDBOX_IMPOSSIBLE),
        ("EXT", "72", "0", "0", Reason.INTERNAL),
        ("EXT", "1", "0", "0", Reason.JOB_DIED),
        ("EXT", "137", "0", "0", Reason.JOB_DIED),
        ("EXT", "0", "11", "0", Reason.TIME_UP),
        ("EXT", "0", "7", "0", Reason.TIME_UP),
        ("EXT", "0", "9", "0", Reason.NODE_LOST),
        ("EXT", "0", "20", "0", Reason.NODE_LOST),
        ("EXT", "0", "16", "0", Reason.INTERNAL),
        ("EXT", "0", "12", "0", Reason.JOB_DIED),
        ("EXT", "0", "140", "0", Reason.JOB_DIED),
        ("EXT", "-", "-", "0", Reason.JOB_DIED),
        ("CCL", "0", "1", "0", Reason.CANCELLED),
        ("RJT", "0", "2", "0", Reason.SUBMIT_REFUSED),
    ],
)
def test_why_a_job_ended(word, code, pjm_code, signal, reason):
    assert history(f",7,{word},{code},{pjm_code},{signal},04/12 11:00:00,0000:00:09,any words")["7"].ending is reason


# Names


def test_a_job_is_found_by_as_much_of_its_name_as_is_shown():
    name, other = "renkei-abcdefgh12345678", "renkei-zzzzzzzz12345678"
    wanted = {pjm.job_name(each): each for each in (name, other)}
    rows = pjm_text.rows("H,A,B,C\n,1,RUN,rabcdefgh1\n,2,QUE,rabcdefgh12345678\n,3,QUE,rabc\n,4,QUE,STDIN\n", 3)

    assert pjm_text.names(rows, wanted) == {"1": (JobState.RUNNING, name), "2": (JobState.PENDING, name)}


# What pjsub says


@pytest.mark.parametrize(
    "text",
    [
        "6291500\n",
        "[INFO] PJM 0000 pjsub Job 6291500 submitted.\n",
        "[INFO] PJM 0000 pjsub Job 6291500 another wording\n",
        "[WARN] PJM 0024 pjsub ...\n6291500\n",
    ],
)
def test_a_job_id_is_read(text):
    assert pjm.parse_job_id(text) == "6291500"


@pytest.mark.parametrize("text", ["", "\n", "Job submitted\n", "12 13\n", "-12\n", "１２\n", "12345678901\n", "12 jobs wait\n"])
def test_anything_else_is_no_job_id_and_the_answer_counts_as_lost(text):
    with pytest.raises(SchedulerError) as caught:
        pjm.parse_job_id(text)
    assert (caught.value.reason, caught.value.lost) == (Reason.SCHEDULER_DOWN, True)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[ERR.] PJM 0054 pjsub node=1 is less than the lower limit (385).", Reason.TOO_LARGE),
        ("[ERR.] PJM 0057 pjsub elapse=18000 is greater than the upper limit (14400).", Reason.TOO_LARGE),
        ("[ERR.] PJM 0058 pjsub rscgrp=foo does not exist.", Reason.SUBMIT_REFUSED),
        ("[ERR.] PJM 0059 pjsub rscgrp=foo is disabled.", Reason.GROUP_CLOSED),
        ("[ERR.] PJM 0070 pjsub No execute permission: pjsub-bulk.", Reason.NOT_PERMITTED),
        ("[ERR.] PJM 0071 pjsub Group not authorized to submit a job: group(59999)", Reason.NOT_PERMITTED),
        ("[ERR.] PJM 0072 pjsub Job exceeded the accept limit: ru-accept.", Reason.CENTRE_LIMIT),
        ("[ERR.] PJM 0079 pjsub 予算残高が不足しています。", Reason.CENTRE_RULE),
        ("[ERR.] PJM 0001 pjsub Unknown option or no option argument: -X.\nTry `pjsub --help` ...", Reason.SUBMIT_REFUSED),
        ("The current directory is not a data area.", Reason.SUBMIT_REFUSED),
        ("sudo: a password is required", Reason.NO_UNIX_ACCOUNT),
        ("sudo: unknown user rs-mori", Reason.NO_UNIX_ACCOUNT),
        ("", Reason.SUBMIT_REFUSED),
    ],
)
def test_a_refusal_is_told_by_its_number(said, reason):
    error = pjm.refusal(Answer(1, "", said))
    assert (error.reason, error.again, error.lost) == (reason, False, False)


@pytest.mark.parametrize(("said", "lost"), [("[ERR.] PJM 0090 pjsub x", False), ("[ERR.] PJM 0091 pjsub Internal error: y.", True)])
def test_what_passes_is_tried_again_and_looked_for_first_where_it_may_have_been_done(said, lost):
    error = pjm.refusal(Answer(1, "", said))
    assert (error.reason, error.again, error.lost) == (Reason.SCHEDULER_DOWN, True, lost)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",))))
def test_the_wording_of_a_refusal_says_nothing(words):
    said = words.replace("[ERR.] PJM", "")
    assert pjm.refusal(Answer(1, "", f"[ERR.] PJM 0057 pjsub {said}")).reason is Reason.TOO_LARGE
