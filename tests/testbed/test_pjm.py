"""The emulator of PJM says what the manuals and logs say; what those leave open can be turned both ways, and is turned here."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.schedulers import pjm
from testbed.pjm import options
from testbed.pjm.centre import Centre
from testbed.pjm.job import Job
from testbed.pjm.said import RefusedError
from testbed.pjm.switches import Group, Switches
from testbed.pjm.verbs import Caller, Verbs

GROUPS = {"cx-link": Group(("cx01", "cx02"), 4, "ct-link"), "cx-share": Group(("cx03",), 4, elapse=14_400)}
SCRIPT = """#!/bin/bash
#PJM -L rscgrp=cx-link,elapse=1:00:00,gpu=1
#PJM -N rabcdefgh12345678
#PJM --norestart -j -o /dev/null
sleep 9
"""
class Processes:
    """A job's processes as far as the centre knows them: what they were sent."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def signal(self, number: int) -> None:
        self.sent.append(number)


class House:
    """Commands over a centre without nodes; time goes on only when `step` is called."""

    def __init__(self, **changes) -> None:
        self.started: dict[int, Processes] = {}
        self.centre = Centre(self._start, first=6_291_500)
        self.verbs = Verbs(self.centre, lambda node: f"ip of {node}")
        self.switches = Switches(groups=GROUPS, prologue_s=0, epilogue_s=0, **changes)

    def _start(self, job: Job) -> Processes:
        self.started[job.number] = Processes()
        return self.started[job.number]

    def turn(self, **changes) -> None:
        self.switches = Switches(**{**{name: getattr(self.switches, name) for name in vars(self.switches)}, **changes})

    def say(self, *argv: str, script: str = "", user: str = "rs-tanaka", uid: int = 20101, folder: str = "/data", files=None):
        groups = frozenset({user, "ct-link"} if user != "rs-yamada" else {user})
        caller = Caller(
            user=user, uid=uid, gid=uid, group=user, groups=groups, home=f"/home/{user}", folder=folder,
            environment={"SECRET": "1"}, script=script, files=files or {},
        )  # fmt: skip
        return self.verbs.answer(list(argv), caller, self.switches)

    def submit(self, script: str = SCRIPT, **more) -> int:
        said = self.say("pjsub", "-z", "jid", script=script, **more)
        assert said.code == 0, said.err
        return int(said.out)

    def state(self, number: int) -> str:
        return self.centre.jobs[number].state

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.centre.step(self.switches)

    def running(self, script: str = SCRIPT) -> int:
        number = self.submit(script)
        self.step(4)
        assert self.state(number) == "RUN"
        return number

    def end(self, number: int, code: int = 0, signum: int = 0, *, folder: bool = True) -> None:
        self.centre.ended(number, self.started[number], code, signum, folder=folder)
        self.step(2)


@pytest.fixture
def house():
    return House()


# pjsub


def test_a_job_that_was_taken_is_told_on_stdout_in_the_manuals_words(house):
    said = house.say("pjsub", script=SCRIPT)
    assert (said.out, said.err, said.code) == ("[INFO] PJM 0000 pjsub Job 6291500 submitted.\n", "", 0)


