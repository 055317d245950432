"""Makes a cohort of chest phantoms: `python -m ctlab.phantoms FOLDER --train 84 --val 21`.

Each case has its own patient, noise, spacing and, now and then, its own orientation on disk. The label image says 1 lung
(both) and 2 inflammation, or what --marking says instead: `lungs`, 1 lung, inflamed or not; `sides`, 1 right lung, 2 left
lung, 3 inflammation.
Vessels inside a lung count as lung.
The same arguments give the same files, byte for byte; a case that is already complete is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from ctlab import nifti
from ctlab.anatomy import INFLAMMATION, LEFT_LUNG, RIGHT_LUNG, draw, make_patient
from ctlab.cohort import CT_FILE, LABEL_FILE, NAMES_FILE, PARTS
from ctlab.files import whole
from ctlab.geometry import Geometry
from ctlab.text import say
from ctlab.volume import Labels, Volume
from phrases import N_

Size = tuple[int, int, int]

SMALL: Size = (96, 96, 64)
"""Voxels of the demonstration cohort's cases; a clinical chest CT has about (512, 512, 300)."""

ORIENTATIONS = ("LPS", "LPS", "LPS", "LPS", "RAS", "LAS")
"""How cases lie on disk: mostly as DICOM has them, sometimes turned, so that nobody can rely on array order."""

SLAB = 64
"""Slices drawn at once: keeps memory at a few times one slab, whatever the size of the volume."""

_LUNG, _INFLAMMATION = {"en": "lung", "ja": "肺"}, {"en": "inflammation", "ja": "炎症"}


class Marking(StrEnum):
    """What a label image tells apart."""

    LUNGS = "lungs"
    INFLAMMATION = "inflammation"
    SIDES = "sides"


_VALUES = {Marking.LUNGS: (1, 1, 1), Marking.INFLAMMATION: (1, 1, 2), Marking.SIDES: (1, 2, 3)}
"""Label values of right lung, left lung and inflammation."""

NAMES = {
    Marking.LUNGS: {"1": _LUNG},
    Marking.INFLAMMATION: {"1": _LUNG, "2": _INFLAMMATION},
    Marking.SIDES: {"1": {"en": "right lung", "ja": "右肺"}, "2": {"en": "left lung", "ja": "左肺"}, "3": _INFLAMMATION},
}


@dataclass(frozen=True)
class Phantom:
    """One case, in memory."""

    ct: Volume
    labels: Labels


def make_phantom(
    seed: Sequence[int], size: Size = SMALL, *, marking: Marking = Marking.INFLAMMATION, stored: str | None = None
) -> Phantom:
    """The phantom of `seed` with about `size` voxels (x, y, z) over a whole chest; `stored` fixes its orientation on disk."""
    rng = np.random.default_rng(list(seed))
    patient = make_patient(rng)
    field, height = rng.uniform(380, 430), rng.uniform(285, 330)
    shape = (size[0], size[1], max(8, round(size[2] * rng.uniform(0.85, 1.15))))
    spacing = np.array([field / shape[0], field / shape[1], height / shape[2]])
    spacing = np.round(spacing, 3)
    orientation = stored or str(rng.choice(ORIENTATIONS))
    noise = float(rng.uniform(15, 35))
    table = np.array([rng.uniform(-8, 8), rng.uniform(-8, 8), rng.uniform(-400, 400)])
    x, y, z = (((np.arange(n) - (n - 1) / 2) * step).astype(np.float32) for n, step in zip(shape, spacing, strict=True))
    slabs = [draw(patient, x, y, z[start : start + SLAB], rng, noise_hu=noise) for start in range(0, shape[2], SLAB)]
    hu, marks = (np.concatenate(parts, axis=2) for parts in zip(*slabs, strict=True))
    values = np.zeros(4, np.uint8)
    values[[RIGHT_LUNG, LEFT_LUNG, INFLAMMATION]] = _VALUES[marking]
    marks = values[marks]
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array([x[0], y[0], z[0]]) + table
    geometry = Geometry(shape, affine, orientation)
    return Phantom(Volume(hu, geometry, "phantom"), Labels(marks, geometry, "phantom"))


def make_cohort(
    folder: Path, train: int, val: int, seed: int, size: Size = SMALL, *, marking: Marking = Marking.INFLAMMATION
) -> list[Path]:
    """Writes the cases below `folder`; returns their folders. Every file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for part, (name, count) in enumerate(zip(PARTS, (train, val), strict=True)):
        for index in range(count):
            case = folder / name / f"case-{index + 1:03d}" if name == PARTS[0] else folder / name / f"case-{train + index + 1:03d}"
            if not ((case / CT_FILE).exists() and (case / LABEL_FILE).exists()):
                phantom = make_phantom((seed, part, index), size, marking=marking)
                nifti.write(case / CT_FILE, phantom.ct.voxels, phantom.ct.geometry)
                phantom.labels.save(case / LABEL_FILE)
            made.append(case)
    with whole(folder / NAMES_FILE) as draft:
        draft.write_text(json.dumps(NAMES[marking], ensure_ascii=False, indent=1) + "\n", "utf-8")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ctlab.phantoms", description=say(N_("Makes a cohort of chest CT phantoms.")))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=8, metavar="N")
    parser.add_argument("--val", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--size", type=int, nargs=3, default=SMALL, metavar=("X", "Y", "Z"))
    parser.add_argument("--marking", type=Marking, choices=tuple(Marking), default=Marking.INFLAMMATION)
    given = parser.parse_args(argv)
    if min(given.train, given.val, given.seed) < 0 or min(given.size) < 16:
        parser.error(say(N_("counts and seed can't be negative, and a side has at least 16 voxels")))
    made = make_cohort(given.folder, given.train, given.val, given.seed, tuple(given.size), marking=given.marking)
    print(say(N_("{count} cases in {folder}"), count=len(made), folder=given.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
