"""A training of the V-Net in a process of its own, as several may run at once. It waits for a word, so that all begin together."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from ctlab import farcase
from ctlab.cohort import Cohort
from ctlab.errors import CtlabError
from ctlab.network import PRESETS, device
from ctlab.precision import checked
from ctlab.tiers import Room, room_for_cases
from ctlab.trainer import Trainer
from ctlab.training import read_cases

from linkbench.results import Curve, LinkbenchError, Trained
from linkbench.settings import Settings
from phrases import N_

READY, GO = "ready", "go"
NAMES = {1: "lung"}
"""Of the phantoms' labels."""


@dataclass(frozen=True)
class Order:
    """What one process does."""

    folder: Path
    """The cohort."""
    results: Path | None
    """Where its best network is written, if it is."""
    settings: Settings
    threads: int
    gpu: str
    """Which it sees; none of a CPU."""
    at_once: int


def job(pipe: Connection, order: Order) -> None:
    """Says READY, waits for GO, and sends a `Trained`, or a sentence about why there is none."""
    if order.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = order.gpu
    torch.set_num_threads(order.threads)
    where = device()
    pipe.send(READY)
    pipe.recv()
    try:
        pipe.send(trained(order, where))
    except (CtlabError, OSError) as error:
        pipe.send(str(error))


def trained(order: Order, where: torch.device) -> Trained:
    """Reads every case, trains, judges after each epoch, and writes the best network where it is asked for."""
    begun = time.perf_counter()
    settings = order.settings
    preset = replace(
        PRESETS["vnet"], name="linkbench", spacing_mm=settings.spacing_mm, patch=settings.patch, batch=settings.patches,
        steps=settings.steps, epochs=settings.epochs,
    )  # fmt: skip
    cohort, room = Cohort(order.folder), Room(room_for_cases() // order.at_once)
    learn, judge = (read_cases(cohort, part, preset, room) for part in (cohort.train, cohort.val))
    if cohort.problems:
        raise LinkbenchError(N_("A phantom could not be used: {text}"), text=cohort.problems[0].text)
    read_s = time.perf_counter() - begun
    trainer = Trainer(preset, learn, judge, NAMES, seed=1, where=where, precision=checked(where)[0], tell=lambda _: None)
    ends = []
    try:
        for _ in range(settings.epochs):
            for _ in range(settings.steps):
                trainer.step()
            trainer.validate()
            ends.append(time.perf_counter() - begun)
        asked = time.perf_counter()
        if order.results and trainer.kept:
            trainer.kept.save(order.results)
        done = time.perf_counter()
    finally:
        trainer.close()
        farcase.forget()
    history = trainer.history
    return Trained(
        whole_s=done - begun,
        read_s=read_s,
        write_s=done - asked if order.results else 0.0,
        waited=sum(each.waited for each in history) / len(history),
        curve=Curve(
            seconds=tuple(ends),
            training_loss=tuple(each.loss for each in history),
            validation_loss=tuple(1 - each.mean_dice for each in history),
        ),
    )
