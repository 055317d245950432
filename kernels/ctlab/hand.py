"""A process that computes a part of each step of a training beside the one that leads it.

It is begun by `ctlab.crew`, has a device of its own, and is told through a socket what to do. It reads no case and writes no file:
weights and patches come to it, gradients go from it, and nothing is left of it but those. It ends when nobody is left to tell it.
"""

from __future__ import annotations

import io
import os
import queue
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from ctlab.meeting import meet
from ctlab.passes import Passes, Step
from ctlab.precision import Precision, convolves
from ctlab.ways import Way

LOOK_S = 2.0
"""Between two looks whether who leads is still there. Mostly the socket tells at once; not if another program has it open too."""

HERE, READY = "here", "ready"
"""What it says when it has begun, and when it has its network and its device computes rightly."""


@dataclass(frozen=True)
class Setting:
    """What one of these processes has to know."""

    name: str
    """Under which they meet."""
    rank: int
    processes: int
    where: str
    """Its device."""
    precision: Precision
    seed: int
    threads: int
    """On a CPU."""
    way: Way | None
    """In which it computes."""


@dataclass(frozen=True)
class Failed:
    """What it says before it ends by an error."""

    why: str


class WrongDeviceError(Exception):
    """Its device computes wrongly."""


def main(socket: int, place: int, parent: int) -> None:
    """Works until it is told to end. Never returns.

    `socket` and `place` are descriptors: of the socket to who leads, whose process id is `parent`, and of where all meet.
    """
    # An interrupted cell stops waiting for the training, which goes on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leader: Connection = Connection(socket)
    orders: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(leader, parent, orders), daemon=True).start()
    try:
        leader.send(HERE)
        _work(leader, place, orders)
    except Exception as error:  # noqa: BLE001  (who leads has to know)
        with suppress(OSError):
            leader.send(Failed(f"{type(error).__name__}: {error}"))
        os._exit(1)
    # Not by way of what others do at an exit: nothing of it is to be kept.
    os._exit(0)


def _listen(leader: Connection, parent: int, orders: queue.SimpleQueue[object]) -> None:
    """Passes on what is said; ends the process, whatever it does, when nobody is there any more."""
    with suppress(EOFError, OSError):
        while os.getppid() == parent:
            if leader.poll(LOOK_S):
                orders.put(leader.recv())
    os._exit(1)


def _work(leader: Connection, place: int, orders: queue.SimpleQueue[object]) -> None:
    setting, stored = orders.get(), orders.get()
    assert isinstance(setting, Setting)  # noqa: S101  (for the type checker)
    assert isinstance(stored, bytes)  # noqa: S101
    torch.set_num_threads(setting.threads)
    where = torch.device(setting.where)
    if where.type == "cuda":
        torch.cuda.set_device(where)
        if not convolves(where, setting.precision.dtype):
            raise WrongDeviceError(f"{torch.cuda.get_device_name(where)}, {setting.precision}")
    # From the process that began this one, and so no stranger's code.
    network: torch.nn.Module = torch.load(io.BytesIO(stored), map_location=where, weights_only=False)
    passes = Passes(network, setting.precision, rank=setting.rank, processes=setting.processes, seed=setting.seed, way=setting.way)
    leader.send(READY)
    group = meet(place, setting.name, setting.rank, setting.processes, where)
    weights = passes.weights()
    while isinstance(step := orders.get(), Step):
        images = torch.empty(step.patches, 1, *(step.side,) * 3, device=where)
        truth = torch.empty(step.patches, *(step.side,) * 3, dtype=torch.uint8, device=where)
        for each in (weights, images, truth):
            group.broadcast(each, 0).wait()
        passes.take(weights)
        passes.make(images, truth, step)
        group.reduce(passes.row, 0).wait()
