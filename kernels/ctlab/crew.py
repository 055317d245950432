"""The processes that compute the steps of one training together, led from here: begun, told, watched and ended.

This one has the cases, the optimizer, the curve and the files. The others (`ctlab.hand`) get weights and patches for each step and
give gradients, so nothing is in them that could be lost, or could become another thing than it is here.
"""

from __future__ import annotations

import copy
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from multiprocessing import Pipe

import torch
from torch.distributed import ProcessGroup, Work

from ctlab import hand
from ctlab.errors import CrewError
from ctlab.hand import Failed, Setting
from ctlab.meeting import QUIET, meet, place
from ctlab.passes import Passes, Step
from ctlab.precision import Precision
from ctlab.ways import Way
from phrases import N_

BEGIN_S = 300.0
"""In which a process has to be ready: it reads torch and MONAI, perhaps from a shared file system that many read at once."""
WAIT_S, TIMES = 300.0, 10.0
"""For how long another may still be busy with its part of a step, and how many times as long as this one's own part took."""
END_S = 5.0
"""In which a process has to end that was told to."""
LOOK_S = 0.0005
"""Between two looks whether a step is done."""

_BEGIN = """
import ctypes, os, signal, sys
# Before anything that takes time: it is not to outlive who began it, not even by the time that it takes to begin.
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[3]):
    os._exit(1)
from ctlab.hand import main
main(*map(int, sys.argv[1:4]))
"""
"""What a hand is begun with; prctl(2), PR_SET_PDEATHSIG: it goes with the thread that began it, which is that of the training."""

_NUMBERS = count()


class _Hand:
    """One of the others, as it is seen from here."""

    def __init__(self) -> None:
        self.leader, there = Pipe()
        meeting = place()
        self._said = os.memfd_create("ctlab-hand")
        path = [each for each in sys.path if each.startswith("/")]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-c", _BEGIN, str(there.fileno()), str(meeting), str(os.getpid())],
                # In a folder that never makes anybody wait, and out of reach of a terminal's or notebook's interrupts.
                cwd="/", start_new_session=True, pass_fds=(there.fileno(), meeting),
                stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said,
                env={**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(path)},
            )  # fmt: skip
        except OSError:
            self.leader.close()
            os.close(self._said)
            raise
        finally:
            there.close()

    def end(self, *, at_once: bool) -> None:
        """Sees to it that it is no more."""
        # Not told first where something is wrong: it may listen no more, and then nobody would come past the telling.
        if not at_once:
            with suppress(OSError, subprocess.TimeoutExpired):
                self.leader.send(None)
                self.process.wait(END_S)
        self.process.kill()
        self.process.wait()
        self.leader.close()
        os.close(self._said)

    def why(self) -> str:
        """Why it ended: what it said last."""
        with suppress(EOFError, OSError):
            while self.leader.poll():
                if isinstance(said := self.leader.recv(), Failed):
                    return said.why
        code = self.process.returncode or 0
        if code < 0:
            return signal.Signals(-code).name
        lines = os.pread(self._said, 4096, max(0, os.fstat(self._said).st_size - 4096)).decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")


def _set(one: _Hand, setting: Setting, network: bytes) -> None:
    one.leader.send(setting)
    one.leader.send(network)


