"""One array as bytes: blocks that are compressed and checked one by one, behind an index of where they lie.

This is the layout of Zarr version 3's sharding codec (https://zarr-specs.readthedocs.io, "sharding-indexed"), with the index at
the start: any program that reads Zarr reads it, and `metadata` is what that needs. Each block is shuffled and compressed by Blosc
with Zstandard and ends with its CRC-32C; blocks of one value, air outside a body or no label, take no bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import numpy.typing as npt

from ctlab.blocks import Grid

CHECKSUM_BYTES = 4
_ABSENT = 2**64 - 1
"""In the index: this block holds nothing but the fill value."""
_LEVEL = 3
_BLOSC_HEADER = 16
SLACK = 64
"""Bytes that Blosc may add to a block that doesn't get smaller, and its checksum."""


class BrokenError(Exception):
    """These are not the bytes that were written."""


@dataclass(frozen=True)
class Shard:
    """How one array is laid out."""

    grid: Grid
    dtype: np.dtype[Any]
    fill: int
    """The value of blocks that take no bytes."""

    @property
    def index_bytes(self) -> int:
        """Length of the index with its checksum."""
        x, y, z = self.grid.counts
        return x * y * z * 16 + CHECKSUM_BYTES

    @property
    def block_bytes(self) -> int:
        """Length of a block before compression."""
        x, y, z = self.grid.block
        return x * y * z * self.dtype.itemsize

    def encode(self, array: npt.NDArray[Any]) -> list[bytes]:
        """The index and every block that isn't uniform, in the order in which they lie in the file. `array`: axes (x, y, z)."""
        codec = numcodecs.Blosc("zstd", _LEVEL, numcodecs.Blosc.SHUFFLE)
        parts, entries, at = [], [], self.index_bytes
        for box in self.grid.boxes():
            block = np.full(self.grid.block, self.fill, self.dtype)
            values = array[box]
            block[tuple(slice(length) for length in values.shape)] = values
            if (block == self.fill).all():
                entries.append((_ABSENT, _ABSENT))
                continue
            part = checked(codec.encode(block))
            entries.append((at, len(part)))
            parts.append(part)
            at += len(part)
        return [checked(np.array(entries, "<u8").tobytes()), *parts]

    def index(self, content: bytes, length: int) -> npt.NDArray[np.int64]:
        """Offset and length of each block, (blocks, 2); -1 for one that takes no bytes. Raises BrokenError.

        `length` is that of the whole shard: no block lies beyond it.
        """
        entries = np.frombuffer(unchecked(content), "<u8").reshape(-1, 2)
        absent = (entries == _ABSENT).all(axis=1)
        present = [(int(at), int(size)) for at, size in sorted(entries[~absent].tolist())]
        free = self.index_bytes
        for at, size in present:
            if at < free or not _BLOSC_HEADER + CHECKSUM_BYTES < size <= self.block_bytes + SLACK:
                raise BrokenError("a block lies on another, or has a size that none has")
            free = at + size
        if free > length:
            raise BrokenError("a block lies outside its shard")
        found = entries.astype(np.int64)
        found[absent] = -1
        return found

    def decode(self, content: bytes) -> npt.NDArray[Any]:
        """One block, axes (x, y, z). Raises BrokenError."""
        packed = unchecked(content)
        # What Blosc would make room for, before it does: the length that the block's own header states.
        if int.from_bytes(packed[4:8], "little") != self.block_bytes:
            raise BrokenError("a block of another size")
        try:
            plain = numcodecs.blosc.decompress(packed)
        except RuntimeError as error:
            raise BrokenError(str(error)) from error
        values: npt.NDArray[Any] = np.frombuffer(plain, self.dtype).reshape(self.grid.block)
        return values

    def metadata(self) -> dict[str, Any]:
        """What `zarr.json` beside the shard says."""
        little, crc = {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}
        blosc = {"typesize": self.dtype.itemsize, "cname": "zstd", "clevel": _LEVEL, "shuffle": "shuffle", "blocksize": 0}
        sharding = {
            "chunk_shape": list(self.grid.block),
            "codecs": [little, {"name": "blosc", "configuration": blosc}, crc],
            "index_codecs": [little, crc],
            "index_location": "start",
        }
        whole = [count * side for count, side in zip(self.grid.counts, self.grid.block, strict=True)]
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.grid.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": whole}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": self.fill,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "dimension_names": ["x", "y", "z"],
            "attributes": {},
        }


def checked(content: bytes) -> bytes:
    """`content` with its CRC-32C behind it, little-endian."""
    return content + int(google_crc32c.value(content)).to_bytes(CHECKSUM_BYTES, "little")


def unchecked(content: bytes) -> bytes:
    """What `checked` was given. Raises BrokenError when its checksum doesn't match."""
    plain, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    if len(checksum) != CHECKSUM_BYTES or google_crc32c.value(plain) != int.from_bytes(checksum, "little"):
        raise BrokenError("a checksum doesn't match")
    return plain


def commonest_uniform(array: npt.NDArray[Any], grid: Grid) -> int:
    """The value that fills most of the uniform blocks of `array`, which need not be stored then; 0 when there is none."""
    counts: dict[int, int] = {}
    for value in _uniform(array[box] for box in grid.boxes()):
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda value: (counts[value], -value), default=0)


def _uniform(blocks: Iterable[npt.NDArray[Any]]) -> Iterator[int]:
    for block in blocks:
        first = block.flat[0]
        if (block == first).all():
            yield int(first)
