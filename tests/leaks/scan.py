"""Canaries: random values that are planted where images are, and every form in which they could turn up elsewhere. Pure."""

from __future__ import annotations

import base64
import re
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

UNPACKED_LIMIT = 64 * 2**20
"""Bytes that one compressed stream is unpacked to at most."""
DEPTH = 3
"""Compressed streams within compressed streams that are followed."""


@dataclass(frozen=True)
class Canary:
    """A value that occurs nowhere by chance, as `bytes`; `name` says where it was planted."""

    name: str
    secret: bytes


def text_canary(name: str) -> Canary:
    """A canary that can be a file's name or a header's text: 32 letters and digits, 128 random bits."""
    return Canary(name, secrets.token_hex(16).encode())


def pixel_values() -> np.ndarray:
    """Sixteen voxels (int16, HU from -1000 to 999) as no scan has them: 175 random bits."""
    return np.array([secrets.randbelow(2000) - 1000 for _ in range(16)], np.int16)


def pixel_canaries(voxels: np.ndarray) -> tuple[Canary, ...]:
    """`voxels` as they lie in files and in memory."""
    kinds = ("<i2", ">i2", "<f4", ">f4", "<f8")
    return tuple(Canary(f"pixels as {kind}", voxels.astype(kind).tobytes()) for kind in kinds)


def forms(canary: Canary) -> dict[str, bytes]:
    """How `canary` looks where something has written it down: form → bytes to look for."""
    secret = canary.secret
    found = {"raw": secret, "hex": secret.hex().encode()}
    for phase in range(3):
        # Three bytes become four letters: with one or two bytes before it the same secret has other letters, of which the
        # first and last depend on what is beside it.
        encoded = base64.b64encode(b"\0" * phase + secret)
        whole = encoded[(0, 2, 3)[phase] :]
        settled = len(secret) + phase
        found[f"base64, phase {phase}"] = whole[: len(whole) - (0 if settled % 3 == 0 else 4)]
    if secret.isalnum():
        text = secret.decode()
        found |= {"UTF-16": text.encode("utf-16-le"), "UTF-16 (big end first)": text.encode("utf-16-be"), "backwards": secret[::-1]}
    return found


def find(data: bytes, canaries: tuple[Canary, ...], depth: int = DEPTH) -> list[str]:
    """Which canaries occur in `data`, and in what form; gzip and zlib streams in it are unpacked and looked through too."""
    hits = [f"{canary.name} ({form})" for canary in canaries for form, look in forms(canary).items() if look in data]
    if depth:
        for unpacked in _streams(data):
            hits += [f"{hit}, compressed" for hit in find(unpacked, canaries, depth - 1)]
    return hits


def _streams(data: bytes) -> Iterator[bytes]:
    for start in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", data):
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            unpacked = unpacking.decompress(data[start.start() :], UNPACKED_LIMIT)
        except zlib.error:
            continue  # two letters that look like the head of a stream
        if unpacked:
            yield unpacked
