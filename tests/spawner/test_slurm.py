"""Slurm's text becomes typed values in one place; what it does not say clearly is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Reason
from spawner.schedulers import slurm
from spawner.schedulers.base import JobState, JobStatus, SchedulerError
from spawner.schedulers.command import Answer, CommandError, run
from spawner.site import Scheduler


def test_a_queue_is_read():
    text = (
        "7|RUNNING|20101|cx01|1795434923|1795438523|ct-link|4294901759|gres:gpu:2|None\n"
        "8|PENDING|20102||1795440000|1795443600|ct-link|4294901757|gres:gpu:1|Priority\n"
        "9|COMPLETING|20102|cx02|1795434000|1795434100|ct-link|4294901758|N/A|NonZeroExitCode\n"
        "10|PENDING|20102||N/A|N/A|ct-link|4294901756|N/A|ReqNodeNotAvail, UnavailableNodes:cx[01-02]|x\n"
        "11|TIMEOUT|20102|cx02|1795434000|1795434100|ct-link|4294901755|N/A|TimeLimit\n"
    )

    found = slurm.parse_queue(text)

    assert found["7"] == JobStatus(
        state=JobState.RUNNING,
        uid=20101,
        node="cx01",
        reason="None",
        starts=1795434923.0,
        ends=1795438523.0,
        partition="ct-link",
        gpus=2,
    )
    assert found["8"].state is JobState.PENDING
    assert (found["8"].node, found["8"].starts) == ("", 1795440000.0)
    assert found["9"].state is JobState.ENDING
    assert found["10"].reason == "ReqNodeNotAvail, UnavailableNodes:cx[01-02]|x"
    assert found["10"].starts is None
    assert [found[job].before for job in ("7", "8", "9", "10", "11")] == [None, 0, None, 1, None]
    assert (found["11"].state, found["11"].ending) == (JobState.ENDED, Reason.TIME_UP)


def test_a_word_that_slurm_may_learn_later_is_unknown_and_not_ended():
    assert slurm.parse_queue("7|DREAMING|20101|cx01|1|2|ct-link|1|N/A|None\n")["7"].state is JobState.UNKNOWN


@pytest.mark.parametrize("job", ["7 ", "7;renkei", "-7", "", "7_", "７"])
def test_a_line_of_no_job_is_left_out(job):
    assert slurm.parse_queue(f"{job}|RUNNING|20101|cx01|1|2|ct-link|1|N/A|None\n") == {}


QUEUE = [
    "20|PENDING|1||N/A|N/A|ct-link|500|N/A|Priority",
    "21|PENDING|1||N/A|N/A|ct-link|900|N/A|Resources",
    "22_[1-40]|PENDING|1||N/A|N/A|ct-link,other|700|N/A|Priority",
    "23|PENDING|1||N/A|N/A|ct-link|0|N/A|JobHeldUser",
    "24|PENDING|1||N/A|N/A|ct-link|950|N/A|Dependency",
    "25|PENDING|1||N/A|N/A|other|600|N/A|Priority",
    "19|PENDING|1||N/A|N/A|ct-link|500|N/A|Priority",
    "26|RUNNING|1|cx01|1|2|ct-link|999|N/A|None",
]
"""A queue whose order is 21, 22 (an array), 19, 20 on the one side and 22, 25 on the other."""


def test_the_place_in_the_queue_is_slurm_s_own_order():
    found = slurm.parse_queue("\n".join(QUEUE))

    assert [found[job].before for job in ("21", "22_[1-40]", "19", "20")] == [0, 0, 2, 3]
    assert found["25"].before == 1
    assert [found[job].before for job in ("23", "24", "26")] == [None] * 3


@given(st.permutations(QUEUE))
def test_the_order_of_the_lines_says_nothing(lines):
    assert slurm.parse_queue("\n".join(lines)) == slurm.parse_queue("\n".join(QUEUE))


def test_of_others_only_what_is_alive_where_sessions_run_is_told():
    lines = [*QUEUE, "27|FAILED|1|cx01|1|2|ct-link|1|N/A|None", "28|FAILED|1|cx01|1|2|other|1|N/A|None"]

    found = slurm.parse_queue("\n".join(lines), {"25", "28"}, frozenset({"ct-link"}))

    assert set(found) == {"19", "20", "21", "22_[1-40]", "23", "24", "25", "26", "28"}


def test_a_job_on_several_nodes_has_no_node():
    assert slurm.parse_queue("7|RUNNING|20101|cx[01-02]|1|2|ct-link|1|N/A|None\n")["7"].node == ""


@given(st.text() | st.lists(st.text(alphabet="|0123456789RUNNINGcx \n"), max_size=9).map("|".join))
def test_any_text_is_read_without_an_exception(text):
    for job, status in slurm.parse_queue(text).items():
        assert job.isascii()
        assert job[0].isdigit()
        assert len(status.reason) <= 200
    slurm.parse_ending(text)


@given(
    st.integers(1, 10**9),
    st.sampled_from(sorted(slurm.STATES)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 10**11),
    st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"), blacklist_characters="\x85"), max_size=50),
)
def test_what_slurm_says_is_what_is_read(job, state, uid, start, reason):
    status = slurm.parse_queue(f"{job}|{state}|{uid}|cx01|{start}|N/A|ct-link|17|gres:gpu:4|{reason}")[str(job)]

    assert (status.state, status.uid, status.starts) == (slurm.STATES[state], uid, float(start))
    assert status.reason == reason.rstrip()
    assert (status.ending is not None) <= (status.state is JobState.ENDED)


@pytest.mark.parametrize(("text", "job"), [("12\n", "12"), ("12;renkei\n", "12")])
def test_a_job_id_is_read(text, job):
    assert slurm.parse_job_id(text) == job


@pytest.mark.parametrize("text", ["", "\n", "Submitted batch job 12\n", "12 13\n", "-12\n", "12\n13\n", "１２\n"])
def test_anything_else_is_no_job_id(text):
    with pytest.raises(SchedulerError) as caught:
        slurm.parse_job_id(text)
    assert caught.value.reason is Reason.SCHEDULER_DOWN


SHOWN = "JobId=1 JobName=renkei-x UserId=rs-tanaka(20101) JobState={state} Reason=NonZeroExitCode ExitCode={code} RunTime=1"


@pytest.mark.parametrize(
    ("state", "code", "reason"),
    [
        ("FAILED", "71:0", Reason.SANDBOX_IMPOSSIBLE),
        ("COMPLETING", "71:0", Reason.SANDBOX_IMPOSSIBLE),
        ("FAILED", "72:0", Reason.INTERNAL),
        ("FAILED", "73:0", Reason.JOB_DIED),
        ("FAILED", "0:9", Reason.JOB_DIED),
        ("NODE_FAIL", "0:0", Reason.NODE_LOST),
        ("CANCELLED", "0:0", Reason.CANCELLED),
        ("TIMEOUT", "0:0", Reason.TIME_UP),
        ("COMPLETED", "0:0", None),
        ("RUNNING", "0:0", None),
    ],
)
def test_why_a_job_ended(state, code, reason):
    assert slurm.parse_ending(SHOWN.format(state=state, code=code)) is reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("sbatch: error: Batch job submission failed: User's group not permitted to use this partition", Reason.NOT_PERMITTED),
        ("sbatch: error: Batch job submission failed: Access/permission denied", Reason.NOT_PERMITTED),
        ("sudo: unknown user rs-mori\nsudo: error initializing audit plugin sudoers_audit", Reason.NO_UNIX_ACCOUNT),
        ("sudo: a password is required", Reason.NO_UNIX_ACCOUNT),
        ("sbatch: error: Batch job submission failed: Invalid user id", Reason.NO_UNIX_ACCOUNT),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            Reason.SCHEDULER_DOWN,
        ),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", Reason.SUBMIT_REFUSED),
        ("", Reason.SUBMIT_REFUSED),
    ],
)
def test_a_refusal_is_told_by_its_wording(said, reason):
    assert slurm.refusal(Answer(1, "", said)).reason is reason


async def test_a_command_gets_its_own_environment_and_no_shell():
    answer = await run(("/usr/bin/env",), env={"ONLY": "$(id) ; `id`"})

    assert answer == Answer(0, "ONLY=$(id) ; `id`\n", "")


async def test_a_command_that_hangs_is_ended():
    with pytest.raises(CommandError, match="no answer within"):
        await run(("/usr/bin/sleep", "60"), env={}, timeout_s=0.2)


async def test_a_command_that_never_stops_talking_is_ended():
    with pytest.raises(CommandError, match="longer than"):
        await run(("/usr/bin/yes",), env={})


async def test_a_command_that_is_not_there_is_an_error():
    with pytest.raises(CommandError, match="No such file"):
        await run(("/nonexistent/sbatch",), env={})


async def test_a_batch_system_that_is_not_there_is_down():
    cluster = slurm.Slurm(Scheduler(commands="/nonexistent"))

    with pytest.raises(SchedulerError) as caught:
        await cluster.query({"1"})
    assert caught.value.reason is Reason.SCHEDULER_DOWN


@pytest.mark.parametrize("node", ["", "cx01 --oneliner", "-h", "cx[01-02]", "cx01\nNodeAddr=1"])
async def test_only_a_node_name_is_asked_for(node):
    with pytest.raises(SchedulerError) as caught:
        await slurm.Slurm(Scheduler()).node_addresses(node)
    assert caught.value.reason is Reason.INTERNAL
