"""Every reason and every step has its sentences, in both languages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Phase, Reason
from spawner import reasons
from spawner.sessions import Note, Step


@pytest.mark.parametrize("reason", list(Reason))
def test_a_complaint_says_what_happened_what_was_left_and_what_to_do(reason):
    english, japanese = reasons.sentence(reason, "en"), reasons.sentence(reason, "ja")

    assert english.count(". ") == 2
    assert english.endswith(".")
    assert japanese.count("。") >= 3
    assert japanese.endswith("。")
    assert " " not in japanese


@pytest.mark.parametrize("language", ["ja", "en"])
def test_steps_go_forward(language):
    told = [reasons.step(Note(step, 0.0), language) for step in Step if step is not Step.SCHEDULER_SILENT]

    assert [percent for percent, _ in told] == sorted({percent for percent, _ in told})
    assert len({text for _, text in told}) == len(told)


def test_every_phase_of_a_start_is_told():
    of_a_start = set(Phase) - {Phase.ENDING, Phase.ENDED, Phase.FAILED}

    assert {phase.value for phase in of_a_start} <= {step.value for step in Step}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Priority", "Others are before you"),
        ("Resources", "in use"),
        ("ReqNodeNotAvail, UnavailableNodes:cx01", "out of service"),
        ("QOSMaxGRESPerUser", "a limit"),
        ("AssocGrpGRES", "a limit"),
        ("PartitionDown", "paused"),
    ],
)
def test_slurms_words_are_said_plainly(word, said):
    assert said in reasons.step(Note(Step.QUEUED, 0.0, word), "en")[1]


@given(st.text())
def test_a_word_that_nobody_knows_is_not_shown(word):
    text = reasons.step(Note(Step.QUEUED, 0.0, word), "en")[1]

    assert text in {reasons.step(Note(Step.QUEUED, 0.0, known), "en")[1] for known, _ in reasons.WAITING} | {
        "Waiting for a compute node."
    }


def test_the_expected_start_is_said_as_a_time_of_day():
    now = time.mktime((2026, 11, 23, 9, 0, 0, 0, 0, -1))

    assert reasons.step(Note(Step.QUEUED, now, "Priority", now + 3600), "en")[1].endswith("start at about 10:00.")
    assert reasons.step(Note(Step.QUEUED, now, "Priority", now + 48 * 3600), "en")[1].endswith("start at about 2026-11-25 09:00.")
