"""In a notebook's kernel: who interrupts the cell stops waiting, the work goes on, and the same call has its result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client import BlockingKernelClient, KernelManager

ROOT = Path(__file__).parents[2]
WORK = """
import threading
from ctlab import background, examples, training
go = threading.Event()
def work(run):
    run.tell("it has begun")
    go.wait()
    run.examples = examples.Examples(1, ("a case",), b"picture")
    return "what came out"
run = background.Run("this", work)
training._watch(run, print)
"""


@pytest.fixture
def client(tmp_path, monkeypatch) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "kernels"))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager = KernelManager()
    manager.start_kernel()
    talking = manager.blocking_client()
    talking.start_channels()
    talking.wait_for_ready(timeout=240)
    yield manager, talking
    talking.stop_channels()
    manager.shutdown_kernel(now=True)


def shown(client: BlockingKernelClient, until: str) -> str:
    """What the kernel shows, until `until` is in it."""
    text = ""
    while until not in text:
        content = client.get_iopub_msg(timeout=240)["content"]
        text += content.get("text", "") + "".join(content.get("traceback", [])) + str(content.get("data", ""))
    return text


@pytest.mark.slow
def test_who_interrupts_the_cell_stops_waiting_and_the_same_call_has_the_result(client):
    manager, talking = client
    # After an error a kernel would drop what it is asked within the same moment.
    talking.execute(WORK, stop_on_error=False)
    assert "VBox" in shown(talking, "it has begun"), "the board is there"

    manager.interrupt_kernel()
    shown(talking, "The training goes on in the background. Run this cell again")

    talking.execute("go.set(); training._watch(run, print); print(run.result())")
    again = shown(talking, "what came out")
    assert "VBox" in again
    assert "it has begun" in again, "all that was said is said again"
    assert "'image/png': 'cGljdHVyZQ==" in again, "what a saved notebook shows"
