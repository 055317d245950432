"""Which file of a folder will be wanted next."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.order import Order

NAMES = [b"c", b"a", b"e", b"b", b"d", b"f"]


def after(*opened: bytes) -> list[bytes]:
    order = Order(NAMES)
    for name in opened:
        order.opened(name)
    return list(order.ahead())


def test_one_file_is_no_habit():
    assert after() == after(b"c") == after(b"c", b"c") == []


def test_who_goes_as_the_folder_was_listed_gets_the_rest_of_it():
    assert after(b"c", b"a") == [b"e", b"b", b"d", b"f"]


def test_who_goes_by_the_alphabet_gets_the_rest_of_that():
    assert after(b"a", b"b", b"c") == [b"d", b"e", b"f"]


def test_for_who_jumps_about_any_file_may_be_next():
    assert sorted(after(b"f", b"b", b"e")) == [b"a", b"b", b"c", b"d", b"f"]


def test_some_are_left_out():
    order = Order(NAMES)
    order.without(b"e")
    order.opened(b"c")
    order.opened(b"a")

    assert b"e" not in order
    assert list(order.ahead()) == [b"b", b"d", b"f"]


@given(st.lists(st.sampled_from([*NAMES, b"unknown"]), max_size=12), st.sets(st.sampled_from(NAMES)))
def test_each_is_named_once_and_never_the_one_that_is_open(opened, without):
    order = Order(NAMES)
    for name, gone in itertools.zip_longest(opened, without):
        if gone is not None:
            order.without(gone)
        if name is not None:
            order.opened(name)
    ahead = list(order.ahead())

    assert len(ahead) == len(set(ahead))
    assert not without & set(ahead)
    known = [name for name in opened if name in NAMES]
    assert not known or known[-1] not in ahead or known[-1] in without or not order.in_order


def test_a_shuffled_folder_is_no_order():
    names = [b"%03d" % index for index in range(200)]
    order = Order(names)
    random.Random(7).shuffle(names)  # noqa: S311
    for name in names[:20]:
        order.opened(name)

    assert not order.in_order
