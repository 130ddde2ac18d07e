"""A detector frame and the conditions under which it was taken."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FrameKind(StrEnum):
    """What a frame shows."""

    LIGHT = "LIGHT"
    DARK = "DARK"


@dataclass(frozen=True, slots=True)
class DetectorConditions:
    """What a dark must share with a frame to be valid for it.

    A field that nobody reported is ``None`` and agrees with everything.
    """

    exposure_s: float | None = None
    gain: str | None = None
    trigger_mode: str | None = None

    def disagreement(self, other: "DetectorConditions") -> str:
        """Name the first condition in which two acquisitions differ, or an empty string.

        Exposures agree within 0.1 %, the read-back resolution of detector drivers.
        """
        if self.exposure_s is not None and other.exposure_s is not None:
            longer = max(abs(self.exposure_s), abs(other.exposure_s))
            if abs(self.exposure_s - other.exposure_s) > 1e-3 * longer:
                return f"exposure {self.exposure_s:g} s against {other.exposure_s:g} s"
        for name in ("gain", "trigger_mode"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None and theirs is not None and mine != theirs:
                return f"{name} {mine} against {theirs}"
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One 2-D image with what is known about it.

    Parameters
    ----------
    unique_id
        Counter of the detector (areaDetector ``uniqueId``) or index of the file.
    timestamp_ns
        UTC, nanoseconds since 1970, at the middle of the exposure.
    received_ns
        UTC, nanoseconds since 1970, when ringwatch had it in hand.
    exposure_s
        NaN where nobody told.
    image
        (rows, columns), any real dtype, read-only.
    monitor
        Incident-beam monitor over the exposure, NaN where there is none.
    origin
        PV or file, for messages.
    conditions
        What a dark must share with this frame.
    offset_subtracted
        The detector already took its own dark off.
    attributes
        Further metadata that came with the frame, as (name, value).
    cell
        Which of several cells was in the beam: its name, or in quotes what was told and is no name of a cell.
        Empty where nothing was told.
    """

    unique_id: int
    timestamp_ns: int
    received_ns: int
    exposure_s: float
    image: NDArray[Any]
    monitor: float = float("nan")
    origin: str = ""
    kind: FrameKind = FrameKind.LIGHT
    conditions: DetectorConditions = field(default_factory=DetectorConditions)
    offset_subtracted: bool = False
    attributes: tuple[tuple[str, str | float | int], ...] = ()
    cell: str = ""


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view of `array` that cannot be written through."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
