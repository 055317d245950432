"""CT volumes, cohorts, training, inference, metrics and views. Knows a folder and a device; nothing of hubs, jobs or mounts."""

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
from ctlab.pack import Packing, pack
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
