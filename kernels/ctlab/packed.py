"""A packed case: CT, labels and where they came from in one file, made of blocks that can be read alone.

The file is a ZIP whose members aren't compressed again, holding a Zarr version 3 group: `zarr.json` (with `Header` among its
attributes), `image` and `labels`, each one shard (`ctlab.shards`), and the middle slices of both (`ctlab.middles`). Other programs
open it as a Zarr ZipStore. The directory lies at the end and each array's index at its start, so that opening takes two requests of
a far-away file one after the other, and a patch one more.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ctlab import middles
from ctlab.blocks import Grid, Piece, Shape, block_shape
from ctlab.errors import CtlabError, DamagedError, UnreadableError
from ctlab.far import FarFile, Place
from ctlab.files import whole
from ctlab.geometry import Geometry
from ctlab.shards import BrokenError, Shard, commonest_uniform
from ctlab.storage import reading
from ctlab.volume import Labels, Volume
from phrases import N_

ENDING = ".zarr.zip"
_IMAGE, _LABELS, _META = "image", "labels", "zarr.json"
_SHARD = "c/0/0/0"
_TAIL = 2**16
"""Bytes at the end that are read first: the directory and all of `zarr.json`."""
_LOCAL_HEADER, _LONGEST_EXTRA = 30, 20
"""Bytes of a ZIP member's own header before its name, and of what may follow the name (sizes beyond 4 GiB)."""
_MOST_VOXELS = 2**31
"""A CT of 1024 x 1024 x 2048 voxels: four gigabytes, more than any scanner makes."""

