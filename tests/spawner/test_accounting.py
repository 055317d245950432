"""sacct's lines, as Slurm writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spawner.schedulers.accounting import COLUMNS, parse
from spawner.schedulers.base import Times

LINES = """\
17|1795000000|1795003600|cx01|COMPLETED
18|1795000000|1795000100|cx02|CANCELLED by 20101
19|1795000000|1795000000|None assigned|CANCELLED by 20101
20|1795000000|Unknown|cx01|RUNNING
21|Unknown|Unknown|None assigned|PENDING
22|1795000000|1795000050|cx01|NODE_FAIL
23|1795000000|1795000050|cx01|A_WORD_OF_TOMORROW
17.batch|1795000000|1795003600|cx01|COMPLETED
"""


def test_each_job_has_its_times():
    assert parse(LINES) == {
        "17": Times(began=1795000000, ended=1795003600),
        "18": Times(began=1795000000, ended=1795000100),
        "19": Times(began=None, ended=1795000000),
        "20": Times(began=1795000000, ended=None),
        "21": Times(began=None, ended=None),
        "22": Times(began=1795000000, ended=1795000050),
    }


@given(st.text(alphabet="0123456789|abcCOMPLETED. \n", max_size=200) | st.text(max_size=100))
def test_any_text_is_times_or_nothing(text):
    for job, times in parse(text).items():
        assert job.isdigit()
        assert times.began is None or times.began >= 0


@given(st.lists(st.sampled_from(["17", "x", "", "Unknown", "None", "1795000000", "RUNNING"]), max_size=len(COLUMNS) + 2))
def test_a_line_that_is_none_is_left_out(cells):
    assert set(parse("|".join(cells))) <= {"17", "1795000000"}
