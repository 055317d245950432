"""CT volumes, cohorts, training, inference, metrics and views. Knows a folder and a device; nothing of hubs, jobs or mounts.

What a name needs is imported when the name is first used: PyTorch and MONAI take seconds, which who only looks at a CT doesn't pay.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ctlab import late

if TYPE_CHECKING:
    from ctlab.batch import Batch, predict_cohort
    from ctlab.bundle import Exported, export_bundle
    from ctlab.clock import deadline, should_stop
    from ctlab.cohort import Case, Cohort, open_case
    from ctlab.crossval import cross_cohorts, cross_validate
    from ctlab.errors import CtlabError
    from ctlab.folders import data_folder, work_folder
    from ctlab.history import Epoch
    from ctlab.inference import Model, load_model, predict
    from ctlab.lungs import LungReport, LungTable, lung_report, lung_table
    from ctlab.metrics import Marks, compare, dice
    from ctlab.packing import Packing, pack
    from ctlab.plots import curves
    from ctlab.readers import load, load_labels, place, series
    from ctlab.scores import Scores, evaluate
    from ctlab.storage import storage_status
    from ctlab.training import TrainingResult, train, train_in_background
    from ctlab.viewer import view
    from ctlab.viewing.widget import Viewer
    from ctlab.volume import Labels, Volume

__all__ = [
    "Batch",
    "Case",
    "Cohort",
    "CtlabError",
    "Epoch",
    "Exported",
    "Labels",
    "LungReport",
    "LungTable",
    "Marks",
    "Model",
    "Packing",
    "Scores",
    "TrainingResult",
    "Viewer",
    "Volume",
    "compare",
    "cross_cohorts",
    "cross_validate",
    "curves",
    "data_folder",
    "deadline",
    "dice",
    "evaluate",
    "export_bundle",
    "load",
    "load_labels",
    "load_model",
    "lung_report",
    "lung_table",
    "open_case",
    "pack",
    "place",
    "predict",
    "predict_cohort",
    "series",
    "should_stop",
    "storage_status",
    "train",
    "train_in_background",
    "view",
    "work_folder",
]

_HOMES = {
    name: module
    for module, names in {
        "batch": ("Batch", "predict_cohort"),
        "bundle": ("Exported", "export_bundle"),
        "clock": ("deadline", "should_stop"),
        "cohort": ("Case", "Cohort", "open_case"),
        "crossval": ("cross_cohorts", "cross_validate"),
        "errors": ("CtlabError",),
        "folders": ("data_folder", "work_folder"),
        "history": ("Epoch",),
        "inference": ("Model", "load_model", "predict"),
        "lungs": ("LungReport", "LungTable", "lung_report", "lung_table"),
        "metrics": ("Marks", "compare", "dice"),
        "packing": ("Packing", "pack"),
        "plots": ("curves",),
        "readers": ("load", "load_labels", "place", "series"),
        "scores": ("Scores", "evaluate"),
        "storage": ("storage_status",),
        "training": ("TrainingResult", "train", "train_in_background"),
        "viewer": ("view",),
        "viewing.widget": ("Viewer",),
        "volume": ("Labels", "Volume"),
    }.items()
    for name in names
}
"""Public name to the module that has it. No module may be called as one of these: importing it would put it in the name's place."""


if not TYPE_CHECKING:  # else each misspelt name would be an object of unknown kind, and nobody would be told

    def __getattr__(name: str) -> object:
        """A public name, or one of this package's modules (`ctlab.windows`), imported now."""
        if name not in _HOMES:
            return late.module(__name__, name)
        found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return found

    def __dir__() -> list[str]:
        """What Tab offers and `help` describes: the public names, whether they were used or not."""
        return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
