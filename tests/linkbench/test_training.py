"""Which GPU each training at once gets."""

from __future__ import annotations

import pytest

from linkbench.training import visible


@pytest.mark.parametrize(
    ("named", "count", "gpus"),
    [(None, 0, []), (None, 2, ["0", "1"]), ("2, 3", 2, ["2", "3"]), ("MIG-1f,MIG-2a", 1, ["MIG-1f"]), ("", 0, [])],
)
def test_those_that_the_job_was_given_are_used_by_their_own_names(named, count, gpus):
    assert visible(named, count) == gpus
