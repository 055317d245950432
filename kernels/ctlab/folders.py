"""Where data and results are, in a session and on a laptop."""

from __future__ import annotations

import os
from pathlib import Path

from ctlab.errors import FolderMissingError
from phrases import N_

DATA, WORK = "CTLAB_DATA", "CTLAB_WORK"
"""Environment variables that name the folders; without them `datasets` and `work` in the current folder."""


def data_folder() -> Path:
    """The folder of data sets. Raises FolderMissingError when it isn't there."""
    folder = Path(os.environ.get(DATA, "datasets"))
    if not folder.is_dir():
        raise FolderMissingError(
            N_(
                "The folder of data sets, {folder}, isn't there. In a session, start it again; elsewhere, set {variable} to your "
                "folder."
            ),
            folder=folder,
            variable=DATA,
        )
    return folder


def work_folder() -> Path:
    """The folder for results, made if it isn't there. Raises FolderMissingError when it can't be made."""
    folder = Path(os.environ.get(WORK, "work"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderMissingError(
            N_(
                "The folder for results, {folder}, can't be made. In a session, start it again; elsewhere, set {variable} to your "
                "folder."
            ),
            folder=folder,
            variable=WORK,
        ) from error
    return folder
