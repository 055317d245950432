"""What is measured, as typed values that are written to and read from one JSON file. Pure but for `read`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from ctlab.errors import CtlabError

from linkbench.settings import Settings
from phrases import N_

KIND = "linkbench 1"
"""What the file says of itself; another form of it gets another number."""
FILE = "report.json"


class LinkbenchError(CtlabError):
    """Something that whoever measures can understand and act on."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs of times, one over the other: the median ratio, the least and the most."""

    median: float
    least: float
    most: float
    pairs: int


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips to one destination, in milliseconds."""

    name: str
    by: str
    """`tcp`: a connection is made; `stat`: a name that is not there is asked for through the mount."""
    least: float | None
    mean: float | None
    most: float | None
    answered: int
    failed: int


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One pass of a network over a folder of images; seconds."""

    whole_s: float
    """By the clock, from the listing of the folder to the last result."""
    compute_s: float
    waited_s: float
    """The part of the clock for which the network had no images yet."""
    read_s: float
    """All readers' time, which runs beside the computing; so does `decode_s`."""
    decode_s: float
    files: int


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One network's passes, mount and local in turn."""

    name: str
    kind: str
    local: tuple[Pass, ...]
    mount: tuple[Pass, ...]

    @property
    def whole(self) -> Ratio:
        """Mount over local, whole passes."""
        return ratio_of([each.whole_s for each in self.mount], [each.whole_s for each in self.local])

    @property
    def compute(self) -> Ratio:
        """Mount over local, computing alone."""
        return ratio_of([each.compute_s for each in self.mount], [each.compute_s for each in self.local])


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A pass that computes nothing; seconds."""

    what: str
    """`read` or `read + decode`."""
    readers: int
    local: tuple[float, ...]
    mount: tuple[float, ...]

    @property
    def ratio(self) -> Ratio:
        """Mount over local."""
        return ratio_of(self.mount, self.local)


class Vision(msgspec.Struct, frozen=True, kw_only=True):
    """The networks over small image files."""

    networks: tuple[Network, ...]
    readings: tuple[Reading, ...]
    file_bytes: int
    """Median size."""
    resident: dict[str, float | None]
    """Side → share of the files' pages still in memory after they were dropped; None where the system does not tell."""

    @property
    def value(self) -> float:
        """Geometric mean over the networks of mount ÷ local, whole passes."""
        return geometric([each.whole.median for each in self.networks])

    @property
    def compute(self) -> float:
        """The same of computing alone."""
        return geometric([each.compute.median for each in self.networks])


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One training's epochs."""

    seconds: tuple[float, ...]
    """Since the training's begin, at each epoch's end."""
    training_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    """1 - mean Dice over the validation cases."""


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """One training; seconds."""

    whole_s: float
    read_s: float
    """Reading every case for the first time."""
    write_s: float
    """Writing the best network; 0 where it is not written."""
    waited: float
    """Share of the steps' time for which data were waited for, 0 to 1."""
    curve: Curve


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Trainings that began at the same moment."""

    side: str
    jobs: tuple[Trained, ...]

    @property
    def seconds(self) -> float:
        """Until the last one had ended."""
        return max(each.whole_s for each in self.jobs)


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """The V-Net, alone and several at once, on both sides in turn."""

    runs: tuple[Together, ...]
    cases: tuple[int, int]
    device: str

    def times(self, side: str, at_once: int) -> list[float]:
        """Seconds of each run."""
        return [each.seconds for each in self.runs if each.side == side and len(each.jobs) == at_once]

    def counts(self) -> list[int]:
        """How many were at once."""
        return sorted({len(each.jobs) for each in self.runs})

    def ratio(self, at_once: int) -> Ratio:
        """Mount over local."""
        return ratio_of(self.times("mount", at_once), self.times("local", at_once))

    def curve(self, side: str) -> Curve:
        """Of the first training that ran alone, else of the first."""
        return min((each for each in self.runs if each.side == side), key=lambda each: len(each.jobs)).jobs[0].curve

    @property
    def same(self) -> bool:
        """Whether both sides' curves are equal, value for value."""
        local, mount = self.curve("local"), self.curve("mount")
        return (local.training_loss, local.validation_loss) == (mount.training_loss, mount.validation_loss)


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Inference while the line is cut."""

    seconds: tuple[float, ...]
    """Since its begin, one for each piece that came."""
    received: tuple[int, ...]
    """Bytes so far."""
    begun_s: float
    ended_s: float
    """Of the cut."""
    resumed_s: float | None
    """From the cut's end to the next byte; None when none came."""
    errors: tuple[str, ...]
    cases: int
    """Judged, before and after."""
    different: int
    """Cases whose bytes or label image were not those of the first time."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One site's measurement."""

    kind: str
    site: str
    date: str
    """ISO 8601, UTC."""
    took_s: float
    machine: dict[str, str]
    load: tuple[float, float]
    """Load average of one minute, before and after."""
    settings: Settings
    trips: tuple[Trip, ...]
    vision: Vision
    training: Training | None = None
    cut: Cut | None = None


def ratio_of(times: Sequence[float], others: Sequence[float]) -> Ratio:
    """`times` over `others`, pair by pair. Raises ValueError when they are not pairs of positive times."""
    if not times or len(times) != len(others) or min(*times, *others) <= 0:
        raise ValueError("these are no pairs of times")
    ratios = [one / other for one, other in zip(times, others, strict=True)]
    return Ratio(median=statistics.median(ratios), least=min(ratios), most=max(ratios), pairs=len(ratios))


def geometric(ratios: Sequence[float]) -> float:
    """Geometric mean of positive ratios: what is twice as slow here and twice as quick there comes to 1."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def read(path: str | Path) -> Report:
    """The report in a file, or in a folder's FILE. Raises LinkbenchError when it is none."""
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise LinkbenchError(
            N_("{file} is no report of linkbench, or can't be read. Name its folder or its report.json."), file=path
        ) from error
    if found.kind != KIND:
        raise LinkbenchError(
            N_("{file} was written by another version of linkbench ({kind}). Measure that site again."), file=path, kind=found.kind
        )
    return found
