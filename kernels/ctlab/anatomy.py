"""The body that a phantom is drawn from: a patient as a few dozen numbers, and the drawing of it on any voxel grid.

Coordinates are millimetres in the patient's own frame, RAS+: x grows to the patient's right, y to the front, z to the head;
the origin lies in the middle of the chest. The body is not symmetric: heart and stomach on the left, liver on the right, the
right lung larger. HU of the tissues are textbook values (air -1000, inflated lung about -850, fat -100, blood 45, muscle 50,
liver 60, spongy bone 180, compact bone 700).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Point = tuple[float, float, float]

AIR, LUNG, FAT, BLOOD, MUSCLE, LIVER, MARROW, CORTEX = -1000.0, -850.0, -100.0, 45.0, 50.0, 60.0, 180.0, 700.0

RIGHT_LUNG, LEFT_LUNG, INFLAMMATION = 1, 2, 3
"""What `draw` marks; the cohort's own label values are made from these."""


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes, mm."""

    centre: Point
    radii: Point


@dataclass(frozen=True)
class Segment:
    """A stretch of vessel: a round rod from `start` to `end` with `radius`, mm."""

    start: Point
    end: Point
    radius: float


@dataclass(frozen=True)
class Lesion:
    """An inflamed region: an ellipsoid with a rippled edge; `hu` from ground glass (-650) to consolidation (0)."""

    shape: Ellipsoid
    hu: float
    phase: float


@dataclass(frozen=True)
class Patient:
    """All that tells one phantom patient from another."""

    body: tuple[float, float]
    """Half width and half depth of the trunk, mm."""
    fat: float
    """Thickness of the fat under the skin, mm."""
    cage: Ellipsoid
    """The inside of the ribs; the lungs fill it but for heart, mediastinum and diaphragm."""
    heart: Ellipsoid
    right_dome: Ellipsoid
    left_dome: Ellipsoid
    stomach_air: Ellipsoid
    rib_phase: float
    vertebra_phase: float
    vessels: tuple[Segment, ...]
    lesions: tuple[Lesion, ...]
    lung_hu: float
    turn: float
    """Rotation on the table about the long axis, radians."""


def _vary(rng: np.random.Generator, value: float, by: float) -> float:
    return float(value * rng.uniform(1 - by, 1 + by))


def _tree(rng: np.random.Generator, start: Point, direction: Point, length: float, radius: float, *, depth: int) -> list[Segment]:
    """A vessel that forks `depth` times, thinner and shorter each time."""
    way = np.asarray(direction) / np.linalg.norm(direction)
    end = np.asarray(start) + way * length
    tip: Point = (float(end[0]), float(end[1]), float(end[2]))
    branches = [Segment(start, tip, radius)]
    for _ in range(2 if depth else 0):
        turned = way + rng.normal(0.0, 0.45, 3)
        shorter = length * rng.uniform(0.7, 0.9)
        branches += _tree(rng, tip, (turned[0], turned[1], turned[2]), shorter, radius * 0.7, depth=depth - 1)
    return branches


def make_patient(rng: np.random.Generator) -> Patient:
    """A patient drawn from `rng`; the same state of `rng` gives the same patient."""
    size = rng.uniform(0.92, 1.08)
    a, b, c = (_vary(rng, value * size, 0.05) for value in (138.0, 100.0, 180.0))
    floor = -98.0 + rng.uniform(-12, 12)
    vessels: list[Segment] = []
    for side in (1.0, -1.0):
        for rise in (0.9, 0.1, -0.8):
            vessels += _tree(rng, (side * 32.0, -5.0, 0.0), (side, float(rng.uniform(-0.5, 0.4)), rise), 34.0 * size, 5.5, depth=5)
    lesions = []
    for _ in range(int(rng.integers(2, 6))):
        side = 1.0 if rng.random() < 0.55 else -1.0
        centre = (side * a * rng.uniform(0.45, 0.8), b * rng.uniform(-0.6, 0.3), rng.uniform(-60, 70))
        radii = (float(rng.uniform(9, 26)), float(rng.uniform(9, 24)), float(rng.uniform(9, 26)))
        lesions.append(Lesion(Ellipsoid(centre, radii), float(rng.uniform(-650, 0)), float(rng.uniform(0, 6.28))))
    return Patient(
        body=(a + _vary(rng, 40.0, 0.2), b + _vary(rng, 30.0, 0.2)),
        fat=float(rng.uniform(8, 24)),
        cage=Ellipsoid((0.0, 0.0, -35.0), (a, b, c)),
        heart=Ellipsoid((-34.0, 20.0, -48.0), (_vary(rng, 62, 0.08), _vary(rng, 54, 0.08), _vary(rng, 58, 0.08))),
        right_dome=Ellipsoid((66.0, 0.0, floor - 30), (82 * size, 96 * size, _vary(rng, 72, 0.15))),
        left_dome=Ellipsoid((-66.0, -4.0, floor - 34), (80 * size, 94 * size, _vary(rng, 68, 0.15))),
        stomach_air=Ellipsoid((-62.0, 24.0, floor - 22), (26.0, 20.0, 16.0)),
        rib_phase=float(rng.uniform(0, 26)),
        vertebra_phase=float(rng.uniform(0, 26)),
        vessels=tuple(vessels),
        lesions=tuple(lesions),
        lung_hu=LUNG + float(rng.uniform(-30, 40)),
        turn=float(rng.normal(0.0, 0.04)),
    )


class _Canvas:
    """HU and marks on a grid, and how far each voxel is from things (mm, negative inside)."""

    def __init__(self, x: Array, y: Array, z: Array, turn: float) -> None:
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        column, row = x[:, None, None], y[None, :, None]
        self.x: Array = cos * column + sin * row
        self.y: Array = cos * row - sin * column
        self.z: Array = z[None, None, :]
        self.aside, self.level = np.abs(column), row
        """Position in the room: the table doesn't turn with the patient."""
        self.hu: Array = np.full((len(x), len(y), len(z)), AIR, np.float32)
        steps = [abs(float(axis[1] - axis[0])) if len(axis) > 1 else 1.0 for axis in (x, y, z)]
        self.edge = np.float32(np.mean(steps))

    def window(self, centre: Point, reach: float) -> tuple[slice, slice, slice]:
        """The part of the grid within `reach` mm of `centre`; it may be empty."""
        near_xy = np.hypot(self.x - np.float32(centre[0]), self.y - np.float32(centre[1]))[:, :, 0] <= reach
        near_z = np.abs(self.z[0, 0] - np.float32(centre[2])) <= reach
        return _span(near_xy.any(axis=1)), _span(near_xy.any(axis=0)), _span(near_z)

    def ellipsoid(self, shape: Ellipsoid, part: tuple[slice, slice, slice] | None = None) -> Array:
        """Distance to `shape`; exact at its surface only, which is where it matters."""
        sx, sy, sz = part or (slice(None), slice(None), slice(None))
        (cx, cy, cz), (rx, ry, rz) = shape.centre, shape.radii
        flat = ((self.x[sx, sy] - cx) / rx) ** 2 + ((self.y[sx, sy] - cy) / ry) ** 2
        distance: Array = (np.sqrt(flat + ((self.z[:, :, sz] - cz) / rz) ** 2) - 1) * np.float32(min(shape.radii))
        return distance

    def column(self, centre: tuple[float, float], radii: tuple[float, float]) -> Array:
        """Distance to an upright elliptic column, shape (x, y, 1)."""
        flat = np.sqrt(((self.x - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2)
        return ((flat - 1) * min(radii)).astype(np.float32)

    def paint(self, distance: Array, hu: float, part: tuple[slice, slice, slice] | None = None) -> None:
        """Lay `hu` over what is inside; voxels that the surface cuts get their share of both (partial volume)."""
        share = np.clip(np.float32(0.5) - distance / self.edge, 0, 1)
        view = self.hu[part] if part else self.hu
        view += share * (np.float32(hu) - view)


def _span(inside: npt.NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(inside)
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)


def draw(
    patient: Patient, x: Array, y: Array, z: Array, rng: np.random.Generator, *, noise_hu: float
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """HU (int16) and marks (uint8: RIGHT_LUNG, LEFT_LUNG, INFLAMMATION) of `patient` at the coordinates `x`, `y`, `z` (mm).

    Both have the shape (len(x), len(y), len(z)). Noise has the standard deviation `noise_hu` and is smooth over two pixels
    in the slice, as reconstructed CT has it. Vessels inside the lung belong to the lung's mark.
    """
    canvas = _Canvas(x, y, z, patient.turn)
    _trunk(canvas, patient)
    right, left = _lungs(canvas, patient)
    _mediastinum(canvas, patient)
    _bones(canvas, patient)
    lung = np.minimum(right, left)
    for segment in patient.vessels:
        _vessel(canvas, segment, lung)
    marks = np.where(right < 0, RIGHT_LUNG, np.where(left < 0, LEFT_LUNG, 0)).astype(np.uint8)
    for lesion in patient.lesions:
        _lesion(canvas, lesion, lung, marks)
    white = rng.standard_normal((len(x) + 1, len(y) + 1, len(z)), np.float32)
    canvas.hu += np.float32(noise_hu / 2) * (white[1:, 1:] + white[:-1, 1:] + white[1:, :-1] + white[:-1, :-1])
    return np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16), marks


def _trunk(canvas: _Canvas, patient: Patient) -> None:
    wide, deep = patient.body
    canvas.paint(canvas.column((0, 0), (wide, deep)), FAT)
    canvas.paint(canvas.column((0, 0), (wide - patient.fat, deep - patient.fat)), MUSCLE)
    top = np.float32(-deep - 10)
    canvas.paint(np.maximum(np.abs(canvas.level - (top - 6)) - 6, canvas.aside - 200), -150.0)


def _lungs(canvas: _Canvas, patient: Patient) -> tuple[Array, Array]:
    """Draws liver, stomach and lungs; returns the distances to the right and to the left lung."""
    right_dome, left_dome = canvas.ellipsoid(patient.right_dome), canvas.ellipsoid(patient.left_dome)
    cage = canvas.ellipsoid(patient.cage)
    canvas.paint(np.maximum(right_dome + 4, cage), LIVER)
    canvas.paint(np.maximum(left_dome + 4, cage), 30.0)
    part = canvas.window(patient.stomach_air.centre, 30)
    canvas.paint(canvas.ellipsoid(patient.stomach_air, part), AIR, part)
    middle = np.minimum(canvas.column((0, 12), (30, 74)), canvas.column((0, -70), (26, 40)))
    outside = np.maximum(cage, -np.minimum(canvas.ellipsoid(patient.heart), middle))
    lungs = []
    for side, dome in ((1.0, right_dome), (-1.0, left_dome)):
        floor = np.float32((patient.right_dome if side > 0 else patient.left_dome).centre[2] - 15)
        lung = np.maximum(np.maximum(outside, -dome), np.maximum(floor - canvas.z, np.float32(-side) * canvas.x))
        canvas.paint(lung, patient.lung_hu)
        lungs.append(lung)
    return lungs[0], lungs[1]


def _mediastinum(canvas: _Canvas, patient: Patient) -> None:
    """Heart, aorta, windpipe and the two main bronchi."""
    part = canvas.window(patient.heart.centre, 72)
    canvas.paint(canvas.ellipsoid(patient.heart, part), BLOOD, part)
    canvas.paint(canvas.column((-20, -48), (11, 11)), BLOOD + 10)
    above = np.maximum(canvas.column((0, -8), (9, 8)), 20 - canvas.z)
    canvas.paint(above.astype(np.float32), AIR)
    for side in (1.0, -1.0):
        _rod(canvas, Segment((0.0, -8.0, 22.0), (side * 34.0, -8.0, 0.0), 6.0), AIR, None)


def _bones(canvas: _Canvas, patient: Patient) -> None:
    spine = canvas.column((0, -72), (17, 15))
    level = np.abs((canvas.z + patient.vertebra_phase) % 26 - 13) - 10
    body = np.maximum(spine, level.astype(np.float32))
    canvas.paint(body, CORTEX)
    canvas.paint(body + 3, MARROW)
    canvas.paint(np.maximum(canvas.column((0, -98), (8, 14)), level.astype(np.float32)), CORTEX)
    canvas.paint(canvas.column((0, -92), (7, 7)), 20.0)
    canvas.paint(np.maximum(canvas.column((0, patient.cage.radii[1] + 8), (16, 6)), -60 - canvas.z).astype(np.float32), MARROW)
    # Ribs lie round the cage and fall towards the front: a tube wherever its shell meets a tilted, evenly spaced plane.
    wide, deep, high = patient.cage.radii
    shell = canvas.ellipsoid(Ellipsoid(patient.cage.centre, (wide + 8, deep + 8, high + 8)))
    tilted = (canvas.z + np.float32(0.45) * canvas.y + patient.rib_phase) % 26 - 13
    tube = np.sqrt(shell**2 + tilted**2) - 5
    gap = canvas.y - np.float32(0.72 * deep)
    canvas.paint(np.maximum(tube, gap).astype(np.float32), CORTEX)


def _rod(canvas: _Canvas, segment: Segment, hu: float, inside: Array | None) -> None:
    start, end = np.asarray(segment.start, np.float32), np.asarray(segment.end, np.float32)
    middle, way = (start + end) / 2, end - start
    reach = float(np.linalg.norm(way)) / 2 + segment.radius + 2 * float(canvas.edge)
    part = canvas.window((float(middle[0]), float(middle[1]), float(middle[2])), reach)
    sx, sy, sz = part
    dx, dy, dz = canvas.x[sx, sy] - start[0], canvas.y[sx, sy] - start[1], canvas.z[:, :, sz] - start[2]
    along = np.clip((dx * way[0] + dy * way[1] + dz * way[2]) / np.float32(way @ way), 0, 1)
    away = np.sqrt((dx - along * way[0]) ** 2 + (dy - along * way[1]) ** 2 + (dz - along * way[2]) ** 2) - segment.radius
    if inside is not None:
        away = np.maximum(away, inside[part])
    # A rod thinner than a voxel still leaves its share of blood in it.
    fill = min(1.0, (2 * segment.radius / float(canvas.edge)) ** 2)
    before = canvas.hu[part].copy()
    canvas.paint(away.astype(np.float32), hu, part)
    canvas.hu[part] = before + np.float32(fill) * (canvas.hu[part] - before)


def _vessel(canvas: _Canvas, segment: Segment, lung: Array) -> None:
    _rod(canvas, segment, BLOOD, lung)


def _lesion(canvas: _Canvas, lesion: Lesion, lung: Array, marks: npt.NDArray[np.uint8]) -> None:
    part = canvas.window(lesion.shape.centre, max(lesion.shape.radii) + 8)
    sx, sy, sz = part
    flat = np.sin(canvas.x[sx, sy] / 6 + lesion.phase) * np.cos(canvas.y[sx, sy] / 7)
    ripple = flat * np.sin(canvas.z[:, :, sz] / 5 + lesion.phase)
    distance = np.maximum(canvas.ellipsoid(lesion.shape, part) + 3 * ripple, lung[part]).astype(np.float32)
    brighter = np.maximum(canvas.hu[part], np.float32(lesion.hu))
    share = np.clip(np.float32(0.5) - distance / (3 * canvas.edge), 0, 1)
    canvas.hu[part] += share * (brighter - canvas.hu[part])
    marks[part][distance < 0] = INFLAMMATION
