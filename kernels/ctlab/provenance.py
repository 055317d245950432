"""What made a label image, out of what, written beside it: enough to say years later whose word it is, and to see that it is done.

No name of a patient, and no path outside the results, goes into it: a case is called what its folder is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec
import torch

from ctlab.files import whole
from ctlab.inference import Model
from ctlab.volume import Volume

ENDING = ".json"

PIECE = 2**20
"""Bytes of a file read at a time."""


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prediction. Checksums are SHA-256, in hexadecimal."""

    case: str
    made: str
    """When, ISO 8601, UTC."""
    ctlab: str
    """Version."""
    model: str
    """Checksum of weights, labels and preset."""
    parameters: dict[str, str | int | float]
    labels: dict[str, str]
    """Label value to name."""
    source: str
    """Checksum of names, sizes and times of the files that the case consisted of: cheap to see whether they changed."""
    ct: str
    """Checksum of the voxels (HU, int16, x y z in RAS+) and of their place in the patient."""
    files: dict[str, str]
    """Name of each result to its checksum."""
    remark: str = ""
    """Why there is no DICOM segmentation, where there could have been one."""


def version() -> str:
    """This library's version; "unknown" when it is used without being installed."""
    try:
        return metadata.version("renkei")
    except metadata.PackageNotFoundError:
        return "unknown"


def now() -> str:
    """The time as provenance has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def of_model(model: Model) -> str:
    """The checksum of a network: equal when it answers equally."""
    digest = hashlib.sha256(repr((sorted(vars(model.preset).items()), sorted(model.names))).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(repr((name, str(plain.dtype), tuple(plain.shape))).encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def of_ct(ct: Volume) -> str:
    """The checksum of a CT: voxels and affine, rounded to a micrometre."""
    digest = hashlib.sha256(repr((ct.geometry.shape, ct.geometry.affine.round(3).tolist())).encode())
    for plane in ct.voxels:  # one after the other: a copy of the whole may not fit
        digest.update(plane.tobytes())
    return digest.hexdigest()


def of_source(folder: Path, leave_out: Iterable[str] = ()) -> str:
    """The checksum of what a folder (or file) consists of, by names, sizes and times; without those that `leave_out` begins."""
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        if path.name.startswith((".", *leave_out)):
            continue
        about = path.stat()
        digest.update(repr((str(path.relative_to(folder)), about.st_size, about.st_mtime_ns)).encode())
    return digest.hexdigest()


def of_file(path: Path) -> str:
    """The checksum of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def write(path: Path, provenance: Provenance) -> Path:
    """Writes it as JSON; it appears whole or not at all."""
    with whole(path) as draft:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(provenance), indent=1) + b"\n")
    return path


def read(path: Path) -> Provenance | None:
    """What `path` says; None when it isn't there or isn't ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Provenance)
    except (OSError, msgspec.DecodeError):
        return None


def still_true(found: Provenance, folder: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `found` has every value of `wanted`, and its files lie in `folder` as they were written."""
    if any(getattr(found, name) != value for name, value in wanted.items()):
        return False
    try:
        return bool(found.files) and all(of_file(folder / Path(name).name) == digest for name, digest in found.files.items())
    except OSError:
        return False