def test_z_prints_the_number_alone_and_the_adapter_reads_both(house):
    numbered, worded = house.say("pjsub", "-z", "jid", script=SCRIPT).out, house.say("pjsub", script=SCRIPT).out
    assert (numbered, pjm.parse_job_id(numbered), pjm.parse_job_id(worded)) == ("6291500\n", "6291500", "6291501")


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        (SCRIPT, ["--sbatch"], "[ERR.] PJM 0001 pjsub Unknown option or no option argument: --sbatch.\nTry `pjsub --help`"),
        ("#PJM -N 'x\n", [], "[ERR.] PJM 0008 pjsub "),
        (SCRIPT, ["nowhere.sh"], "[ERR.] PJM 0020 pjsub File open failed: nowhere.sh (2).\n"),
        (SCRIPT, ["a.sh", "b.sh"], "[ERR.] PJM 0023 pjsub "),
        (f"#!/bin/bash\n{'x' * 4096}\n", [], "[ERR.] PJM 0025 pjsub Line length too long.\n"),
        (SCRIPT.replace("1:00:00", "25:00:00"), [], "[ERR.] PJM 0057 pjsub elapse=90000 is greater than the upper limit (86400)."),
        (SCRIPT.replace("gpu=1", "gpu=5"), [], "[ERR.] PJM 0057 pjsub gpu=5 is greater than the upper limit (4).\n"),
        (SCRIPT.replace("cx-link", "foo"), [], "[ERR.] PJM 0058 pjsub rscgrp=foo does not exist.\n"),
        (SCRIPT.replace("rscgrp=cx-link,", ""), [], "[ERR.] PJM 0069 pjsub rscgrp in -L option is not specified.\n"),
        (SCRIPT, ["--interact"], "[ERR.] PJM 0070 pjsub No execute permission.\n"),
        (SCRIPT, ["-g", "others"], "[ERR.] PJM 0071 pjsub Group not authorized to submit a job: others\n"),
        (SCRIPT.replace("gpu=1", "gpu=one"), [], "[ERR.] PJM 0076 pjsub "),
        (SCRIPT, ["-N", "1st"], "[ERR.] PJM 0004 pjsub "),
    ],
)
def test_what_is_refused_is_told_on_stderr_with_its_number(house, script, arguments, said):
    answer = house.say("pjsub", *arguments, script=script)
    assert (answer.out, answer.code, house.centre.jobs) == ("", 1, {})
    assert answer.err.startswith(said)


def test_who_may_not_use_a_group_is_refused_it(house):
    assert house.say("pjsub", script=SCRIPT, user="rs-yamada", uid=20105).err == "[ERR.] PJM 0070 pjsub No execute permission.\n"


@pytest.mark.parametrize(
    ("changes", "number"),
    [({"site_text": "予算残高が不足しています。"}, "0079"), ({"accept_limit": 1}, "0072"), ({"outage": "90"}, "0090"),
     ({"outage": "91"}, "0091"), ({"groups": {"cx-link": Group(("cx01",), disabled=True)}}, "0059")],
)  # fmt: skip
def test_what_an_administrator_or_a_bad_day_refuses_can_be_turned(house, changes, number):
    first = house.submit()
    house.turn(**changes)
    assert house.say("pjsub", script=SCRIPT).err.startswith(f"[ERR.] PJM {number} pjsub ")
    house.turn(site_text="", accept_limit=0, outage="", groups=GROUPS)
    assert house.submit() > first


def test_an_internal_error_may_have_taken_the_job_all_the_same(house):
    house.turn(outage="91")
    assert house.say("pjsub", script=SCRIPT).code == 1
    assert len(house.centre.jobs) == 1


def test_only_the_leading_comments_are_options_and_the_command_line_wins(house):
    script = "#!/bin/bash\n# a comment\n\n#PJM -L rscgrp=cx-link,gpu=1\n#PJM -L elapse=60 -N first\necho\n#PJM -L gpu=4\n"
    number = house.submit(script, files=None)
    assert (house.centre.jobs[number].gpus, house.centre.jobs[number].elapse) == (1, 60)

    house.say("pjsub", "-L", "gpu=2", "-N", "second", script=script)
    job = house.centre.jobs[number + 1]
    assert (job.gpus, job.elapse, job.name, job.rscgrp) == (2, 60, "second", "cx-link")


def test_more_than_64_options_in_a_line_are_left_out_with_a_warning(house):
    line = f"#PJM {'-j ' * 64}-L gpu=9\n"
    said = house.say("pjsub", "-z", "jid", script=f"#PJM -L rscgrp=cx-link\n{line}")
    assert (said.code, said.err.startswith("[WARN] PJM 0024 pjsub ")) == (0, True)


