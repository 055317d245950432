"""The V-Net on phantoms, one training and several at once, on both sides in turn."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from ctlab.network import device
from ctlab.phantoms import Marking, make_cohort
from ctlab.text import say

from linkbench import cold
from linkbench.results import LinkbenchError, Together, Trained, Training
from linkbench.settings import Settings
from linkbench.vision import Folders, turned
from linkbench.vnet import GO, Order, job
from phrases import N_

CASES = "cases"
"""Folder of the cohort, on either side."""


def make_cases(folders: Folders, settings: Settings, tell: Callable[[str], object]) -> None:
    """The same phantoms on both sides."""
    learn, judge = settings.cases
    tell(say(N_("Making {count} phantoms…"), count=learn + judge))
    made = folders["local"] / CASES
    make_cohort(made, learn, judge, 7, settings.size, marking=Marking.LUNGS)
    paths = [each for each in sorted(made.rglob("*")) if each.is_file()]
    cold.write_all((folders["mount"] / CASES / each.relative_to(made), each.read_bytes()) for each in paths)


def training(folders: Folders, settings: Settings, tell: Callable[[str], object]) -> Training:
    """Of the cases that `make_cases` made. Raises LinkbenchError when a training ends before its time."""
    runs = []
    for at_once in dict.fromkeys((1, settings.at_once)):
        for turn in range(settings.train_rounds):
            for side in turned(turn):
                cold.drop(folders[side] / CASES)
                run = Together(side=side, jobs=together(folders[side], settings, at_once))
                tell(say(N_("V-Net, {count} at once, {side}: {seconds:.1f} s"), count=at_once, side=side, seconds=run.seconds))
                runs.append(run)
    where = device()
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU"
    return Training(runs=tuple(runs), cases=settings.cases, device=name)


def together(folder: Path, settings: Settings, at_once: int) -> tuple[Trained, ...]:
    """So many trainings of the cohort in `folder`, begun at the same moment."""
    threads = max(1, len(os.sched_getaffinity(0)) // at_once)
    gpus = visible(os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count())
    orders = [
        Order(
            folder=folder / CASES,
            results=folder / f"network-{number}.pt" if settings.keep else None,
            settings=settings,
            threads=threads,
            gpu=gpus[number % len(gpus)] if gpus else "",
            at_once=at_once,
        )
        for number in range(at_once)
    ]
    with contextlib.ExitStack() as stack:
        pipes = [stack.enter_context(_started(order)) for order in orders]
        try:
            for pipe in pipes:
                pipe.recv()
            for pipe in pipes:
                pipe.send(GO)
            return tuple(_result(pipe) for pipe in pipes)
        except EOFError as error:
            raise LinkbenchError(
                N_(
                    "A training was ended from outside, perhaps for want of memory. Nothing of yours was touched. Measure "
                    "again with fewer at once (--at-once)."
                )
            ) from error


def visible(named: str | None, count: int) -> list[str]:
    """The GPUs that this process sees, `count` of them, by the names of CUDA_VISIBLE_DEVICES (None where that is not set)."""
    names = [str(number) for number in range(count)] if named is None else [each.strip() for each in named.split(",")]
    return names[:count]


@contextlib.contextmanager
def _started(order: Order) -> Iterator[Connection]:
    """A process for `order`, ended with the block. The server that makes them imports everything once and computes nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([job.__module__])
    ours, theirs = context.Pipe()
    process = context.Process(target=job, args=(theirs, order), daemon=True)
    process.start()
    # Else its end would not be noticed here.
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(5)
        process.kill()
        process.join()


def _result(pipe: Connection) -> Trained:
    found = pipe.recv()
    if not isinstance(found, Trained):
        raise LinkbenchError(N_("A training failed: {text}"), text=found)
    return found
