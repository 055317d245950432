"""What a session may send to a browser: the site's number, less what the person's sessions of a day have sent."""

from __future__ import annotations

import pytest

from spawner.allowance import FLOOR, LEAST, MEBI, OVER, allowance
from spawner.site import SessionLimits

LIMITS = SessionLimits(byte_budget_mb=100)


@pytest.mark.parametrize(("used", "left"), [(0, 100 * MEBI), (20 * MEBI, 80 * MEBI), (90 * MEBI, FLOOR), (10**12, LEAST)])
def test_what_is_left_of_the_day(used, left):
    assert allowance(LIMITS, used, "ja").byte_budget == left


def test_whoever_starts_again_and_again_has_a_limit_all_the_same():
    used = 0
    for _ in range(100):
        used += allowance(LIMITS, used, "ja").byte_budget
    assert used < LIMITS.byte_budget_mb * MEBI + OVER + FLOOR + 100 * LEAST


@pytest.mark.parametrize("language", ["ja", "en"])
def test_its_sentences_are_in_the_person_s_language(language):
    found = allowance(LIMITS, 0, language)
    sentences = (found.warning, found.used_up, found.too_large)
    assert len(set(sentences)) == 3
    assert all(each.isascii() is (language == "en") for each in sentences)
