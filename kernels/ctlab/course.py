"""The course of a training: epoch after epoch until it is done or time ends it; states and networks are kept on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ctlab.background import Control
from ctlab.checkpoints import STATE, Keeper, snapshot
from ctlab.clock import STOP_S
from ctlab.events import EVENTS, write_events
from ctlab.history import HISTORY, Epoch, write_history
from ctlab.inference import Model
from ctlab.text import say
from ctlab.trainer import Trainer
from ctlab.writer import Item, Writer
from phrases import N_

CHECKPOINT = "best.pt"
OWN = re.compile("|".join((re.escape(CHECKPOINT), re.escape(HISTORY), re.escape(EVENTS), STATE.pattern)))
"""The files that a training writes into its folder."""
ORDER = ("best", "history", "state", "events")
"""What is written first of what waits: no state speaks of a network that isn't there."""

ASK_S = 5.0
"""Seconds after which a training that is held looks at the time again."""
LEAVE_S = 30.0
"""Seconds before the session's end at which a storage that doesn't answer is waited for no longer: people can still be told."""

Report = Callable[[Epoch], None]


@dataclass(frozen=True)
class Course:
    """How one training is led."""

    trainer: Trainer
    keeper: Keeper
    writer: Writer
    """Its own, for the keys of ORDER: it is closed when the course ends."""
    folder: Path
    """Takes the best network and the curve; the keeper's states usually lie there too."""
    report: Report
    """Hears of each epoch when it is over."""
    seconds_left: Callable[[], float]
    """How long the session still lives."""
    control: Control = field(default_factory=Control)
    """What a person wishes meanwhile."""

    @property
    def checkpoint(self) -> Path:
        """The best network."""
        return self.folder / CHECKPOINT

    @property
    def finished(self) -> bool:
        """Whether every epoch is over, or none has got better for as long as the preset has patience."""
        done, preset, best = len(self.trainer.history), self.trainer.preset, self.trainer.best
        waited = 0 if best is None else done - best.number
        return not self.trainer.partial and (done >= preset.epochs or 0 < preset.patience <= waited)

    def run(self) -> tuple[str, ...]:
        """Leads the training to its end, or as far as there is time; what is not finished goes on from the state that is kept.

        Returns what the storage did not take, for people.
        """
        try:
            while not self.finished and not self._ended() and self._another_fits() and self._epoch():
                pass
            if self.finished:
                self.writer.put("state", Item(say(N_("the mark that the training is finished")), self.keeper.clear))
            else:
                self._keep()
        finally:
            # Also when it ends by an error: what was handed over is still written.
            unsaved = self.writer.close(self.seconds_left() - LEAVE_S)
        return unsaved

    def _another_fits(self) -> bool:
        """An epoch that would be broken off teaches nothing."""
        history = self.trainer.history
        return not history or self.trainer.made > 0 or self.seconds_left() >= STOP_S + max(each.seconds for each in history)

    def _epoch(self) -> bool:
        """What is left of an epoch; false when time ended it."""
        whole = self._steps()
        if not whole:
            self._keep()
            if self.trainer.history:
                return False
            # A network that has learned a little is more than none, and a validation may take longer than there is time.
            self._keep_best(self.trainer.copy())
        elif self.keeper.due(self.trainer.judging_s):
            self._keep()
        epoch = self.trainer.validate()
        if self.trainer.best is epoch and self.trainer.kept:
            self._keep_best(self.trainer.kept)
        if whole:
            history = tuple(self.trainer.history)
            what = say(N_("the curve up to epoch {number}"), number=epoch.number)
            self.writer.put("history", Item(what, lambda: write_history(self.folder, history)))
            self._keep()
            names = self.trainer.names
            what = say(N_("the log for TensorBoard up to epoch {number}"), number=epoch.number)
            self.writer.put("events", Item(what, lambda: write_events(self.folder, history, names)))
        self.report(epoch)
        return whole

    def _steps(self) -> bool:
        """The steps that the epoch still needs; false when time ended them."""
        first = self.trainer.made
        while self.trainer.made < self.trainer.preset.steps:
            if self.trainer.made > first and (self.seconds_left() <= STOP_S or self.control.stopped):
                return False
            if self.control.paused and not self.control.stopped:
                self._hold()
                continue
            self.trainer.step()
            if self.keeper.due():
                self._keep()
        return True

    def _ended(self) -> bool:
        """Whether a person ended it and there is something to show."""
        return self.control.stopped and bool(self.trainer.history)

    def _hold(self) -> None:
        """Waits as long as a person wishes, with everything saved; the session may end meanwhile."""
        self._keep()
        while self.control.paused and not self.control.stopped and self.seconds_left() > STOP_S:
            self.control.wait(ASK_S)
        if self.control.paused:
            self.control.stop()

    def _keep(self) -> None:
        if self.trainer.partial:
            return
        taken = self.keeper.taken()
        steps, state = self.trainer.steps, snapshot(self.trainer.state())
        self.writer.put(
            "state", Item(say(N_("the state after {steps} steps"), steps=steps), lambda: self.keeper.save(steps, state, taken))
        )

    def _keep_best(self, model: Model) -> None:
        what = say(N_("the best network ({file})"), file=CHECKPOINT)
        self.writer.put("best", Item(what, lambda: model.save(self.checkpoint)))
