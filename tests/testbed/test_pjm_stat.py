"""What the emulator's pjstat prints, and that the adapter reads it whichever way the open questions are answered."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from spawner.schedulers import pjm, pjm_text
from spawner.schedulers.base import JobState, SchedulerError
from testbed.pjm import listing
from testbed.pjm.switches import Switches, load, text
from tests.testbed.test_pjm import GROUPS, SCRIPT, House

PLAIN_HEAD = (
    "JOB_ID     JOB_NAME   MD ST  USER     START_DATE      ELAPSE_LIM            NODE_REQUIRE    VNODE  CORE V_MEM       \n"
)
FULL_HEAD = (
    "JOB_ID     JOB_NAME   MD ST  USER     GROUP    START_DATE      ELAPSE_TIM ELAPSE_LIM            NODE_REQUIRE    VNODE  CORE "
    "V_MEM        V_POL E_POL RANK      LST EC  PC  SN PRI ACCEPT         RSC_GRP  REASON          \n"
)
"""As a terminal's log of a real machine shows them, 218 characters."""


@pytest.fixture
def house():
    return House()


def test_the_tables_have_the_columns_and_widths_of_a_real_terminals_log(house):
    assert house.say("pjstat").out == PLAIN_HEAD
    assert house.say("pjstat", "-v").out == FULL_HEAD
    assert len(FULL_HEAD) - 1 == 218
    number = house.running()
    row = house.say("pjstat").out.splitlines()[1]
    assert row.startswith(f"{number}    rabcdefgh1 NM RUN rs-tanak ")
    assert "4096 MiB" in row
    assert len(row) == len(PLAIN_HEAD) - 1


@pytest.mark.parametrize(("heading", "out"), [(True, "H,JOB_ID,ST\n"), (False, "")])
def test_an_id_that_nobody_knows_is_no_error_and_no_row(house, heading, out):
    house.turn(heading_without_rows=heading)
    said = house.say("pjstat", "--data", "--choose=jid,st", "77")
    assert (said.out, said.err, said.code) == (out, "", 0)
    assert pjm_text.rows(said.out, 2) == []


def test_what_is_no_id_is_an_error(house):
    assert house.say("pjstat", "r1").err == "[ERR.] PJM 0211 pjstat Invalid jobid: r1.\n"
    assert "PJM 0211" in house.say("pjstat", "-H", "r1").err


def test_ids_may_be_ranges(house):
    numbers = [house.submit() for _ in range(3)]
    said = house.say("pjstat", "--data", "--choose=jid", f"{numbers[0]}-{numbers[1]}")
    assert said.out.split() == ["H,JOB_ID", f",{numbers[0]}", f",{numbers[1]}"]


def test_items_that_there_are_not_are_dropped_without_a_word_and_the_adapter_notices(house):
    house.submit()
    said = house.say("pjstat", "--data", "--choose=jid,nonsense,st")
    assert said.out.startswith("H,JOB_ID,ST\n")
    with pytest.raises(SchedulerError):
        pjm_text.rows(said.out, 3)


@pytest.mark.parametrize("linger_s", [0.0, 60.0])
def test_a_job_that_is_over_is_seen_with_h_and_perhaps_for_a_while_without(house, linger_s):
    house.turn(linger_s=linger_s)
    number = house.running()
    house.end(number)
    assert (str(number) in house.say("pjstat").out) is bool(linger_s)
    assert str(number) in house.say("pjstat", "-H", "day=2").out
    house.centre.jobs[number].ended -= 3 * 86_400
    assert str(number) not in house.say("pjstat", "-H", "day=2").out
    assert "PJM 0203" in house.say("pjstat", "-H", "day=0").err


@pytest.mark.parametrize(("history_days", "there"), [(3, False), (5, True)])
def test_how_far_back_h_goes_that_does_not_say(house, history_days, there):
    house.turn(history_days=history_days)
    number = house.running()
    house.end(number)
    house.centre.jobs[number].ended -= 4 * 86_400
    assert (str(number) in house.say("pjstat", "-H").out) is there