@pytest.mark.parametrize(
    ("file", "name"), [(None, "STDIN"), ("/home/x/job.sh", "job.sh"), ("1st.sh", "J1st.sh"), ("n" * 80, "n" * 63)]
)  # fmt: skip
def test_a_job_is_called_after_its_script(house, file, name):
    script = "#PJM -L rscgrp=cx-link\n"
    arguments = [file] if file else []
    assert house.say("pjsub", *arguments, script="" if file else script, files={file: script} if file else {}).code == 0
    assert next(iter(house.centre.jobs.values())).name == name


@pytest.mark.parametrize("output_name", ["{name}.{job}.out", "{name}.o.{job}"])
def test_what_an_output_is_called_that_does_not_say(house, output_name):
    house.turn(output_name=output_name)
    number = house.submit("#PJM -L rscgrp=cx-link\n")
    assert house.centre.jobs[number].output == f"/data/{output_name.format(name='STDIN', job=number)}"


def test_an_outputs_path_has_the_jobs_number_and_name_in_it(house):
    number = house.submit("#PJM -L rscgrp=cx-link -N abc -j -o /data/log/%n.%j-%J\n")
    job = house.centre.jobs[number]
    assert job.output == job.error == f"/data/log/abc.{number}-{number}"


@pytest.mark.parametrize(("environment", "code", "there"), [("refused", 1, None), ("ignored", 0, False), ("works", 0, True)])
def test_the_submitters_environment_is_not_inherited_unless_x_is_said_where_that_works(house, environment, code, there):
    house.turn(environment=environment)
    assert "SECRET" not in house.centre.jobs[house.submit()].environment

    assert house.say("pjsub", "-X", script=SCRIPT).code == code
    if there is not None:
        assert ("SECRET" in house.centre.jobs[6_291_501].environment) is there


def test_what_x_brings_along_and_what_pjm_itself_says_can_not_be_overridden(house):
    house.say("pjsub", "-x", "A=1,PJM_JOBID=7", script=SCRIPT)
    environment = house.centre.jobs[6_291_500].environment
    assert (environment["A"], environment["PJM_JOBID"], environment["PJM_ENVIRONMENT"]) == ("1", "6291500", "BATCH")


@given(st.text(max_size=200), st.lists(st.text(max_size=12), max_size=4))
def test_any_script_and_any_arguments_are_read_or_refused(script, arguments):
    with contextlib.suppress(RefusedError):
        assert options.read(arguments, script).elapse >= 0


# The way of a job


def test_a_job_goes_through_the_states_of_the_manual(house):
    number, seen = house.submit(), []
    for _ in range(5):
        seen.append(house.state(number))
        house.step()
    house.centre.ended(number, house.started[number], 3, 0, folder=True)
    for _ in range(3):
        seen.append(house.state(number))
        house.step()
    assert seen == ["ACC", "QUE", "RNA", "RNP", "RUN", "RNE", "RNO", "EXT"]
    assert house.centre.jobs[number].code == 3


def test_what_does_not_fit_waits(house):
    four = SCRIPT.replace("gpu=1", "gpu=4")
    numbers = [house.submit(four) for _ in range(3)]
    house.step(4)
    assert [house.state(each) for each in numbers] == ["RUN", "RUN", "QUE"]
    house.end(numbers[0])
    house.step(4)
    assert house.state(numbers[2]) == "RUN"


def test_the_list_says_why_a_job_waits_until_it_does_no_longer(house):
    def why(number: int) -> str:
        house.step()
        return house.say("pjstat", "--data", "--choose=jid,ermsg", str(number)).out.splitlines()[1].removeprefix(f",{number},")

    four = SCRIPT.replace("gpu=1", "gpu=4")
    numbers = [house.running(four), house.running(four), house.submit(four)]
    house.step()
    full = why(numbers[2])
    house.turn(hold_queue=True)
    stopped = why(numbers[2])
    house.turn(hold_queue=False)
    house.end(numbers[0])

    assert (full, stopped, why(numbers[2])) == ("INSUFF NODE", "RSCGRP STOP", "-")


