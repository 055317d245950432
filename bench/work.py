"""The work whose cost is measured inside and outside a session: a read from the cloud, arithmetic in memory, a training step.

In a session a cell imports it. Outside, `python -m bench.work FILE` does it for every line of its input and answers with seconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from ctlab.network import build, normalised

PATCH = 32
"""Side of the training patch in voxels: the tutorial's."""
_PIECE = 2**20


class Work:
    """Everything that is needed, ready and warm. `path` is a file on the cloud."""

    def __init__(self, path: str) -> None:
        self.path = path
        draw = np.random.default_rng(1)
        self._matrix = draw.random((700, 700))
        self._memory = draw.random(4_000_000)
        torch.manual_seed(1)
        self._network = build(2)
        self._optimizer = torch.optim.SGD(self._network.parameters(), 1e-3, momentum=0.9)
        self._patch = normalised(torch.randint(-1000, 400, (1, 1, PATCH, PATCH, PATCH)))
        self._kinds: dict[str, Callable[[], None]] = {"read": self._read, "compute": self._compute, "step": self._step}
        for each in self._kinds:
            self.seconds(each)

    def seconds(self, kind: str) -> tuple[float, float]:
        """How long one piece of `kind` took, `read`, `compute` or `step`: by the clock, and in this process's processor time."""
        if kind == "read":
            self._forget()
        begun, busy = time.perf_counter(), time.process_time()
        self._kinds[kind]()
        return time.perf_counter() - begun, time.process_time() - busy

    def _forget(self) -> None:
        """Nothing of the file stays in this mount's page cache."""
        descriptor = os.open(self.path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)

    def _read(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        while os.read(descriptor, _PIECE):
            pass
        os.close(descriptor)

    def _compute(self) -> None:
        for _ in range(2):
            self._matrix @ self._matrix
            self._memory.copy().sort()

    def _step(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._network(self._patch).square().mean().backward()
        self._optimizer.step()


def main() -> int:
    """Answer until the input ends."""
    work = Work(sys.argv[1])
    for line in sys.stdin:
        clock, processor = work.seconds(line.strip())
        sys.stdout.write(f"{clock} {processor}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
