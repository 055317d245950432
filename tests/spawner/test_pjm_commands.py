"""The verbs of the PJM adapter, given commands that answer as PJM's do."""

import json
import os
import pwd
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from enclave.messages import Reason
from spawner.schedulers import pjm as adapter
from spawner.schedulers.base import JobState, SchedulerError
from spawner.schedulers.pjm import Pjm
from spawner.site import PjmSite, Scheduler

ME = pwd.getpwuid(os.getuid()).pw_name
COMMAND = """#!/usr/bin/python3 -IS
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
name = pathlib.Path(sys.argv[0]).name
line = [name, *sys.argv[1:]]
with (here / "said").open("a") as log:
    log.write(json.dumps([*line, "in", os.getcwd(), sys.stdin.read()]) + "\\n")
(here / "nice").write_text(str(os.nice(0)))
for word, (code, out, err) in json.loads((here / "answers").read_text()).items():
    if word in " ".join(line):
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(code)
sys.exit("unexpected")
"""
SUDO = """#!/bin/sh
test "$1 $2" = "-n -u" || exit 9
echo "$3" >> "$(dirname "$0")/accounts"
shift 3
exec "$@"
"""
QUEUE = "H,JOB_ID,ST,RSC_GRP,START_DATE,ELAPSE_LIM,ELAPSE_TIM,REASON\n"
HISTORY = "H,JOB_ID,ST,EC,PC,SN,START_DATE,ELAPSE_TIM,REASON\n"
RUNNING = ",7,RUN,ct-link,04/12 11:25:55,0001:00:00,0000:00:07,-\n"
NOT_RUNNING = {"pjsig": (1, "", "[ERR.] PJM 0713 pjsig Job 7 status is not running.")}
NO_QUEUE, NO_HISTORY = {"--choose=jid,st,rscg": (0, QUEUE, "")}, {"-H day=2": (0, HISTORY, "")}


class Centre:
    """Commands in a folder, and what they were asked."""

    def __init__(self, folder: Path, *, sees_all: bool = False) -> None:
        self.folder = folder
        for name, text in (("pjsub", COMMAND), ("pjstat", COMMAND), ("pjdel", COMMAND), ("pjsig", COMMAND), ("sudo", SUDO)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        settings = Scheduler(
            commands=str(folder), sudo=str(folder / "sudo"), pjm=PjmSite(folder=str(folder), sees_all=sees_all)
        )  # fmt: skip
        self.pjm = Pjm(settings, ZoneInfo("Asia/Tokyo"), {"ct-link"})

    def answer(self, **by_words: tuple[int, str, str]) -> None:
        (self.folder / "answers").write_text(json.dumps(by_words))

    @property
    def said(self) -> list[list[str]]:
        path = self.folder / "said"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def accounts(self) -> list[str]:
        path = self.folder / "accounts"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def centre(tmp_path):
    return Centre(tmp_path)


async def test_a_job_is_handed_in_on_stdin_in_the_shared_folder_with_nothing_of_it_in_argv(centre):
    centre.answer(pjsub=(0, "7\n", ""))

    assert await centre.pjm.submit("#!/bin/bash\necho\n", "rs-tanaka") == "7"

    assert centre.said == [["pjsub", "-z", "jid", "in", str(centre.folder), "#!/bin/bash\necho\n"]]
    assert centre.accounts == ["rs-tanaka"]


async def test_a_script_that_pjm_would_cut_off_is_never_handed_in(centre):
    with pytest.raises(SchedulerError) as caught:
        await centre.pjm.submit(f"#!/bin/bash\n: {'x' * 4094}\n", "rs-tanaka")
    assert caught.value.reason is Reason.INTERNAL
    assert centre.said == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [((1, "", "[ERR.] PJM 0072 pjsub x"), Reason.CENTRE_LIMIT), ((0, "[INFO] nothing\n", ""), Reason.SCHEDULER_DOWN)],
)
async def test_a_submission_is_one_only_with_exit_code_and_number(centre, answer, reason):
    centre.answer(pjsub=answer)
    with pytest.raises(SchedulerError) as caught:
        await centre.pjm.submit("#!/bin/bash\n", "rs-tanaka")
    assert caught.value.reason is reason