@pytest.mark.parametrize("sees_all", [False, True])
def test_whose_jobs_are_shown(house, sees_all):
    house.turn(sees_all=sees_all)
    number = house.submit()
    assert str(number) not in house.say("pjstat", user="rs-suzuki", uid=20102).out
    assert (str(number) in house.say("pjstat", "-A", user="rs-suzuki", uid=20102).out) is sees_all


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("long_headings", [True, False])
def test_data_is_read_by_the_adapter_however_it_calls_and_cuts_its_columns(house, cut, long_headings):
    house.turn(cut_in_data=cut, long_headings=long_headings, loading=True)
    number = house.running()
    name = "renkei-abcdefgh12345678"
    rows = pjm_text.rows(house.say("pjstat", "--data", f"--choose={','.join(pjm_text.NAMES)}").out, 3)
    assert pjm_text.names(rows, {pjm.job_name(name): name}) == {str(number): (JobState.RUNNING, name)}
    queue = pjm_text.rows(house.say("pjstat", "--data", f"--choose={','.join(pjm_text.QUEUE)}").out, 7)
    status = pjm_text.queue(queue, time.time(), listing.JST)[str(number)]
    assert (status.state, status.partition, round(status.ends - time.time(), -2)) == (JobState.RUNNING, "cx-link", 3600)


@pytest.mark.parametrize(
    ("code", "signum", "deleted", "reason"),
    [
        (0, 0, False, None),
        (71, 0, False, "sandbox-impossible"),
        (0, 9, True, "cancelled"),
        (3, 0, False, "job-died"),
        (0, 15, False, "job-died"),
    ],
)
def test_the_adapter_reads_why_a_job_ended_out_of_the_history(house, code, signum, deleted, reason):
    number = house.running()
    if deleted:
        house.say("pjdel", str(number))
    house.end(number, code, signum)
    rows = pjm_text.rows(house.say("pjstat", "-H", "day=2", "--data", f"--choose={','.join(pjm_text.HISTORY)}").out, 8)
    assert pjm_text.history(rows, time.time(), listing.JST)[str(number)].ending == reason


def test_a_sites_own_program_in_the_place_of_pjstat_tells_the_adapter_nothing(house):
    house.submit()
    house.turn(wrapper=True)
    with pytest.raises(SchedulerError):
        pjm_text.rows(house.say("pjstat", "--data", "--choose=jid,st").out, 2)


@pytest.mark.parametrize(("padded", "row"), [(True, "6291500    ACC\n"), (False, "6291500 ACC\n")])
def test_chosen_columns_may_be_padded_or_not(house, padded, row):
    house.turn(padded=padded)
    house.submit()
    assert house.say("pjstat", "--choose", "jid,st").out.splitlines(keepends=True)[1] == row


def test_filters_and_sums(house):
    house.running()
    house.submit(user="rs-suzuki", uid=20102)
    assert house.say("pjstat", "--data", "--choose=jid", "--filter", "st=QUE+ACC").out == "H,JOB_ID\n"
    lines = house.say("pjstat", "--summary").out.splitlines()
    assert lines[0].split() == list(listing.SUMMARY)
    assert lines[1].split()[2] == "1"
    assert lines[2].startswith("s ")


def test_the_statistics_of_a_job_show_neither_its_script_nor_its_environment(house):
    house.say("pjsub", "-x", "TOKEN=secret", "--comment", "words", script=SCRIPT.replace("sleep 9", "sleep 9 # secret"))
    said = house.say("pjstat", "-s").out
    assert "JOB ID" in said
    assert "words" in said
    assert "secret" not in said


def test_switches_are_read_as_they_were_written(tmp_path):
    (tmp_path / "pjm.json").write_text(text(Switches(groups=GROUPS, linger_s=3)))
    assert load(tmp_path / "pjm.json") == Switches(groups=GROUPS, linger_s=3)


def test_no_switch_is_there_that_no_test_turns():
    tests = [*Path(__file__).parent.glob("test_pjm*.py"), *(Path(__file__).parents[1] / "spawner").glob("test_pjm*.py")]
    turned = "".join(path.read_text() for path in tests)
    assert [
        each.name for each in dataclasses.fields(Switches) if f"{each.name}=" not in turned and f'"{each.name}"' not in turned
    ] == []
