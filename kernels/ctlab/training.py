"""Training on a cohort: patches around each label in turn, Dice loss plus cross-entropy, validation after each epoch.

Every few minutes, and after each epoch, all that it needs to go on is written beside the best network while the steps go on.
Killed at any moment and called again with the same arguments, it goes on from there and comes to what it would have come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ctlab import board, farcase
from ctlab.background import Run, Runs
from ctlab.beforehand import prepared
from ctlab.checkpoints import EVERY_S, Keeper, own_random
from ctlab.clock import seconds_left as session_seconds_left
from ctlab.cohort import Case, Cohort
from ctlab.course import ORDER, OWN, Course, Report
from ctlab.errors import CheckpointError, CohortError, CrewError, CtlabError, DamagedError, StorageError, UnreadableError
from ctlab.farcase import FarCase
from ctlab.files import sweep
from ctlab.folders import work_folder
from ctlab.history import Epoch
from ctlab.inference import Model, load_model
from ctlab.network import Preset, device, device_text, find_preset
from ctlab.precision import checked
from ctlab.resample import prepare, working_shape
from ctlab.shares import OTHER_BYTES, wanted_processes
from ctlab.text import say
from ctlab.tiers import Room, Tiers, room_for_cases
from ctlab.trainer import Trainer
from ctlab.writer import Writer
from phrases import N_

STOPPED = N_(
    "The session's time is nearly up, so training stopped early. The best network so far, of epoch {best}, is saved in {file}. "
    "Train again with the same settings to go on from here."
)
ENDED = N_(
    "The training was stopped. The best network so far, of epoch {best}, is saved in {file}. Train again with the same settings to "
    "go on from here."
)
UNSAVED = N_(
    "Not saved, because {folder} takes nothing: {what}. The network is in the memory of this notebook alone: save it with "
    "result.model.save(PATH) in another folder before the session ends."
)


@dataclass(frozen=True)
class TrainingResult:
    """What came out of a training."""

    model: Model
    """The network of the best epoch, ready to predict."""
    history: tuple[Epoch, ...]
    best: Epoch
    checkpoint: Path
    """Where the best network is kept."""
    stopped_early: bool
    """Whether the session's time ended the training before its last epoch."""
    unsaved: tuple[str, ...] = ()
    """What the storage did not take, for people; it is in memory alone."""


def train(
    cohort: Cohort,
    preset: str | Preset = "vnet",
    *,
    folder: str | Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    report: Report | None = None,
    seconds_left: Callable[[], float] | None = None,
    resume: bool = True,
    save_every_s: float = EVERY_S,
    memory: float | None = None,
    processes: int | None = None,
) -> TrainingResult:
    """Trains the network of `preset` on `cohort` and keeps the best epoch's in `folder` (default: `training` in the work folder).

    `report` hears of each epoch when it is over (default: a line each). `seconds_left` tells how long the session still lives
    (default: `ctlab.clock`); when no further epoch fits, or STOP_S before the end, training keeps what it has, says so and stops.
    The same seed on the same device gives the same network; on a GPU, where it is computed in the same way: before the first step
    the ways to lay out and to compile it are timed there, and the fastest is told, written into the history and kept to.

    It runs in a thread of its own. In a notebook it is shown with its curves and buttons to hold and to end it; who interrupts the
    cell only stops waiting, and the same call shows it again and waits for the result.

    A training that was stopped or killed in `folder` goes on, unless `resume` is false; its state is written every `save_every_s`.

    Cases lie in the GPU's memory, else in the job's, as far as there is room; `memory` says how many bytes of the latter they may
    take (default: half of what is free). The others are read again, patch by patch where they are packed (`ctlab.pack`), in the
    order in which they will be asked for. What is trained does not depend on it.

    On several GPUs of one session the passes of a step are shared by as many processes, one a GPU (`processes` says fewer; on a CPU
    it is one unless `processes` says more). A step stays what it is: the same patches, and the mean of their gradients. Where the
    preset has too few passes, each is made of fewer patches. A training that goes on keeps its passes whatever computes them, so
    it comes to the same, up to rounding where the number of processes is another (and, where one alone began it, dropout).

    What the storage doesn't take is kept in memory and tried again, and told at the end (`TrainingResult.unsaved`).

    Raises CohortError when no training or no validation case can be used, and CheckpointError when the folder holds an unfinished
    training of other cases or settings, and CtlabError while another one is under way there.
    """
    target, run = _started(
        cohort, preset, folder, epochs, seed, seconds_left=seconds_left, resume=resume, save_every_s=save_every_s, memory=memory,
        processes=processes,
    )  # fmt: skip
    _watch(run, report or _print_line)
    RUNS.fetched(target)
    return run.result()