async def test_each_account_is_asked_once_about_its_own_jobs(centre):
    centre.answer(**{"--choose=jid,st,rscg": (0, QUEUE + RUNNING + RUNNING.replace(",7,", ",8,"), "")})
    for job, account in (("7", "rs-tanaka"), ("8", "rs-tanaka")):
        centre.pjm.know(account, job)

    found = await centre.pjm.query({"7", "8"})

    assert {job: each.state for job, each in found.items()} == {"7": JobState.RUNNING, "8": JobState.RUNNING}
    assert centre.accounts == ["rs-tanaka"]


async def test_where_the_hub_sees_all_jobs_one_question_is_enough(tmp_path):
    centre = Centre(tmp_path, sees_all=True)
    others = ",9,QUE,ct-link,-,0001:00:00,0000:00:00,-\n,10,QUE,other,-,0001:00:00,0000:00:00,-\n"
    centre.answer(**{"-A --data": (0, QUEUE + RUNNING + others, "")})

    found = await centre.pjm.query({"7"})

    assert (set(found), len(centre.said), centre.accounts) == ({"7", "9"}, 1, [])


async def test_a_question_yields_to_the_hub_itself_and_a_submission_does_not(centre):
    centre.answer(pjsub=(0, "7\n", ""), **{"--data": (0, QUEUE + RUNNING, "")})

    await centre.pjm.submit("#!/bin/bash\n", "rs-tanaka")
    assert (centre.folder / "nice").read_text() == str(os.nice(0))
    await centre.pjm.query({"7"})
    assert (centre.folder / "nice").read_text() == str(min(os.nice(0) + 10, 19))


async def test_a_job_whose_account_nobody_told_is_unknown_and_not_gone(centre):
    assert (await centre.pjm.query({"7"}))["7"].state is JobState.UNKNOWN
    assert centre.said == []


async def test_a_job_is_gone_only_where_the_ended_do_not_know_it_either(centre):
    centre.pjm.know("rs-tanaka", "7")
    centre.answer(**{"-H day=2": (0, HISTORY + ",7,EXT,0,11,24,04/12 11:00:00,0000:15:02,-\n", ""), **NO_QUEUE})
    assert (await centre.pjm.query({"7"}))["7"].ending is Reason.TIME_UP

    centre.answer(**NO_HISTORY, **NO_QUEUE)
    assert await centre.pjm.query({"7"}) == {}


async def test_silence_of_the_ended_ends_nothing(centre):
    centre.pjm.know("rs-tanaka", "7")
    centre.answer(**{"-H day=2": (1, "", "[ERR.] PJM 0290 pjstat PJM daemon is not present."), **NO_QUEUE})

    with pytest.raises(SchedulerError) as caught:
        await centre.pjm.query({"7"})
    assert caught.value.reason is Reason.SCHEDULER_DOWN


async def test_an_account_that_can_not_be_asked_leaves_the_others_seen(centre):
    sudo = SUDO.replace("shift 3", 'test "$3" = rs-gone && { echo "sudo: unknown user rs-gone" >&2; exit 1; }\nshift 3')
    (centre.folder / "sudo").write_text(sudo)
    centre.pjm.know("rs-tanaka", "7")
    centre.pjm.know("rs-gone", "8")
    centre.answer(**{"--choose=jid,st,rscg": (0, QUEUE + RUNNING, "")})

    found = await centre.pjm.query({"7", "8"})

    assert (found["7"].state, found["8"].state) == (JobState.RUNNING, JobState.UNKNOWN)


async def test_a_broken_job_is_deleted_since_it_would_stay_for_ever(centre):
    centre.pjm.know("rs-tanaka", "7")
    broken = QUEUE + RUNNING.replace("RUN", "ERR")
    centre.answer(pjdel=(0, "[INFO] PJM 0100 pjdel Accepted job 7.\n", ""), **{"--data": (0, broken, "")})

    assert (await centre.pjm.query({"7"}))["7"].state is JobState.ENDING
    assert ["pjdel", "7"] in [line[:2] for line in centre.said]


async def test_a_held_job_waits(centre):
    centre.pjm.know("rs-tanaka", "7")
    centre.answer(**{"--data": (0, QUEUE + RUNNING.replace("RUN", "HLD"), "")})

    assert (await centre.pjm.query({"7"}))["7"].state is JobState.PENDING
    assert not any(line[0] == "pjdel" for line in centre.said)