def test_cores_that_a_node_has_not_are_waited_for_too(house):
    house.turn(groups={"cx-link": Group(("cx01",), 4, cores=3)})
    numbers = [house.submit(SCRIPT.replace("gpu=1", "vnode-core=2")) for _ in range(2)]
    house.step(4)
    assert [house.state(each) for each in numbers] == ["RUN", "QUE"]
    assert house.say("pjsub", "-L", "vnode-core=4", script=SCRIPT).err.startswith("[ERR.] PJM 0057 pjsub vnode-core=4 ")


def test_a_whole_node_is_shared_with_nobody(house):
    whole = SCRIPT.replace("gpu=1", "node=1")
    numbers = [house.submit(whole), house.submit(SCRIPT), house.submit(whole)]
    house.step(4)
    assert [house.state(each) for each in numbers] == ["RUN", "RUN", "QUE"]
    assert len({house.centre.jobs[each].node for each in numbers[:2]}) == 2


def test_at_its_limit_a_job_is_told_and_killed_when_the_grace_is_over(house):
    number = house.running()
    house.turn(grace_s=3600.0)
    house.centre.jobs[number].begun -= 3600
    house.step(2)
    assert house.started[number].sent == [signal.SIGXCPU]
    house.turn(grace_s=0.0)
    house.centre.jobs[number].kill_at = time.time() - 1
    house.step()
    assert house.started[number].sent == [signal.SIGXCPU, signal.SIGKILL]

    house.end(number, 0, 9)
    job = house.centre.jobs[number]
    assert (job.state, job.code, job.pjm_code, job.signal, job.reason) == ("EXT", 0, 11, 24, "ELAPSE LIMIT EXCEEDED")


def test_a_folder_that_is_not_on_the_node_ends_the_job_with_pjm_code_16(house):
    number = house.running()
    house.end(number, 120, folder=False)
    job = house.centre.jobs[number]
    assert (job.state, job.pjm_code, job.reason) == ("EXT", 16, "NO CURRENT DIR")


@pytest.mark.parametrize(("restart", "option", "state"), [(True, "", "QUE"), (True, "--norestart", "EXT"), (False, "", "EXT"),
                                                          (False, "--restart", "QUE")])  # fmt: skip
def test_a_lost_node_begins_a_job_anew_with_its_number_where_that_was_not_forbidden(house, restart, option, state):
    house.turn(restart=restart)
    number = house.running(SCRIPT.replace("--norestart", option))
    house.say("pjmadm", "lose", str(number), uid=0, user="root")
    assert house.state(number) == state
    assert house.centre.jobs[number].pjm_code == (0 if state == "QUE" else 20)


def test_a_job_that_broke_stays_until_it_is_deleted(house):
    number = house.submit()
    house.say("pjmadm", "break", str(number), uid=0, user="root")
    house.step(9)
    assert house.state(number) == "ERR"
    assert house.say("pjdel", str(number)).code == 0
    assert house.state(number) == "CCL"


# pjdel, pjhold, pjrls, pjsig


@pytest.mark.parametrize(("deletion", "sent"), [("KILL", [signal.SIGKILL]), ("TERM", [signal.SIGTERM])])
def test_a_deletion_is_accepted_and_done_later(house, deletion, sent):
    house.turn(deletion=deletion)
    number = house.running()
    said = house.say("pjdel", str(number))
    assert (said.out, said.code) == (f"[INFO] PJM 0100 pjdel Accepted job {number}.\n", 0)
    assert (house.state(number), house.started[number].sent) == ("RUN", sent)
    house.end(number, 0, 9)
    assert (house.state(number), house.centre.jobs[number].pjm_code) == ("CCL", 1)