def train_in_background(
    cohort: Cohort,
    preset: str | Preset = "vnet",
    *,
    folder: str | Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    seconds_left: Callable[[], float] | None = None,
    resume: bool = True,
    save_every_s: float = EVERY_S,
    memory: float | None = None,
    processes: int | None = None,
) -> Run[TrainingResult]:
    """As `train`, but returns at once: the training goes on while other cells run, shown in this cell with its curves and buttons.

    `run.control` holds it (`pause`, `go_on`) and ends it (`stop`); `train` with the same arguments waits for its result. While no
    cell runs and nobody is there, a session counts as unused, and may end: so wait with `train` before going away.

    Raises CtlabError while another one is under way in `folder`. What goes wrong later is raised by `run.result()` and `train`.
    """
    _, run = _started(
        cohort, preset, folder, epochs, seed, seconds_left=seconds_left, resume=resume, save_every_s=save_every_s, memory=memory,
        processes=processes,
    )  # fmt: skip
    board.show(run)
    return run


def _started(
    cohort: Cohort,
    preset: str | Preset,
    folder: str | Path | None,
    epochs: int | None,
    seed: int,
    *,
    seconds_left: Callable[[], float] | None,
    resume: bool,
    save_every_s: float,
    memory: float | None,
    processes: int | None,
) -> tuple[Path, Run[TrainingResult]]:
    """The folder of a training and the training that runs there: the one that was asked for, begun now unless it is under way."""
    chosen = find_preset(preset)
    if epochs is not None:
        chosen = replace(chosen, epochs=epochs)
    # Created before hours are spent: a folder that can't be written to shows now.
    target = Path(folder) if folder is not None else work_folder() / "training"
    target.mkdir(parents=True, exist_ok=True)
    asked = repr((cohort.folder.resolve(), chosen, seed))
    run = RUNS.find(target)
    if run is None or (run.over and run.asked != asked):
        left = seconds_left or session_seconds_left

        def lead(run: Run[TrainingResult]) -> TrainingResult:
            sweep(target, OWN)
            wanted = wanted_processes(processes, where := device())
            with own_random(where):
                torch.manual_seed(seed)
                trainer = _trainer(cohort, chosen, seed, run.tell, memory, others=(wanted - 1) * OTHER_BYTES)
                try:
                    return _lead(trainer, target, run=run, left=left, resume=resume, save_every_s=save_every_s, wanted=wanted)
                finally:
                    trainer.close()
                    farcase.forget()

        run = RUNS.start(target, asked, lead)
    elif run.asked != asked:
        raise CtlabError(
            N_("Another training is under way in {folder}. Stop it first, or choose another folder with folder=."), folder=target
        )
    return target, run


RUNS: Runs[TrainingResult] = Runs()
"""The trainings of this kernel."""


class DetachedError(CtlabError):
    """Somebody stopped waiting for a training, which goes on."""


def _watch(run: Run[TrainingResult], report: Report) -> None:
    """Shows what `run` says until it is over; an interruption leaves a notebook's training alone, and ends that of a program."""
    leave = board.show(run)
    try:
        for event in run.follow():
            if isinstance(event, str):
                print(event)
            else:
                report(event)
    except KeyboardInterrupt:
        if leave:
            raise DetachedError(
                N_("The training goes on in the background. Run this cell again to see it and to wait for its result, or press "
                   "Stop above to end it.")
            ) from None  # fmt: skip
        run.control.stop()
        for event in run.follow():
            if isinstance(event, str):
                print(event)
        raise
    if leave:
        leave()


def _lead(
    trainer: Trainer,
    target: Path,
    *,
    run: Run[TrainingResult],
    left: Callable[[], float],
    resume: bool,
    save_every_s: float,
    wanted: int,
) -> TrainingResult:
    """The training itself, in its own thread; `wanted` processes make its steps, if they can be shared."""
    keeper = Keeper(target, every_s=save_every_s)
    if resume:
        _take_up(trainer, keeper, target, run.tell)
    else:
        keeper.clear()
    run.names = trainer.names
    for epoch in trainer.history:
        run.tell(epoch)
    if len(trainer.history) < trainer.preset.epochs:
        epoch_s = prepared(trainer, wanted, fresh=keeper.kept is None, tell=run.tell, seconds_left=left)
        run.progress = lambda: trainer.progress(epoch_s, left())

    def report(epoch: Epoch) -> None:
        run.examples = trainer.examples
        run.tell(epoch)

    course = Course(trainer, keeper, Writer(run.tell, ORDER), target, report, left, run.control)
    try:
        unsaved = course.run()
    except (CrewError, StorageError, UnreadableError, DamagedError, OSError) as error:
        raise _broken_off(error, trainer, keeper, target) from error
    result = _result(course, unsaved)
    if result.stopped_early and not unsaved:
        run.tell(say(ENDED if run.control.stopped else STOPPED, best=result.best.number, file=result.checkpoint))
    if unsaved:
        run.tell(say(UNSAVED, folder=target, what=", ".join(unsaved)))
    return result


