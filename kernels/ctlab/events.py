"""A training's curve as TensorBoard reads it: one event file beside the history, made anew from it after each epoch.

Made anew, and not added to: so it appears whole or not at all, holds each epoch once however often a training was killed and went
on, and owes nothing to the process that wrote it before. What it held before is where it was, byte for byte, so that a reader that
goes on from where it stopped reads on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path

from ctlab.files import whole
from ctlab.history import Epoch

EVENTS = "events.out.tfevents.ctlab"
"""File beside the checkpoint; TensorBoard looks for `tfevents` in a name."""

Scalar = tuple[str, float]
"""A curve's name and a value of it."""


def scalars(epoch: Epoch, names: Mapping[int, str]) -> Iterator[Scalar]:
    """What is logged of `epoch`; a Dice that no case has is left out. `names` are those of the labels."""
    yield "loss/training", epoch.loss
    for value, dice in epoch.dice.items():
        if not isnan(dice):
            # The number keeps two labels of one name apart.
            yield f"dice/{value} {names.get(value, '')}".rstrip(), dice
    yield "dice/mean of labels", epoch.mean_dice
    yield "speed/patches a second", epoch.patches_s
    yield "speed/waiting for data", epoch.waited
    yield "learning rate", epoch.learning_rate


def write_events(folder: Path, history: Sequence[Epoch], names: Mapping[int, str]) -> None:
    """Writes EVENTS into `folder`, with the epochs' numbers as steps; it appears whole or not at all."""
    # In the writer's thread, when there is something to write: a notebook's start doesn't wait for it.
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    with whole(folder / EVENTS) as draft:
        writer = RecordWriter(str(draft))
        try:
            writer.write(Event(wall_time=history[0].ended - history[0].seconds, file_version="brain.Event:2").SerializeToString())
            for epoch in history:
                for name, value in scalars(epoch, names):
                    point = Summary(value=[Summary.Value(tag=name, simple_value=value)])
                    event = Event(wall_time=epoch.ended, step=epoch.number, summary=point)
                    writer.write(event.SerializeToString())
        finally:
            writer.close()
