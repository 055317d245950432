"""Work that goes on without anybody waiting: what it said is heard from the first word, and it can be held and ended."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace

import pytest
from ctlab.background import Control, Progress, Run, Runs
from ctlab.board import Board, state_text
from ctlab.errors import StorageError
from ctlab.history import Epoch


def epoch(number: int) -> Epoch:
    return Epoch(number, 1.0 / number, {1: 0.1 * number}, 2.0)


def test_who_looks_late_hears_everything_from_the_first_word():
    go = threading.Event()

    def work(run: Run[int]) -> int:
        run.tell("begun")
        run.tell(epoch(1))
        go.wait()
        run.tell("over")
        return 7

    run = Run("this", work)
    early = run.follow()
    assert [next(early), next(early)] == ["begun", epoch(1)]
    go.set()
    assert list(early) == ["over"]
    assert list(run.follow()) == ["begun", epoch(1), "over"]
    assert (run.over, run.result()) == (True, 7)


def test_what_the_work_raises_is_raised_where_somebody_waits():
    def work(run: Run[int]) -> int:
        run.tell("begun")
        raise ValueError("of no use")

    run = Run("this", work)
    assert list(run.follow()) == ["begun"]
    with pytest.raises(ValueError, match="of no use"):
        run.result()


class Network:
    """Something large."""


def compute(network: Network) -> None:
    raise MemoryError(type(network).__name__)


@pytest.mark.parametrize("fails", ["", "at once", "for a reason"])
def test_what_it_worked_with_is_gone_when_it_is_over_though_somebody_still_shows_it(fails):
    kept: list[weakref.ref[Network]] = []

    def work(run: Run[int]) -> int:
        network = Network()
        kept.append(weakref.ref(network))
        run.progress = lambda: replace(PROGRESS, epochs=2 + (network is None))
        if fails == "for a reason":
            try:
                compute(network)
            except MemoryError as error:
                raise ValueError("of no use") from error
        if fails:
            raise ValueError("of no use")
        return 7

    run = Run("this", work)
    assert run.wait(60)
    assert kept[0]() is None
    assert (run.progress is None) == bool(fails)
    assert fails or (run.result(), run.progress().epochs) == (7, 2)


def test_what_hangs_in_a_circle_is_looked_for_at_the_end(monkeypatch):
    # Not by its result: a collection does nothing while one is under way in another thread.
    looked = []
    monkeypatch.setattr(gc, "collect", lambda: looked.append(run.over))
    go = threading.Event()
    run = Run("this", lambda _: go.wait())
    go.set()
    assert run.wait(60)
    assert looked == [False]


def test_in_a_folder_there_is_one_until_it_was_fetched(tmp_path):
    runs: Runs[int] = Runs()
    assert runs.find(tmp_path) is None
    run = runs.start(tmp_path, "this", lambda _: 1)
    assert runs.find(tmp_path / "x" / "..") is run
    assert list(run.follow()) == []
    assert runs.find(tmp_path) is run
    runs.fetched(tmp_path)
    assert runs.find(tmp_path) is None


def test_who_holds_waits_until_it_may_go_on_or_is_to_end():
    control, passed = Control(), threading.Semaphore(0)

    def wait() -> None:
        control.wait(3600.0)
        passed.release()

    for end in (control.go_on, control.stop):
        control.pause()
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        assert not passed.acquire(blocking=False)
        end()
        waiting.join()
        assert passed.acquire(blocking=False)
    assert control.stopped


PROGRESS = Progress(
    epoch=2, epochs=6, step=5, steps=20, loss=0.51234, device="GPU", waited=0.034, left_s=1200.0, session_s=float("inf")
)


def test_people_hear_where_it_is_and_when_it_ends():
    said = state_text(PROGRESS, over=False, paused=False, stopped=False)
    assert said.startswith("Epoch 2 of 6, step 5 of 20. Loss 0.512. The GPU waits for data 3% of the time. It ends in about 20 min")
    assert PROGRESS.share == pytest.approx((1 + 5 / 20) / 6)


def test_people_hear_when_the_session_ends_before_it():
    late = Progress(epoch=1, epochs=6, step=0, steps=20, loss=0.5, device="CPU", waited=0.0, left_s=7200.0, session_s=3600.0)
    said = state_text(late, over=False, paused=False, stopped=False)
    assert "It needs 2 h 0 min more, and the session ends at " in said
    assert said.endswith(": it goes on in the next one.")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StorageError("The state is kept in <folder>."), "The state is kept in &lt;folder&gt;."),
        (KeyError("a"), "The training ended by an error: KeyError(&#x27;a&#x27;). What was saved before is kept."),
    ],
)
def test_who_comes_back_reads_why_it_ended(error, said):
    def work(run: Run[int]) -> int:
        raise error

    run = Run("this", work)
    assert run.wait(60)
    assert Board(run).widget.children[0].value == said


def paused() -> str:
    return "Storage <paused> 2:10"


def test_the_buttons_hold_let_go_and_end_it_and_the_curves_appear(monkeypatch):
    monkeypatch.setenv("CTLAB_STORAGE", f"{__name__}:paused")
    go = threading.Event()

    def work(run: Run[int]) -> int:
        run.progress = lambda: PROGRESS
        run.tell(epoch(1))
        go.wait()
        return 1

    run = Run("this", work)
    next(run.follow())
    board = Board(run)
    text, bar, buttons, storage, picture, *_ = board.widget.children
    hold, stop = buttons.children
    assert "Epoch 2 of 6" in text.value
    assert bar.value == pytest.approx(PROGRESS.share)
    assert bytes(picture.value).startswith(b"\x89PNG")
    assert storage.value == "<small>Storage &lt;paused&gt; 2:10</small>"

    hold.click()
    assert (run.control.paused, hold.description) == (True, "Go on")
    assert "held, and saved" in text.value
    hold.click()
    assert (run.control.paused, hold.description) == (False, "Pause")
    stop.click()
    assert (run.control.stopped, stop.disabled) == (True, True)

    go.set()
    assert list(run.follow()) == [epoch(1)]
    board.refresh()
    assert (text.value, storage.value) == ("The training is over.", "")
