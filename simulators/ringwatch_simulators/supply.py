"""What the detector sees: frames by number, from files or from a model."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.errors import ScenarioError

AttributeValue = float | int | str


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is asked of a supply: which frame, how long, and whether the beam is let in.

    Parameters
    ----------
    index
        Number of the frame in the supply, from 0.
    exposure_s
        Exposure that the detector is set to.
    dark
        0 with the shutter open; with the shutter closed by the operator the number of the dark, from 1,
        taken where frame `index` would be next.
    """

    index: int
    exposure_s: float
    dark: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class SuppliedFrame:
    """One frame as the detector reads it out.

    Parameters
    ----------
    image
        (rows, columns), any real dtype.
    unique_id
        The number that the frame already has, None where the detector's counter gives it.
    end_ns
        UTC, nanoseconds since 1970, when the exposure ended; None for "now".
    shutter_closed
        Whether the shutter kept the beam off this frame, None where nobody knows.
    attributes
        Metadata to go with the frame.
    """

    image: NDArray[Any]
    unique_id: int | None = None
    end_ns: int | None = None
    shutter_closed: bool | None = None
    attributes: tuple[tuple[str, AttributeValue], ...] = ()


class FrameSupply(Protocol):
    """Frames by number, in any order, from any thread."""

    def __len__(self) -> int:
        """How many frames there are."""
        ...

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame asked for; the same request gives the same frame."""
        ...


class CountingFrames:
    """Frames that tell their own number, to prove that nothing is mispaired.

    The first pixel of frame `index` is ``index + 1``, like the detector's counter; the rest is a
    ramp that moves by one from frame to frame. Integers wrap around at the end of their range.

    Parameters
    ----------
    count
        How many frames.
    shape
        (rows, columns).
    dtype
        Any real numpy dtype.
    """

    def __init__(self, *, count: int, shape: tuple[int, int], dtype: str = "uint16") -> None:
        kind = np.dtype(dtype)
        if kind.kind not in "uif":
            raise ScenarioError(f"the frames' type must be a real number, got {dtype}")
        self._count = count
        self._ramp = (np.arange(shape[0] * shape[1]) % 2**20).astype(kind).reshape(shape)

    def __len__(self) -> int:
        return self._count

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame whose first pixel is its number from 1; zeros behind a closed shutter."""
        if exposure.dark:
            return SuppliedFrame(np.zeros_like(self._ramp), shutter_closed=True)
        number = np.array([exposure.index + 1]).astype(self._ramp.dtype)
        return SuppliedFrame(self._ramp + number, shutter_closed=False)


class FramesInMemory:
    """The frames of another supply, read once beforehand: serving them costs nothing but their way out.

    Parameters
    ----------
    supply
        Whose frames do not depend on the exposure, as recorded ones.
    """

    def __init__(self, supply: FrameSupply) -> None:
        self._supply = supply
        self._frames = [supply.frame(Exposure(index, 0.0)) for index in range(len(supply))]

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame of that number; a dark comes from the supply."""
        return self._supply.frame(exposure) if exposure.dark else self._frames[exposure.index]