def _broken_off(error: Exception, trainer: Trainer, keeper: Keeper, folder: Path) -> CtlabError:
    """What people hear when a case could not be read in the middle of a training, or a process that computed with it is gone."""
    if isinstance(error, CrewError):
        text = N_("{why} So the training ended after {steps} steps, before anything of it was saved. Train again with the same "
                  "settings: it begins anew.") if keeper.kept is None else N_(
                  "{why} So the training ended after {steps} steps. Its state after {kept} steps is kept in {folder}. Train again "
                  "with the same settings: it goes on from there.")  # fmt: skip
        return CrewError(text, why=error, steps=trainer.steps, kept=keeper.kept, folder=folder)
    why = str(error) if isinstance(error, CtlabError) else say(N_("The storage doesn't answer ({error})."), error=error)
    if keeper.kept is None:
        text = N_("{why} So the training ended after {steps} steps, before anything of it was saved. Train again with the same "
                  "settings when the storage answers: it begins anew.")  # fmt: skip
    else:
        text = N_("{why} So the training ended after {steps} steps. Its state after {kept} steps is kept in {folder}. Train again "
                  "with the same settings when the storage answers: it goes on from there.")  # fmt: skip
    return StorageError(text, why=why, steps=trainer.steps, kept=keeper.kept, folder=folder)


def _result(course: Course, unsaved: tuple[str, ...]) -> TrainingResult:
    trainer, checkpoint = course.trainer, course.checkpoint
    best = trainer.best
    if best is None:
        raise CohortError(N_("There is nothing to train: no epoch was asked for."))
    # From memory, where it is: the storage may have taken nothing, and a network's way back over a link takes seconds.
    model = load_model(checkpoint) if trainer.kept is None else trainer.kept
    model.network.to(trainer.where)
    return TrainingResult(model, tuple(trainer.history), best, checkpoint, stopped_early=not course.finished, unsaved=unsaved)


def _trainer(
    cohort: Cohort, preset: Preset, seed: int, tell: Callable[[str], object], memory: float | None, *, others: int
) -> Trainer:
    where = device()
    tell(device_text(where))
    precision, warning = checked(where)
    if warning:
        tell(warning)
    left = Room(room_for_cases(others) if memory is None else int(memory))
    learn, judge = (read_cases(cohort, part, preset, left) for part in (cohort.train, cohort.val))
    names = _label_names(cohort.names, learn)
    return Trainer(preset, learn, judge, names, seed=seed, where=where, precision=precision, tell=tell)


def _take_up(trainer: Trainer, keeper: Keeper, folder: Path, tell: Callable[[str], object]) -> None:
    """Goes on with the training that was not finished in `folder`, if there is one."""
    state = keeper.load()
    if state is None:
        return
    if state.get("key") != trainer.key:
        raise CheckpointError(
            N_(
                "{folder} holds an unfinished training with other settings or cases; nothing of it was changed. Choose another "
                "folder with folder=, or begin anew with resume=False, which removes it."
            ),
            folder=folder,
        )
    trainer.restore(state)
    tell(say(N_("Going on with the training in {folder}: {steps} of {all} steps are done."),
              folder=folder, steps=trainer.steps, all=trainer.preset.epochs * trainer.preset.steps))  # fmt: skip


def read_cases(cohort: Cohort, part: Sequence[Case], preset: Preset, left: Room) -> Tiers:
    """The usable cases of `part`, each read once; kept in memory as far as there is room `left`.

    Those that can't be used are named in `cohort.problems`. Raises CohortError when none can.
    """
    tiers = Tiers(left)
    # Copies of the cases: a packed one that was read keeps its file open, and there may be thousands.
    for case, ct, labels in cohort.loaded(tuple(replace(each) for each in part)):
        made = prepare(case.name, ct.voxels, labels.voxels, working_shape(ct.geometry, preset.spacing_mm))
        tiers.add(made, FarCase(replace(case), preset.spacing_mm).seen(case, made))
    if not tiers.known:
        complaints = " ".join(problem.text for problem in cohort.problems)
        raise CohortError(
            N_("{folder}: none of the cases can be used. {complaints}"), folder=cohort.folder.name, complaints=complaints
        )
    return tiers


def _label_names(names: Mapping[int, str], learn: Tiers) -> dict[int, str]:
    """Every label that a training case has, with its name."""
    values = sorted({value for case in learn.known for value in case.positions if value})
    if not values:
        raise CohortError(N_("The label images of the training cases are all empty. Label at least one structure."))
    return {value: names.get(value) or say(N_("label {number}"), number=value) for value in values}


def _print_line(epoch: Epoch) -> None:
    dice = ", ".join(f"{value}: {score:.3f}" for value, score in epoch.dice.items())
    print(say(N_("epoch {number}: loss {loss:.3f}, Dice {dice} ({seconds:.0f} s)"),
              number=epoch.number, loss=epoch.loss, dice=dice, seconds=epoch.seconds))  # fmt: skip
