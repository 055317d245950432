"""A CT volume and a label image, as values that can't change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctlab.errors import LabelError
from ctlab.geometry import Geometry
from ctlab.text import say
from phrases import N_


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A CT: Hounsfield units on a voxel grid. Readers and orientation: `ctlab.load`."""

    voxels: npt.NDArray[np.int16]
    """HU, axes (x, y, z) in RAS+; can't be written to."""
    geometry: Geometry
    name: str
    """What people call it: the case's name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "voxels", _locked(self.voxels, np.dtype(np.int16), self.geometry))

    def __repr__(self) -> str:
        x, y, z = self.geometry.shape
        dx, dy, dz = self.geometry.spacing
        return say(
            N_("{name}: {x} × {y} × {z} voxels of {dx:.2f} × {dy:.2f} × {dz:.2f} mm, {low} to {high} HU"),
            name=self.name, x=x, y=y, z=z, dx=dx, dy=dy, dz=dz, low=self.voxels.min(), high=self.voxels.max(),
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Labels:
    """A label image: at each voxel the number of a structure, 0 for none."""

    voxels: npt.NDArray[np.uint8]
    """Axes (x, y, z) in RAS+; can't be written to."""
    geometry: Geometry
    name: str
    names: Mapping[int, str] = field(default_factory=dict)
    """What each number stands for, in the language of the process."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "voxels", _locked(self.voxels, np.dtype(np.uint8), self.geometry))

    def __repr__(self) -> str:
        parts = [f"{self.label_name(value)} {self.volume_ml(value):.0f} ml" for value in self.values()]
        return f"{self.name}: {', '.join(parts)}"

    def values(self) -> tuple[int, ...]:
        """The numbers that occur, without 0, in ascending order."""
        # Plane by plane: counting turns each voxel into eight bytes.
        counts = sum(np.bincount(plane.ravel(), minlength=256) for plane in self.voxels)
        return tuple(int(value) for value in np.flatnonzero(counts) if value)

    def label_name(self, value: int) -> str:
        """What `value` stands for."""
        return self.names.get(value) or say(N_("label {number}"), number=value)

    def volume_ml(self, value: int) -> float:
        """How much of the patient carries `value`, in millilitres."""
        return float(np.count_nonzero(self.voxels == value)) * self.geometry.voxel_ml

    def check_fits(self, volume: Volume | Labels) -> None:
        """Raises LabelError unless this has the grid of `volume`: the same shape at the same place."""
        if self.geometry.shape != volume.geometry.shape:
            raise LabelError(
                N_("{case}: the label image has {label} voxels, the CT {ct}. Use the label image that was drawn on this CT."),
                case=volume.name,
                label=" × ".join(map(str, self.geometry.shape)),
                ct=" × ".join(map(str, volume.geometry.shape)),
            )
        if not self.geometry.fits(volume.geometry):
            raise LabelError(
                N_(
                    "{case}: the label image lies up to {mm:.1f} mm beside the CT (orientation, spacing or origin differ). "
                    "Export both from the same program, or leave this case out."
                ),
                case=volume.name,
                mm=self.geometry.misfit(volume.geometry),
            )

    def save(self, path: str | Path) -> Path:
        """Writes a NIfTI file (.nii.gz) with the grid of the file that the CT came from; it appears whole or not at all."""
        from ctlab.nifti import write  # nifti needs Labels

        return write(Path(path), self.voxels, self.geometry)


def _locked(array: npt.NDArray[np.generic], dtype: np.dtype[np.generic], geometry: Geometry) -> npt.NDArray[np.generic]:
    """`array` as a view that can't be written to. Raises ValueError when it isn't what the class promises."""
    if array.dtype != dtype or array.shape != geometry.shape:
        raise ValueError(f"expected {dtype} of shape {geometry.shape}, got {array.dtype} of shape {array.shape}")
    view = array.view()
    view.flags.writeable = False
    return view
