"""Small trainings of the V-Net, one after the other, on a cohort of a mount and into a folder of it, until the input ends.

`python -m bench.steady_training COHORT FOLDER`; it speaks as `bench.steady` does. One seed trains one network: a training
that a cut changed in any bit is `wrong`.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch
from ctlab import network
from ctlab.cohort import Cohort
from ctlab.errors import CtlabError
from ctlab.inference import load_model
from ctlab.training import train


def once(cohort: str, folder: Path) -> str:
    """Train; the digest of the weights, as they lie in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    found = train(Cohort(cohort), folder=folder, epochs=2, report=lambda _: None)
    weights = load_model(found.checkpoint).network.state_dict()
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> int:
    """Train until the input ends."""
    # A grid so coarse that a step takes a fraction of a second.
    small = replace(network.PRESETS["vnet"], spacing_mm=14.0, patch=16, steps=2, epochs=2)
    network.PRESETS["vnet"] = small
    torch.set_num_threads(1)
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    wanted = ""
    while not ended.is_set():
        begun = time.monotonic()
        try:
            # What a training tells a person is not for whoever counts.
            with contextlib.redirect_stdout(sys.stderr):
                found = once(sys.argv[1], Path(sys.argv[2]))
            wanted = wanted or found
            outcome = "ok" if found == wanted else "wrong"
        except (OSError, CtlabError) as error:
            outcome = type(error).__name__
        sys.stdout.write(f"{outcome} {begun:.3f} {time.monotonic():.3f}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
