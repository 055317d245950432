"""Seventeen networks over many small image files: mount against local, pass by pass in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from ctlab.network import device
from ctlab.text import say

from linkbench import cold
from linkbench.images import decoded, image
from linkbench.networks import NETWORKS, build
from linkbench.passes import compute, timed_pass, timed_reading
from linkbench.results import Network, Pass, Reading, Vision
from linkbench.settings import Settings
from phrases import N_

SIDES = ("local", "mount")
Folders = Mapping[str, Path]
"""Side → its folder."""


def turned(number: int) -> tuple[str, ...]:
    """The sides in another order each round, so that a slow minute of the machine meets both."""
    return SIDES if number % 2 == 0 else SIDES[::-1]


def vision(folders: Folders, settings: Settings, tell: Callable[[str], object]) -> Vision:
    """All of it. Every pass reads files that nobody has read before: nothing of them, name, size or content, is remembered here."""
    pieces = [(what, readers) for what in ("read", "read + decode") for readers in dict.fromkeys((1, settings.readers))]
    passes = settings.rounds * (len(NETWORKS) + len(pieces))
    tell(say(N_("Writing {count} images to each side…"), count=passes * settings.files))
    images = [image(number) for number in range(settings.files)]
    fresh = count()
    resident: dict[str, float | None] = {}
    for side in SIDES:
        files = (
            (folders[side] / f"pass-{number:04}" / f"image-{index:05}.{kind}", data)
            for number in range(passes)
            for index, (kind, data) in enumerate(images)
        )
        resident[side] = cold.write_all(files).share

    readings = [_reading(folders, settings, what, readers, fresh) for what, readers in pieces]
    for each in readings:
        tell(f"{each.what}, {each.readers}: {each.ratio.median:.2f}")
    where, networks = device(), []
    for number, kind in enumerate(NETWORKS, 1):
        network = build(kind, settings.side, where)
        # What is done for the first time takes longer, on whichever side it falls.
        compute(network, [decoded(data, settings.side) for _, data in images[: settings.batch]], where)
        passes_of: dict[str, list[Pass]] = {side: [] for side in SIDES}
        for turn in range(settings.rounds):
            folder = f"pass-{next(fresh):04}"
            for side in turned(turn):
                passes_of[side].append(
                    timed_pass(
                        network, folders[side] / folder, where,
                        side=settings.side, batch=settings.batch, readers=settings.readers, ahead=settings.ahead,
                    )
                )  # fmt: skip
        found = Network(name=kind.name, kind=kind.kind, local=tuple(passes_of["local"]), mount=tuple(passes_of["mount"]))
        tell(f"{number}/{len(NETWORKS)} {kind.name}: {found.whole.median:.3f}")
        networks.append(found)
    size = int(statistics.median(len(data) for _, data in images))
    return Vision(networks=tuple(networks), readings=tuple(readings), file_bytes=size, resident=resident)


def _reading(folders: Folders, settings: Settings, what: str, readers: int, fresh: count[int]) -> Reading:
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(settings.rounds):
        folder = f"pass-{next(fresh):04}"
        for side in turned(turn):
            shown = settings.side if "decode" in what else 0
            ahead = settings.ahead * settings.batch if readers > 1 else 1
            times[side].append(timed_reading(folders[side] / folder, side=shown, readers=readers, ahead=ahead))
    return Reading(what=what, readers=readers, local=tuple(times["local"]), mount=tuple(times["mount"]))