@pytest.mark.parametrize("again_code", [0, 1])
def test_a_deletion_said_twice_is_told_so(house, again_code):
    house.turn(again_code=again_code)
    number = house.running()
    house.say("pjdel", str(number))
    said = house.say("pjdel", str(number))
    assert (said.out, said.code) == (f"[INFO] PJM 0119 pjdel Already accepted job {number}.\n", again_code)


@pytest.mark.parametrize("over_number", ["0112", "0113"])
def test_what_is_said_of_a_job_that_is_over_can_be_turned(house, over_number):
    house.turn(over_number=over_number)
    number = house.running()
    house.end(number)
    said = house.say("pjdel", str(number))
    assert (said.code, said.err.startswith(f"[ERR.] PJM {over_number} pjdel Job {number} ")) == (1, True)


@pytest.mark.parametrize(("text", "number"), [("9", "0112"), ("x", "0111"), ("12345678901", "0111")])
def test_no_such_job_and_no_number(house, text, number):
    said = house.say("pjdel", text)
    assert (said.out, said.code, said.err.startswith(f"[ERR.] PJM {number} pjdel ")) == ("", 1, True)


def test_with_several_numbers_one_failure_fails_and_all_others_are_done(house):
    first, second = house.submit(), house.submit()
    said = house.say("pjdel", str(first), "9", str(second))
    assert (said.code, said.out.count("PJM 0100"), said.err.count("PJM 0112")) == (1, 2, 1)


def test_another_persons_job_does_not_exist(house):
    number = house.submit()
    assert "PJM 0112" in house.say("pjdel", str(number), user="rs-suzuki", uid=20102).err
    assert house.state(number) == "ACC"


def test_a_job_in_its_prologue_can_not_be_deleted_but_by_force(house):
    number = house.submit()
    house.step(3)
    assert house.state(number) == "RNP"
    assert "PJM 0113" in house.say("pjdel", str(number)).err
    assert house.say("pjdel", "--enforce", str(number)).code == 0


def test_a_job_that_was_only_accepted_is_rejected_and_one_that_waits_is_cancelled(house):
    first, second = house.submit(), house.submit()
    house.say("pjdel", str(first))
    house.step()
    house.turn(hold_queue=True)
    house.say("pjdel", str(second))
    assert [house.state(each) for each in (first, second)] == ["RJT", "CCL"]


def test_a_held_job_waits_until_it_is_released(house):
    house.turn(hold_queue=True)
    number = house.submit()
    house.step()
    assert house.say("pjhold", str(number)).out == f"[INFO] PJM 0300 pjhold Accepted job {number}.\n"
    house.turn(hold_queue=False)
    house.step(3)
    assert house.state(number) == "HLD"
    assert house.say("pjrls", str(number)).out == f"[INFO] PJM 0400 pjrls Job {number} released.\n"
    assert house.state(number) == "QUE"
    assert "PJM 0413" in house.say("pjrls", str(number)).err


def test_a_running_job_is_held_only_where_it_may_begin_anew(house):
    fixed, free = house.running(), house.running(SCRIPT.replace("--norestart", "--restart"))
    assert "PJM 0313" in house.say("pjhold", str(fixed)).err
    assert house.say("pjhold", str(free)).code == 0
    house.end(free, 0, 9)
    assert (house.state(fixed), house.state(free)) == ("RUN", "HLD")


def test_a_signal_reaches_a_running_job_alone(house):
    number = house.submit()
    assert "PJM 0713" in house.say("pjsig", "-s", "TERM", str(number)).err
    house.step(4)
    assert house.say("pjsig", "-s", "SIGTERM", str(number)).out == f"[INFO] PJM 0700 pjsig Accepted job {number}.\n"
    house.say("pjsig", "-s", "10", str(number))
    assert house.started[number].sent == [signal.SIGTERM, 10]