_FAULTS = (
    BrokenError, zipfile.BadZipFile, msgspec.MsgspecError, EOFError, KeyError, TypeError, ValueError, RuntimeError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip
"""What comes of bytes that aren't those of a packed case: ours, and what `zipfile` says of hostile ones."""

Side = Annotated[int, msgspec.Meta(ge=1, le=2**14)]
Sides = tuple[Side, Side, Side]
Row = tuple[float, float, float, float]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file, or a folder of slices, that a packed case was made from."""

    name: str
    """In the case's folder."""
    size: int
    """Bytes, of all files."""
    modified_ns: int
    """When the newest was changed, since the epoch, as its file system says."""
    files: int = 1


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a packed case says of itself."""

    format: Literal[1] = 1
    name: str
    shape: Sides
    block: Sides
    affine: tuple[Row, Row, Row, Row]
    """From voxel index (x, y, z) to mm, RAS+."""
    stored: str
    """Orientation of the axes in the file that the CT came from."""
    image_fill: Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)]
    label_names: dict[str, str | dict[str, str]]
    """As in `labels.json`."""
    label_voxels: dict[int, int]
    """Label value → how many voxels carry it; without 0."""
    sources: tuple[Source, ...]
    sha256: str
    """Of all voxels, HU (int16, little-endian) and then labels, each in C order (x, y, z)."""

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie."""
        return Geometry(self.shape, np.array(self.affine), self.stored)

    def shards(self) -> tuple[Shard, Shard]:
        """Layout of the image and of the labels."""
        grid = Grid(self.shape, self.block)
        return Shard(grid, np.dtype("<i2"), self.image_fill), Shard(grid, np.dtype("u1"), 0)


@dataclass(frozen=True, eq=False)
class _Array:
    shard: Shard
    at: int
    """Where the shard begins in the file."""
    index: npt.NDArray[np.int64]


class PackedFile:
    """An open packed case. Safe to read from several threads; closed when nobody holds it any more."""

    def __init__(self, path: Path, name: str) -> None:
        """Reads the directory and both indexes. Raises UnreadableError, DamagedError or StorageError."""
        self._path, self._name = path, name
        with reading(name):
            self._open()

    def _open(self) -> None:
        path, name = self._path, self._name
        try:
            self._file = FarFile(path, _TAIL)
        except FileNotFoundError as error:
            raise UnreadableError(
                N_("{case}: {path} isn't there. Check the name, and whether the cloud folder is mounted."), case=name, path=path
            ) from error
        try:
            self.header, self._members = _directory(self._file)
            pairs = zip((_IMAGE, _LABELS), self.header.shards(), strict=True)
            self._image, self._labels = _arrays(self._file, [(self._members[f"{each}/{_SHARD}"], shard) for each, shard in pairs])
        except _FAULTS as error:
            raise self._damaged() from error

    def patch(self, start: Shape, size: Shape) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
        """HU and labels of the box of `size` voxels at `start` (x, y, z in RAS+), read now.

        Raises ValueError when the box doesn't lie inside the volume, StorageError when the storage doesn't answer, and DamagedError
        rather than give a wrong voxel.
        """
        hu, labels = self._read((self._image, self._labels), start, size)
        return hu, labels

    def middle(self, axis: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]] | None:
        """HU and labels of the middle slice across `axis`, as `patch` has them, for a hundredth of its bytes.

        None in a file that was packed without. Raises as `patch` does.
        """
        if f"{middles.name_of(_IMAGE, axis)}/{_SHARD}" not in self._members:
            return None
        try:
            with reading(self._name):
                image, marks = self.header.shards()
                return self._middle(_IMAGE, image, axis), self._middle(_LABELS, marks, axis)
        except _FAULTS as error:
            raise self._damaged() from error

    def _middle(self, name: str, whole: Shard, axis: int) -> npt.NDArray[Any]:
        member, shard = self._members[f"{middles.name_of(name, axis)}/{_SHARD}"], middles.shard_of(whole, axis)
        if member.file_size > middles.most_bytes(shard):
            raise BrokenError("a slice is longer than any")
        place = member.header_offset, _before(member) + _LONGEST_EXTRA + member.file_size
        content = self._file.read_long(place)
        begin = _begin(member, content)
        found = middles.decoded(shard, content[begin : begin + member.file_size])
        return np.full(shard.grid.shape, shard.fill, shard.dtype) if found is None else found

    def load(self, names: Mapping[int, str]) -> tuple[Volume, Labels]:
        """All of it. Raises DamagedError."""
        hu, labels = self.patch((0, 0, 0), self.header.shape)
        return Volume(hu, self.header.geometry, self._name), Labels(labels, self.header.geometry, self._name, names)

    def image(self) -> Volume:
        """The CT alone. Raises DamagedError."""
        (hu,) = self._read((self._image,), (0, 0, 0), self.header.shape)
        return Volume(hu, self.header.geometry, self._name)

    def labels(self, names: Mapping[int, str]) -> Labels:
        """The label image alone. Raises DamagedError."""
        (voxels,) = self._read((self._labels,), (0, 0, 0), self.header.shape)
        return Labels(voxels, self.header.geometry, self._name, names)

    def verify(self) -> None:
        """Reads everything and holds it against the file's own SHA-256. Raises DamagedError."""
        hu, marks = self.patch((0, 0, 0), self.header.shape)
        if voxel_digest(hu, marks) != self.header.sha256:
            raise self._damaged()
        for axis in range(3):
            kept, own = self.middle(axis), (middles.slice_of(hu, axis), middles.slice_of(marks, axis))
            if kept and not (np.array_equal(kept[0], own[0]) and np.array_equal(kept[1], own[1])):
                raise self._damaged()

    def _read(self, arrays: tuple[_Array, ...], start: Shape, size: Shape) -> list[npt.NDArray[Any]]:
        boxes = [np.full(size, array.shard.fill, array.shard.dtype) for array in arrays]
        wanted: dict[Place, tuple[Shard, Piece, npt.NDArray[Any]]] = {}
        for piece in arrays[0].shard.grid.pieces(start, size):
            for array, box in zip(arrays, boxes, strict=True):
                at, length = map(int, array.index[piece.number])
                if at >= 0:
                    wanted[array.at + at, length] = (array.shard, piece, box)
        try:
            with reading(self._name):
                for place, content in self._file.read_many(list(wanted)):
                    shard, piece, box = wanted[place]
                    box[piece.target] = shard.decode(content)[piece.inside]
        except (BrokenError, EOFError) as error:
            raise self._damaged() from error
        return boxes

    def _damaged(self) -> CtlabError:
        return DamagedError(
            N_(
                "{case}: the packed file {file} is damaged: what was read isn't what was written, and nothing of it was used. "
                "Remove it and pack the case again."
            ),
            case=self._name,
            file=self._path.name,
        )


