"""A training as a notebook shows it: how far it is, when it ends, its curves, and buttons to hold or end it.

All of it lives in the kernel: a browser that is closed and opened again, or the cell run again, shows it as it is then.
"""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import ipywidgets

from ctlab.background import Progress, Run
from ctlab.errors import CtlabError
from ctlab.examples import Examples
from ctlab.forecast import clock, in_words
from ctlab.history import Epoch
from ctlab.plots import chart
from ctlab.storage import storage_status
from ctlab.text import say
from ctlab.viewing.widget import STILL
from phrases import N_

REFRESH_S = 1.0

Result = TypeVar("Result")


class Board:
    """What is shown of one run; `refresh` brings it up to date."""

    def __init__(self, run: Run[Result]) -> None:
        self._run = run
        self._refreshing = threading.RLock()
        self._drawn = 0
        self._shown: Examples | None = None
        self._text, self._bar = ipywidgets.HTML(), ipywidgets.FloatProgress(min=0.0, max=1.0)
        self._storage = ipywidgets.HTML()
        self._picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(display="none"))
        self._slices = ipywidgets.Image(format="png", layout=ipywidgets.Layout(display="none", object_fit="contain"))
        self._caption = ipywidgets.HTML()
        self._hold = ipywidgets.Button(icon="pause")
        self._stop = ipywidgets.Button(icon="stop", description=say(N_("Stop and save")))
        self._hold.on_click(lambda _: self._held())
        self._stop.on_click(lambda _: self._ended())
        buttons = ipywidgets.HBox([self._hold, self._stop])
        self.widget = ipywidgets.VBox([self._text, self._bar, buttons, self._storage, self._picture, self._slices, self._caption])
        self.refresh()

    def refresh(self) -> None:
        """Shows what is known now; any thread may ask."""
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        run, control = self._run, self._run.control
        progress = run.progress() if run.progress else None
        state = state_text(progress, over=run.over, paused=control.paused, stopped=control.stopped)
        self._text.value = html.escape(state if run.error is None else failure_text(run.error))
        self._bar.value = progress.share if progress else 0.0
        self._storage.value = "" if run.over else f"<small>{html.escape(storage_status())}</small>"
        self._hold.description = say(N_("Go on")) if control.paused else say(N_("Pause"))
        self._hold.icon = "play" if control.paused else "pause"
        self._hold.disabled = self._stop.disabled = run.over or control.stopped
        history = [each for each in run.events() if isinstance(each, Epoch)]
        if len(history) > self._drawn:
            self._drawn = len(history)
            self._picture.value = chart(history, run.names)._repr_png_()
            self._picture.layout.display = ""
        if (examples := run.examples) is not None and examples is not self._shown:
            self._shown = examples
            self._slices.value, self._caption.value = examples.png, f"<small>{html.escape(caption(examples))}</small>"
            self._slices.layout.display = ""

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, Any]:
        """The widget, and for a notebook that is saved the slices, unless the viewer's pictures are kept out of those too."""
        bundle: dict[str, Any] = self.widget._repr_mimebundle_(**kwargs)
        if self._shown is not None and os.environ.get(STILL) != "none":
            bundle["image/png"] = self._shown.png
        return bundle

    def follow(self) -> None:
        """Refreshes until the run is over, in a thread of its own."""

        def refresh() -> None:
            while not self._run.wait(REFRESH_S):
                self.refresh()
            self.refresh()

        threading.Thread(target=refresh, name="ctlab-board", daemon=True).start()

    def _held(self) -> None:
        control = self._run.control
        (control.go_on if control.paused else control.pause)()
        self.refresh()

    def _ended(self) -> None:
        self._run.control.stop()
        self.refresh()


def caption(examples: Examples) -> str:
    """A sentence for people about the slices."""
    return say(
        N_("A slice each of {cases}, cases to validate with, after epoch {epoch}: areas are what the network sees, outlines the "
           "truth."),
        cases=", ".join(examples.cases), epoch=examples.epoch,
    )  # fmt: skip


def failure_text(error: BaseException) -> str:
    """A sentence for people about why a training is over that did not end well."""
    if isinstance(error, CtlabError):
        return str(error)
    return say(N_("The training ended by an error: {error}. What was saved before is kept."), error=repr(error))


def state_text(progress: Progress | None, *, over: bool, paused: bool, stopped: bool) -> str:
    """One line for people about where a training is."""
    if over:
        return say(N_("The training is over."))
    if stopped:
        return say(N_("It ends as soon as everything is saved."))
    if progress is None:
        return say(N_("The cases are read."))
    where = say(
        N_("Epoch {epoch} of {epochs}, step {step} of {steps}. Loss {loss:.3f}. "
           "The {device} waits for data {waited:.0%} of the time."),
        epoch=progress.epoch, epochs=progress.epochs, step=progress.step, steps=progress.steps, loss=progress.loss,
        device=progress.device, waited=progress.waited,
    )  # fmt: skip
    if paused:
        return where + " " + say(N_("It is held, and saved."))
    if progress.left_s > progress.session_s:
        end = say(N_("It needs {left} more, and the session ends at {end}: it goes on in the next one."),
                  left=in_words(progress.left_s), end=clock(progress.session_s))  # fmt: skip
    else:
        end = say(N_("It ends in about {left}, at {end}."), left=in_words(progress.left_s), end=clock(progress.left_s))
    return where + " " + end


def show(run: Run[Result]) -> Callable[[], None] | None:
    """Shows the board of `run` in the notebook's cell, the same one each time; None where there is no notebook.

    What it returns leaves the last state with the cell's output, for when there is no kernel behind it any more.
    """
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    board = run.board if isinstance(run.board, Board) else Board(run)
    if run.board is None:
        run.board = board
        board.follow()
    shown = display(board, display_id=True)

    def leave() -> None:
        board.refresh()
        shown.update(board)

    return leave
