"""How large a compressed picture says that it is, read from its own first bytes. Pure.

Decoders make room for what the picture states, whatever the DICOM header around it says: few bytes could ask for many gigabytes.
"""

from __future__ import annotations

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Markers that begin a frame: of JPEG (ITU-T T.81, table B.1) and of JPEG-LS (T.87)."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""


def stated_size(content: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream; None when `content` is none, or doesn't say."""
    if content.startswith(_JPEG_2000) and len(content) >= 24:
        # SIZ (T.800, A.5.1): two lengths, then the grid's size and the picture's offset in it.
        width, height, left, top = (int.from_bytes(content[at : at + 4], "big") for at in range(8, 24, 4))
        return height - top, width - left
    if content.startswith(_JPEG):
        return _frame_size(content)
    return None


def _frame_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filled up
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            return int.from_bytes(content[at + 5 : at + 7], "big"), int.from_bytes(content[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