def write_packed(path: Path, ct: Volume, labels: Labels, table: Mapping[str, Any], sources: tuple[Source, ...]) -> Header:
    """Packs a case into the file at `path`, which appears whole or not at all. `table` is that of its `labels.json`.

    Raises OSError when the folder takes nothing.
    """
    block = block_shape(ct.geometry.spacing)
    counts = np.bincount(labels.voxels.ravel(), minlength=256)
    header = Header(
        name=ct.name,
        shape=ct.geometry.shape,
        block=block,
        affine=tuple(tuple(map(float, row)) for row in ct.geometry.affine),  # type: ignore[arg-type]  # four rows of four
        stored=ct.geometry.stored,
        image_fill=commonest_uniform(ct.voxels, Grid(ct.geometry.shape, block)),
        label_names=dict(table),
        label_voxels={int(value): int(counts[value]) for value in np.flatnonzero(counts) if value},
        sources=sources,
        sha256=voxel_digest(ct.voxels, labels.voxels),
    )
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ctlab": msgspec.to_builtins(header, str_keys=True)}}
    with whole(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        image, marks = header.shards()
        for name, shard, parts in ((_LABELS, marks, marks.encode(labels.voxels)), (_IMAGE, image, image.encode(ct.voxels))):
            _add(archive, f"{name}/{_SHARD}", parts)
            _add(archive, f"{name}/{_META}", [json.dumps(shard.metadata()).encode()])
        # Beside each other, the directory's neighbours: a few requests bring them all.
        for axis in range(3):
            for name, shard, voxels in ((_IMAGE, image, ct.voxels), (_LABELS, marks, labels.voxels)):
                thin, own = middles.shard_of(shard, axis), middles.name_of(name, axis)
                _add(archive, f"{own}/{_SHARD}", thin.encode(middles.slice_of(voxels, axis)))
                _add(archive, f"{own}/{_META}", [json.dumps(thin.metadata()).encode()])
        _add(archive, _META, [json.dumps(group).encode()])
    return header


def read_header(path: Path) -> Header | None:
    """What the packed case at `path` says of itself; None when there is none that can be read."""
    try:
        return _directory(FarFile(path, _TAIL))[0]
    except (OSError, *_FAULTS):
        return None


def voxel_digest(hu: npt.NDArray[np.int16], labels: npt.NDArray[np.uint8]) -> str:
    """The SHA-256 of `Header.sha256`."""
    digest = hashlib.sha256()
    for array in (hu.astype("<i2", copy=False), labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _add(archive: zipfile.ZipFile, name: str, parts: list[bytes]) -> None:
    # ZipInfo without a time: the same case gives the same bytes.
    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=sum(map(len, parts)) >= zipfile.ZIP64_LIMIT) as stream:
        for part in parts:
            stream.write(part)


def _directory(file: FarFile) -> tuple[Header, dict[str, zipfile.ZipInfo]]:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        meta = members[_META]
        if not meta.file_size == meta.compress_size <= _TAIL:
            raise BrokenError("zarr.json is of another size")
        attributes = msgspec.json.decode(archive.read(meta), type=dict[str, Any])["attributes"]
    header = msgspec.convert(attributes["ctlab"], Header, str_keys=True)
    if np.prod(header.shape, dtype=object) > _MOST_VOXELS or np.prod(header.block) > 2**21 or np.prod(header.block) < 2**6:
        raise BrokenError("larger than any CT")
    if not np.isfinite(header.affine).all() or len(header.stored) != 3:
        raise BrokenError("no place in the patient")
    return header, members


def _arrays(file: FarFile, found: list[tuple[zipfile.ZipInfo, Shard]]) -> list[_Array]:
    """Both arrays with their indexes, by one request each, at once."""
    places = [(member.header_offset, _before(member) + _LONGEST_EXTRA + shard.index_bytes) for member, shard in found]
    contents = dict(file.read_many(places))
    arrays: list[_Array] = []
    for (member, shard), place in zip(found, places, strict=True):
        content = contents[place]
        begin = _begin(member, content)
        index = shard.index(content[begin : begin + shard.index_bytes], member.file_size)
        arrays.append(_Array(shard, place[0] + begin, index))
    if len({array.at for array in arrays}) < len(arrays):
        raise BrokenError("two arrays in one place")
    return arrays


def _before(member: zipfile.ZipInfo) -> int:
    """Bytes of a member's own header, without what may follow its name."""
    return _LOCAL_HEADER + len(member.filename.encode())


def _begin(member: zipfile.ZipInfo, content: bytes) -> int:
    """Where its data begin in `content`, which begins with its header. Raises BrokenError."""
    extra = int.from_bytes(content[28:30], "little")
    if content[:4] != b"PK\3\4" or extra > _LONGEST_EXTRA or member.compress_type != zipfile.ZIP_STORED:
        raise BrokenError("a member of another kind")
    return _before(member) + extra
