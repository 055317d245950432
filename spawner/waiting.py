"""What the waiting page is told: one event a step, and the list of steps that it ticks off."""

from __future__ import annotations

from phrases import N_
from spawner import reasons
from spawner.sessions import Note, Step

STEPS: tuple[tuple[Step, str], ...] = (
    (Step.SUBMITTED, N_("Request handed in")),
    (Step.QUEUED, N_("Waiting in the queue")),
    (Step.RUNNING, N_("Compute node")),
    (Step.PREFLIGHT, N_("Check of the node")),
    (Step.CERTIFICATE, N_("Permission for the cloud")),
    (Step.MOUNT, N_("Connection to your cloud area")),
    (Step.SERVER, N_("Notebook")),
    (Step.READY, N_("Ready")),
)
"""In this order, each at most once: what the page shows from the first moment on."""


def event(note: Note, language: str) -> dict[str, object]:
    """What `note` is to the page: JupyterHub's `progress` and `message`, and which step was reached, and when."""
    percent, message = reasons.step(note, language)
    shown = Step.QUEUED if note.step is Step.SCHEDULER_SILENT else note.step
    return {"progress": percent, "message": message, "step": shown.value, "at": note.time}
