"""How large a volume may be: a header that states more is damaged or hostile, and is refused before memory is asked for. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ctlab.errors import UnreadableError
from phrases import N_

MOST_VOXELS = 2**30
"""1024 x 1024 x 1024. A CT of the whole body in thin slices has about 512 x 512 x 2000, half of it."""
LONGEST_SIDE = 2**14
INFLATES_TO = 1032
"""Bytes that DEFLATE can make of one, at most (zlib's technical details: 258 bytes for two bits)."""


def check_size(name: str, file: str, shape: Sequence[int], bytes_stated: int = 0, bytes_there: int | None = None) -> None:
    """Raises UnreadableError when no CT has `shape`, or when `bytes_there` in the file can't become the `bytes_stated`."""
    impossible = not shape or any(not 0 < side <= LONGEST_SIDE for side in shape) or math.prod(shape) > MOST_VOXELS
    if impossible or (bytes_there is not None and bytes_stated > bytes_there * INFLATES_TO):
        raise UnreadableError(
            N_("{case}: {file} says that it holds {shape} voxels, which can't be. It is damaged; copy or export it again."),
            case=name,
            file=file,
            shape=" × ".join(map(str, shape)),
        )
