"""Are these Hounsfield units? Air is -1000, water 0; a file that stores anything else breaks training without a sound."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctlab.errors import HounsfieldError
from phrases import N_

LEAST_RANGE = 200
"""Between fat (-100) and muscle (50) there are 150 HU: less than this is no CT of a body."""

AIR_BELOW = -500
"""Air and lung lie below, everything else in a body above."""

PADDING_BELOW = -1300
"""No air is that thin: scanners fill what they didn't see with such values (-1500, -2000, -2048, -3024)."""

BODY_ABOVE = 800
"""Where air is stored as 0 or 24, soft tissue is found above this."""

TISSUE_ABOVE, LEAST_TISSUE = -300, 0.002
"""In a CT of a body at least this part of the voxels is soft tissue or bone, also in a hand on a large field of view."""


def to_hounsfield(values: npt.NDArray[np.generic], name: str, *, expect_air: bool = True) -> npt.NDArray[np.int16]:
    """`values` as int16, checked for being HU; `values` itself where it is int16 already, so that there aren't two of a volume.

    Raises HounsfieldError for values that are not finite, out of int16's range, too close together for CT, stored about
    1000 too high or too low, or (unless `expect_air` is false, for a piece cut out of the middle of a body) without any air.
    """
    if values.size == 0:
        raise HounsfieldError(N_("{case}: the image is empty. Export it again."), case=name)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise HounsfieldError(N_("{case}: some values are not numbers (NaN or infinite). Export the image again."), case=name)
    if values.dtype.kind not in "iuf":
        raise HounsfieldError(
            N_("{case}: this is a colour picture or another kind of image, not a CT. Use the original CT."), case=name
        )
    lowest, highest = float(values.min()), float(values.max())
    if lowest < -32768 or highest > 32767:
        raise HounsfieldError(
            N_("{case}: values from {low:.0f} to {high:.0f} can't be HU. Export the original CT again."),
            case=name,
            low=lowest,
            high=highest,
        )
    if highest - lowest < LEAST_RANGE:
        raise HounsfieldError(
            N_("{case}: values from {low:g} to {high:g} are not HU; the image was probably rescaled. Use the original CT."),
            case=name,
            low=lowest,
            high=highest,
        )
    hu = values.astype(np.int16, copy=False) if values.dtype.kind in "iu" else np.rint(values).astype(np.int16)
    if expect_air:
        check_body(hu, name)
    return hu


def check_body(hu: npt.NDArray[np.int16], name: str) -> None:
    """Raises HounsfieldError for whole HU that can't be those of a body with air around or in it, or seem to be shifted."""
    lowest, highest = int(hu.min()), int(hu.max())
    # Plane by plane, here and below: a mask of all of a long CT, and what it leaves, would take its memory once and a half more.
    thinnest = float(lowest)
    if lowest < PADDING_BELOW:
        thinnest = float(min(part.min(where=part >= PADDING_BELOW, initial=highest) for part in hu))
    if thinnest > AIR_BELOW:
        if highest > BODY_ABOVE and float(np.percentile(hu, 95)) > BODY_ABOVE:
            raise HounsfieldError(
                N_(
                    "{case}: the values start at {low:.0f}: they seem to be stored about 1000 too high. Subtract the offset, or "
                    "export the CT in HU."
                ),
                case=name,
                low=thinnest,
            )
        raise HounsfieldError(
            N_("{case}: no air was found (the lowest value is {low:.0f}, air is -1000 HU). Check that the image is a CT in HU."),
            case=name,
            low=thinnest,
        )
    if sum(int(np.count_nonzero(part > TISSUE_ABOVE)) for part in hu) < LEAST_TISSUE * hu.size:
        raise HounsfieldError(
            N_(
                "{case}: almost nothing is denser than {limit} HU: the values seem to be stored about 1000 too low. Use the "
                "original CT."
            ),
            case=name,
            limit=TISSUE_ABOVE,
        )