@pytest.mark.parametrize(
    "answer",
    [
        (0, "[INFO] PJM 0100 pjdel Accepted job 7.\n", ""),
        (0, "[INFO] PJM 0119 pjdel Already accepted job 7.\n", ""),
        (1, "", "[ERR.] PJM 0119 pjdel x"),
        (1, "", "[ERR.] PJM 0112 pjdel Job 7 does not exist."),
    ],
)
async def test_a_job_that_is_gone_or_going_is_no_error(centre, answer):
    centre.answer(pjdel=answer, **NOT_RUNNING)
    await centre.pjm.cancel("7", "rs-tanaka")
    assert [line[0] for line in centre.said] == ["pjsig", "pjdel"]


async def test_a_job_that_runs_is_told_to_end_before_it_would_be_killed(centre):
    centre.answer(pjsig=(0, "[INFO] PJM 0700 pjsig Accepted job 7.\n", ""), **NO_QUEUE)
    await centre.pjm.cancel("7", "rs-tanaka")
    assert centre.said[0][:4] == ["pjsig", "-s", "TERM", "7"]
    assert not any(line[0] == "pjdel" for line in centre.said)


async def test_a_job_that_does_not_end_when_it_is_told_is_deleted(centre, monkeypatch):
    monkeypatch.setattr(adapter, "GENTLE_S", 0.01)
    centre.answer(pjsig=(0, "", ""), pjdel=(0, "", ""), **{"--data": (0, QUEUE + RUNNING, "")})
    await centre.pjm.cancel("7", "rs-tanaka")
    assert centre.said[-1][:2] == ["pjdel", "7"]


@pytest.mark.parametrize(("row", "fine"), [("", True), ("EXT", True), ("RNO", True), ("RNP", False), ("RUN", False)])
async def test_a_state_in_which_it_can_not_be_deleted_is_looked_at(centre, row, fine):
    rows = RUNNING.replace("RUN", row) if row else ""
    refused = (1, "", "[ERR.] PJM 0113 pjdel Job 7 is not in the state ...")
    centre.answer(pjdel=refused, **NOT_RUNNING, **{"--data": (0, QUEUE + rows, "")})

    if fine:
        await centre.pjm.cancel("7", "rs-tanaka")
    else:
        with pytest.raises(SchedulerError):
            await centre.pjm.cancel("7", "rs-tanaka")


@pytest.mark.parametrize("job", ["", "7 8", "7_1", "-h", "12345678901", "７"])
async def test_only_one_jobs_number_reaches_a_command(centre, job):
    with pytest.raises(SchedulerError):
        await centre.pjm.cancel(job, "rs-tanaka")
    assert centre.said == []


async def test_a_lost_job_is_found_by_its_name_among_the_waiting_and_the_ended(centre):
    names = "H,JOB_ID,ST,JOB_NAME\n"
    centre.answer(
        **{"-H day=2": (0, names + ",6,EXT,rabcdefgh1\n", ""), "--data": (0, names + ",7,QUE,rabcdefgh1\n,8,QUE,STDIN\n", "")}
    )
    assert await centre.pjm.find({"renkei-abcdefgh12345678"}) == ()

    centre.pjm.know(ME)
    found = await centre.pjm.find({"renkei-abcdefgh12345678"})

    assert {(each.job, each.state) for each in found} == {("7", JobState.PENDING), ("6", JobState.ENDED)}
    assert {(each.name, each.uid) for each in found} == {("renkei-abcdefgh12345678", os.getuid())}
    assert await centre.pjm.find(()) == ()


async def test_why_a_job_ended_is_asked_of_its_own_account(centre):
    centre.pjm.know("rs-tanaka", "7")
    centre.answer(**{"-H day=2": (0, HISTORY + ",7,EXT,71,0,0,04/12 11:00:00,0000:00:02,-\n", "")})

    assert await centre.pjm.ending("7") is Reason.SANDBOX_IMPOSSIBLE
    assert centre.accounts == ["rs-tanaka"]


async def test_what_pjm_does_not_offer_is_said(centre):
    assert await centre.pjm.capacity() == ()
    for question in (centre.pjm.extend("7", 30), centre.pjm.node_addresses("cx01")):
        with pytest.raises(SchedulerError):
            await question


async def test_a_folder_that_is_not_there_is_an_error_and_no_submission(tmp_path):
    settings = Scheduler(commands=str(tmp_path), pjm=PjmSite(folder="/nonexistent"))
    with pytest.raises(SchedulerError) as caught:
        await Pjm(settings, ZoneInfo("Asia/Tokyo")).submit("#!/bin/bash\n", "rs-tanaka")
    assert caught.value.reason is Reason.SCHEDULER_DOWN
