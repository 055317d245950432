"""Patches of one case, read from a far-away folder as each format allows: a program on a node that answers lines with seconds.

`python -m bench.packreads FOLDER` says which ways it knows, then, for each line `WAY X Y Z SIDE`, how long the cube of SIDE voxels
at X, Y, Z took (HU and labels), cold, and a checksum of what was read.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from ctlab.packed import ENDING, PackedFile

Box = tuple[slice, slice, slice]
Read = Callable[[Path, Box], tuple[npt.NDArray[Any], npt.NDArray[Any]]]

_kept: dict[Path, PackedFile] = {}
"""Packed cases that stay open."""


def _nifti(ending: str) -> Read:
    def read(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """By nibabel, which reads the part of the file that the box needs."""
        hu, labels = (np.asarray(nib.load(folder / f"{name}{ending}").dataobj[box]) for name in ("ct", "label"))
        return hu, labels

    return read


def _npy(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    hu, labels = (np.array(np.load(folder / f"{name}.npy", mmap_mode="r")[box]) for name in ("ct", "label"))
    return hu, labels


def _corner(box: Box) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    x, y, z = box
    return (x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start)


def _packed(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return PackedFile(folder / f"case{ENDING}", "case").patch(*_corner(box))


def _packed_open(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    path = folder / f"case{ENDING}"
    if path not in _kept:
        _kept[path] = PackedFile(path, "case")
    return _kept[path].patch(*_corner(box))


def _zarr(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The packed file by Zarr's own program."""
    import zarr  # only where it is compared

    group = zarr.open_group(zarr.storage.ZipStore(folder / f"case{ENDING}", mode="r"), mode="r")
    hu, labels = (np.asarray(group[name][box]) for name in ("image", "labels"))
    return hu, labels


def _zarr_folder(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """One shard an array in a folder, by Zarr's own program."""
    import zarr

    group = zarr.open_group(folder / "case.zarr", mode="r")
    hu, labels = (np.asarray(group[name][box]) for name in ("image", "labels"))
    return hu, labels


def _blosc2(folder: Path, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    import blosc2

    hu, labels = (blosc2.open(str(folder / f"{name}.b2nd"), mode="r")[box] for name in ("ct", "label"))
    return hu, labels


WAYS: dict[str, Read] = {
    "nii.gz": _nifti(".nii.gz"), "nii": _nifti(".nii"), "npy": _npy, "packed": _packed, "packed, kept open": _packed_open,
    "packed, by zarr": _zarr, "zarr folder": _zarr_folder, "blosc2": _blosc2,
}  # fmt: skip
NEEDS = {"packed, by zarr": "zarr", "zarr folder": "zarr", "blosc2": "blosc2"}
"""Packages that a way needs and this project doesn't."""


def known() -> list[str]:
    """The ways that can be measured here."""
    return [way for way in WAYS if importlib.util.find_spec(NEEDS.get(way, "sys")) is not None]


def forget(folder: Path) -> None:
    """Nothing of the files stays in this mount's page cache."""
    for path in (each for each in folder.rglob("*") if each.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> int:
    """Answer until the input ends."""
    folder = Path(sys.argv[1])
    sys.stdout.write(";".join(known()) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        *words, x, y, z, side = line.split()
        box = tuple(slice(int(start), int(start) + int(side)) for start in (x, y, z))
        forget(folder)
        begun, busy = time.perf_counter(), time.process_time()
        hu, labels = WAYS[" ".join(words)](folder, box)  # type: ignore[arg-type]  # three slices
        took, busy = time.perf_counter() - begun, time.process_time() - busy
        checksum = zlib.crc32(labels.astype("u1").tobytes(), zlib.crc32(hu.astype("<i2").tobytes()))
        sys.stdout.write(f"{took} {busy} {checksum}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
