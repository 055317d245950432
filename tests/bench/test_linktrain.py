"""The search for the highest rate at which a consumer is fed well."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bench.linktrain import WAIT, highest


@dataclass
class Line:
    """Brings `most` patches a second, unevenly: above `steady` of them a consumer waits."""

    most: float
    steady: float

    def rate(self, patches: float, seconds: float, seed: int) -> tuple[float, float]:
        if not patches:
            return 1.0, self.most
        return (WAIT if patches > self.steady else WAIT / 2), min(patches, self.most)


@pytest.mark.parametrize("steady", [10.0, 33.3, 95.0, 110.0])
def test_it_is_found_to_three_in_a_hundred(steady):
    found = highest(Line(100.0, steady), 1.0, 0)
    assert found <= steady
    assert found == pytest.approx(steady, rel=0.03)


def test_where_none_is_fed_well_the_answer_is_small():
    assert highest(Line(100.0, 0.0), 1.0, 0) == pytest.approx(100.0 / 16)
