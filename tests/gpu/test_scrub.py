"""What a process left in a GPU's memory is not there any more after the scrub; and the device opens inside the sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enclave import gpus
from enclave.messages import Scrub
from enclave.residue.gpu import parse, worst

ROOT = Path(__file__).parents[2]
PATTERN = 0x52454E4B
FILL = f"""
import torch
free, _ = torch.cuda.mem_get_info()
kept = torch.full((int(free * 0.8) // 4,), {PATTERN}, dtype=torch.int32, device="cuda")
torch.cuda.synchronize()
print(kept.numel())
"""
SEARCH = f"""
import torch
free, _ = torch.cuda.mem_get_info()
print(int((torch.empty((int(free * 0.9) // 4,), dtype=torch.int32, device="cuda") == {PATTERN}).sum()))
"""


def run(code: str) -> int:
    """The number that `code` prints in a process of its own, which is gone afterwards."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return int(answer.stdout)


@pytest.fixture
def filled() -> int:
    """How many words of the pattern a process left on the device before it ended."""
    return run(FILL)


def test_after_the_scrub_nothing_is_found_of_what_a_process_left(filled, record_property):
    assert filled > 2**20
    # Whether the driver shows it to the next process by itself is not ours to promise: a figure, and no wall.
    record_property("words found before the scrub", run(SEARCH))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-m", "enclave.scrub"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    outcomes = parse(answer.stdout.splitlines())
    assert worst(outcomes) is Scrub.DONE, answer.stdout
    assert outcomes[0].overwritten > filled * 4
    assert run(SEARCH) == 0


def test_the_device_opens_inside_a_sandbox_that_shows_it():
    devices = [word for path in gpus.devices(Path("/dev"), {}) for word in ("--dev-bind", path, path)]
    there = [path for path in ("/usr", "/lib", "/lib64", "/bin", "/sys", "/etc/ld.so.cache") if Path(path).exists()]
    folders = [word for path in there for word in ("--ro-bind", path, path)]
    code = "import ctypes; print(ctypes.CDLL('libcuda.so.1').cuInit(0))"
    walls = ["/usr/bin/bwrap", "--unshare-all", "--proc", "/proc", "--dev", "/dev", *folders, *devices]
    answer = subprocess.run([*walls, "/usr/bin/python3", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert answer.stdout == "0\n", answer.stderr
