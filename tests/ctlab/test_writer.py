"""Saving beside the work: nothing is lost when the storage takes nothing for a while, and people are told what it did not take."""

from __future__ import annotations

import threading

from ctlab.writer import Item, Writer

KEYS = ("best", "history", "state")


class Storage:
    """Takes what is written, or as long as `broken` is set nothing; `held` makes a write wait."""

    def __init__(self) -> None:
        self.there: list[str] = []
        self.tries = 0
        self.broken = threading.Event()
        self.held = threading.Event()
        self.held.set()
        self.begun = threading.Event()
        self.failed = threading.Event()

    def item(self, what: str) -> Item:
        return Item(what, lambda: self._take(what))

    def _take(self, what: str) -> None:
        self.tries += 1
        self.begun.set()
        self.held.wait()
        if self.broken.is_set():
            raise OSError(5, "Input/output error")
        self.there.append(what)


class Told:
    """What people were told; `first` is set when there is something."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.first = threading.Event()

    def __call__(self, text: str) -> None:
        self.texts.append(text)
        self.first.set()


def writer(told: Told, retry_s: float = 0.0) -> Writer:
    return Writer(told, KEYS, wait_s=0.0, retry_s=retry_s)


def test_all_that_is_put_is_written():
    storage, told = Storage(), Told()
    beside = writer(told)
    for key in KEYS:
        beside.put(key, storage.item(key))
    assert beside.close() == ()
    assert sorted(storage.there) == sorted(KEYS)
    assert told.texts == []


def test_the_work_does_not_wait_for_a_slow_storage_and_of_what_waits_the_newest_counts():
    storage, told = Storage(), Told()
    storage.held.clear()
    beside = writer(told)
    beside.put("state", storage.item("state 1"))
    storage.begun.wait()
    for number in (2, 3):
        beside.put("state", storage.item(f"state {number}"))
        beside.put("best", storage.item(f"best {number}"))
    storage.held.set()
    assert beside.close() == ()
    assert storage.there == ["state 1", "best 3", "state 3"], "the network before the state that speaks of it"


def test_a_storage_that_takes_nothing_is_told_once_and_tried_again_until_it_does():
    storage, told = Storage(), Told()
    storage.broken.set()
    beside = writer(told)
    beside.put("state", storage.item("the state after 7 steps"))
    told.first.wait()
    assert told.texts[0] == (
        "The storage took nothing 3 times over ([Errno 5] Input/output error). Nothing is lost: the training goes on in memory, "
        "and every 0 s it is tried again."
    )
    storage.broken.clear()
    assert beside.close() == ()
    assert storage.there == ["the state after 7 steps"]
    assert told.texts[1:] in ([], ["The storage takes data again. Saved now: the state after 7 steps."])
    assert beside.failed is None


def test_at_the_end_people_hear_exactly_what_is_not_saved():
    storage, told = Storage(), Told()
    storage.broken.set()
    beside = writer(told, retry_s=3600.0)
    beside.put("best", storage.item("the best network"))
    told.first.wait()
    beside.put("state", storage.item("the state after 8 steps"))
    assert beside.failed == "[Errno 5] Input/output error"
    assert beside.close() == ("the best network", "the state after 8 steps")
    assert (storage.there, storage.tries) == ([], 6)


def test_a_write_that_failed_comes_before_what_was_put_after_it():
    storage, told = Storage(), Told()
    storage.broken.set()
    beside = writer(told, retry_s=3600.0)
    beside.put("best", storage.item("best 0"))
    told.first.wait()
    beside.put("state", storage.item("state 1"))
    beside.put("best", storage.item("best 1"))
    storage.broken.clear()
    assert beside.close() == ()
    assert storage.there == ["best 1", "state 1"]


def test_a_storage_that_never_answers_is_not_waited_for_longer_than_there_is_time():
    storage, told = Storage(), Told()
    storage.held.clear()
    beside = writer(told)
    beside.put("state", storage.item("the state after 9 steps"))
    storage.begun.wait()
    assert beside.close(within_s=0.0) == ("the state after 9 steps",)
    storage.held.set()


def test_an_error_of_any_kind_is_told_and_ends_nothing():
    """torch.save turns a full disk into a RuntimeError."""
    told = Told()
    tries = iter([RuntimeError("file write failed")] * 3)

    def write() -> None:
        for error in tries:
            raise error

    beside = writer(told)
    beside.put("state", Item("the state", write))
    told.first.wait()
    assert "file write failed" in told.texts[0]
    assert beside.close() == ()
