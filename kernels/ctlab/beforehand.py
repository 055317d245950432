"""What is settled before a training's first step: who computes, in which way, what it takes, and where its cases lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.modules.dropout import _DropoutNd

from ctlab.forecast import Forecast, forecast, room, smaller, trial
from ctlab.precision import DeviceError
from ctlab.shares import settled
from ctlab.text import say
from ctlab.tiers import SHARE
from ctlab.trainer import Trainer
from ctlab.ways import candidates
from ctlab.waytrial import tried
from phrases import N_

Tell = Callable[[str], object]


def prepared(trainer: Trainer, wanted: int, *, fresh: bool, tell: Tell, seconds_left: Callable[[], float]) -> float:
    """Brings `trainer` to where it can make its next step; returns the seconds that an epoch will take.

    `wanted` processes make its steps, if they can be shared. A training that isn't `fresh` keeps passes and way, so that it comes
    to what it would have come to.
    """
    count = 1 if wanted == 1 else _share(trainer, wanted, fresh=fresh, tell=tell)
    expected = _forecast(trainer, count)
    # A CPU computes as the network was built.
    if trainer.where.type == "cuda":
        left_s = min(expected.epoch_s * (trainer.preset.epochs - len(trainer.history)), seconds_left())
        expected = replace(expected, epoch_s=expected.epoch_s * find_way(trainer, left_s, fresh=fresh, tell=tell))
    tell(expected.text(seconds_left=seconds_left(), done=len(trainer.history)))
    if count > 1:
        # Here, so that one process loads nothing of it.
        from ctlab.crew import Crew

        # After the trials, which may have made the passes smaller; from here on they stay as many times as many.
        crew = Crew(trainer.network, trainer.precision, trainer.where, processes=count, seed=trainer.seed, way=trainer.way)
        if not fresh and not trainer.seeded and _drops(trainer.network):
            text = N_("Several processes go on with what one has begun. Dropout draws other numbers than it would have drawn: the "
                      "result is as good, but not the same.")  # fmt: skip
            tell(say(text))
        trainer.join(crew)
    come_nearer(trainer, tell)
    return expected.epoch_s


def find_way(trainer: Trainer, left_s: float, *, fresh: bool, tell: Tell) -> float:
    """Has a fresh training computed in the way that is fastest on its device, tried now; one that goes on keeps its own, if that
    can be had here. Returns how many times as long a pass takes as in the way that the network was built in, as far as is known.
    """
    if fresh:
        built = trainer.layout
        found = tried(trainer.network, trainer.preset, trainer.where, trainer.precision, candidates(left_s))
        if found.way is None:
            return 1.0
        tell(found.text())
        trainer.take(found.way)
        return found.times[found.way] / found.times.get(built, found.times[found.way])
    if trainer.way is not None and trainer.way.compiled:
        again = tried(trainer.network, trainer.preset, trainer.where, trainer.precision, (trainer.way,))
        if again.way is None:
            text = N_("This training was begun with torch.compile, which can't be used here ({why}). It goes on without, a little "
                      "slower; the result is as good, but not the same.")  # fmt: skip
            tell(say(text, why=again.failed[trainer.way].split("\n")[0]))
            trainer.take(replace(trainer.way, compiled=False))
    return 1.0


def come_nearer(trainer: Trainer, tell: Tell) -> None:
    """Brings cases into the GPU's memory, and tells of those that nothing has room for."""
    if trainer.where.type == "cuda":
        # After a step was tried: what that takes is not free any more.
        trainer.learn.to_device(trainer.where, int(SHARE * (room(trainer.where) or 0)))
    far = [each for part in (trainer.learn, trainer.judge) for each in part.far()]
    if not far:
        return
    count = len(trainer.learn.known) + len(trainer.judge.known)
    tell(say(N_("{far} of {all} cases have no room in memory: they are read from their folder while the steps go on."),
             far=len(far), all=count))  # fmt: skip
    if slow := sum(not each.packed for each in far):
        tell(say(N_("{count} of them have to be read whole for each patch. Pack the cohort first (ctlab.pack), and train on that: "
                    "it is many times as fast."), count=slow))  # fmt: skip


def _share(trainer: Trainer, wanted: int, *, fresh: bool, tell: Tell) -> int:
    """How many processes make the steps of `trainer`, whose passes are then such that they can."""
    trainer.preset, count, told = settled(trainer.preset, wanted, fresh=fresh, gpus=trainer.where.type == "cuda")
    for each in told:
        tell(each)
    return count


def _forecast(trainer: Trainer, processes: int) -> Forecast:
    """Tries a step, a smaller one where memory is short, and tells from it what the training takes."""
    while True:
        try:
            tried = trial(trainer.network, trainer.preset, trainer.where, trainer.precision)
            break
        except torch.OutOfMemoryError as error:
            less = smaller(trainer.preset)
            if less is None:
                raise DeviceError(N_("The device's memory is too small for this network. Choose another preset.")) from error
        trainer.shrink(less)
    return forecast(
        trainer.preset,
        tried,
        precision=trainer.precision,
        network=trainer.network,
        judge=[case.shape for case in trainer.judge.known],
        room=room(trainer.where),
        processes=processes,
    )


def _drops(network: torch.nn.Module) -> bool:
    """Whether it draws random numbers while it learns."""
    return any(isinstance(each, _DropoutNd) and each.p > 0 for each in network.modules())