class Crew:
    """This process and `processes` - 1 others, which make the passes of a step together."""

    def __init__(
        self,
        network: torch.nn.Module,
        precision: Precision,
        where: torch.device,
        *,
        processes: int,
        seed: int,
        way: Way | None = None,
    ) -> None:
        """Begins the others, and waits for them. This one computes on `where`, they on the next GPUs or the same CPU.

        Raises CrewError when one of them doesn't come.
        """
        self.processes = processes
        self._passes = Passes(network, precision, rank=0, processes=processes, seed=seed, way=way)
        self._group: ProcessGroup | None = None
        self._broken = False
        self._hands: list[_Hand] = []
        self._name = f"training {next(_NUMBERS)}"
        stream = io.BytesIO()
        torch.save(copy.deepcopy(network).cpu(), stream)
        if where.type == "cuda":
            for name, value in QUIET.items():
                os.environ.setdefault(name, value)
        try:
            while len(self._hands) < processes - 1:
                self._hands.append(_Hand())
            self._hear(hand.HERE)
            for rank, each in enumerate(self._hands, 1):
                there = f"cuda:{(where.index or 0) + rank}" if where.type == "cuda" else str(where)
                setting = Setting(self._name, rank, processes, there, precision, seed, torch.get_num_threads(), way)
                self._bounded(partial(_set, each, setting, stream.getvalue()))
            self._hear(hand.READY)
            self._bounded(partial(self._join, where))
        except BaseException as error:
            self._broken = True
            self.close()
            if isinstance(error, OSError):
                raise self._gone(str(error)) from error
            raise

    def step(self, step: Step, images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Has the passes of a step made: gradients and running statistics of this process's network are then those of all passes.

        Returns the loss, a scalar on the device. `images` and `truth` as in `Passes.make`. Raises torch.OutOfMemoryError when one
        of the processes has not the memory for its part, and CrewError when one is gone.
        """
        assert self._group is not None  # noqa: S101  (for the type checker)
        passes, begun = self._passes, time.monotonic()
        before = passes.seen()
        try:
            for each in self._hands:
                each.leader.send(step)
            works = [self._group.broadcast(each, 0) for each in (passes.weights(), images, truth)]
            passes.make(images, truth, step)
            works.append(self._group.reduce(passes.row, 0))
            until = time.monotonic() + WAIT_S + TIMES * (time.monotonic() - begun)
            for work in works:
                self._wait(work, until)
            self._look()
        # A hand that is gone breaks the connection: of gloo an error, of the socket another.
        except (OSError, RuntimeError) as error:
            self._look(END_S)
            raise self._gone(str(error)) from error
        if passes.row[-1] > 0:
            passes.forget(before)
            raise torch.OutOfMemoryError("a device's memory is too small for its part of the step")
        return passes.put(step)

    def close(self) -> None:
        """Ends the others."""
        hands, self._hands = self._hands, []
        for each in hands:
            each.end(at_once=self._broken)
        if self._group is not None:
            with suppress(RuntimeError):
                self._group.abort()
            self._group = None

    def _join(self, where: torch.device) -> None:
        self._group = meet(place(), self._name, 0, self.processes, where)

    def _hear(self, expected: str) -> None:
        """Waits until each has said that."""
        until = time.monotonic() + BEGIN_S
        for each in self._hands:
            while not each.leader.poll(0.05):
                self._look()
                if time.monotonic() > until:
                    raise self._silent(BEGIN_S)
            with suppress(EOFError, OSError):
                said = each.leader.recv()
                if said == expected:
                    continue
                raise self._gone(said.why if isinstance(said, Failed) else repr(said))
            self._look(END_S)
            raise self._silent(END_S)

    def _bounded(self, work: Callable[[], object]) -> None:
        """`work`, which may wait for one of the others, but not for ever."""
        until = time.monotonic() + BEGIN_S
        failed: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  (raised again where somebody waits)
                failed.append(error)

        thread = threading.Thread(target=run, name="ctlab-crew", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.02)
            self._look()
            if time.monotonic() > until:
                raise self._silent(BEGIN_S)
        if failed:
            raise self._gone(str(failed[0])) from failed[0]

    def _wait(self, work: Work, until: float) -> None:
        begun = time.monotonic()
        while not work.is_completed():
            self._look()
            if time.monotonic() > until:
                raise self._silent(time.monotonic() - begun)
            time.sleep(LOOK_S)
        work.wait()

    def _look(self, within_s: float = 0.0) -> None:
        """Raises CrewError when one of the others has ended, or does so `within_s`."""
        until = time.monotonic() + within_s
        while True:
            for each in self._hands:
                if each.process.poll() is not None:
                    raise self._gone(each.why())
            if time.monotonic() >= until:
                return
            time.sleep(0.01)

    def _gone(self, why: str) -> CrewError:
        self._broken = True
        return CrewError(N_("One of the {count} processes that compute together has ended ({why})."), count=self.processes, why=why)

    def _silent(self, seconds: float) -> CrewError:
        self._broken = True
        return CrewError(
            N_("One of the {count} processes that compute together has not answered for {seconds:.0f} s."),
            count=self.processes, seconds=seconds,
        )  # fmt: skip
