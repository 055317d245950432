"""What can go wrong, as one sentence that names the case, the finding and what to do next."""

from __future__ import annotations

from ctlab.text import say


class CtlabError(Exception):
    """Something that a clinician can understand and act on; its text is in the language of the process.

    In a notebook only that text is shown, without the lines of code that led to it.
    """

    def __init__(self, text: str, /, **values: object) -> None:
        """`text` is marked with `phrases.N_`; `values` fill its `{names}`."""
        super().__init__(say(text, **values))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [str(self)]


class FolderMissingError(CtlabError):
    """A folder that should hold data, or take results, is not there."""


class UnreadableError(CtlabError):
    """A file or folder holds no volume that can be read."""


class DamagedError(CtlabError):
    """A packed case whose bytes aren't those that were written."""


class MixedSeriesError(CtlabError):
    """A folder holds slices that don't belong to one volume."""


class MissingSliceError(CtlabError):
    """A gap between the slices of a series."""


class DuplicateSliceError(CtlabError):
    """Two slices of a series at one position."""


class SpacingError(CtlabError):
    """Slices whose distances differ."""


class SkewError(CtlabError):
    """Slices shifted against each other, by a tilted gantry mostly: the voxel grid is not rectangular."""


class HounsfieldError(CtlabError):
    """The values can't be Hounsfield units."""


class LabelError(CtlabError):
    """A label image that doesn't fit its volume, or is no label image."""


class CohortError(CtlabError):
    """A cohort without a usable case."""


class StorageError(CtlabError):
    """The folder of data or results doesn't answer, is full, or takes nothing."""


class CrewError(CtlabError):
    """One of several processes that compute together is gone, or says nothing any more."""


class CheckpointError(CtlabError):
    """A file that is no checkpoint of ours."""


class SegmentationError(CtlabError):
    """A label image that can't be written as a DICOM segmentation."""


class ExportError(CtlabError):
    """A network that didn't come through an export as it was."""
