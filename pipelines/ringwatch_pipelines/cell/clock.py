"""How the cycler's clock goes against the detector's, as it was declared or measured.

detector = cycler + offset + drift (cycler - reference)
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

NS_PER_S = 1e9
USUAL_DRIFT_PPM = 100.0
"""Standard deviation of the drift before anything is measured: crystals are off by tens."""
MOST_DRIFT_PPM = 3.0 * USUAL_DRIFT_PPM


@dataclass(frozen=True, slots=True)
class ClockRelation:
    """From the cycler's clock to the detector's.

    Parameters
    ----------
    offset_s
        Detector's clock minus cycler's at the reference.
    drift_ppm
        How much this difference grows, in microseconds a second.
    reference_ns
        UTC on the cycler's clock, nanoseconds since 1970.
    """

    offset_s: float = 0.0
    drift_ppm: float = 0.0
    reference_ns: int = 0

    def detector_from_cycler_ns(self, cycler_ns: IntArray) -> IntArray:
        """The detector's time at times of the cycler, (samples,) each."""
        return self._moved_ns(cycler_ns, 1) + self._gained_ns(cycler_ns, 1e-6 * self.drift_ppm)

    def cycler_from_detector_ns(self, detector_ns: IntArray) -> IntArray:
        """The cycler's time at times of the detector, (frames,) each."""
        near_ns = self._moved_ns(detector_ns, -1)
        drift = 1e-6 * self.drift_ppm
        return near_ns - self._gained_ns(near_ns, drift / (1.0 + drift))

    def at(self, reference_ns: int) -> "ClockRelation":
        """The same relation, told at another reference."""
        moved_s = 1e-6 * self.drift_ppm * (reference_ns - self.reference_ns) / NS_PER_S
        return ClockRelation(self.offset_s + moved_s, self.drift_ppm, reference_ns)

    def beginning_at(self, reference_ns: int) -> "ClockRelation":
        """The same offset and drift, but with that offset at this reference."""
        return ClockRelation(self.offset_s, self.drift_ppm, reference_ns)

    def _moved_ns(self, stamps_ns: IntArray, sign: int) -> IntArray:
        moved_ns: IntArray = stamps_ns + sign * round(self.offset_s * NS_PER_S)
        return moved_ns

    def _gained_ns(self, stamps_ns: IntArray, drift: float) -> IntArray:
        gained_ns: IntArray = np.rint(drift * (stamps_ns - self.reference_ns)).astype(np.int64)
        return gained_ns


class ClockMethod(StrEnum):
    """How the relation of the clocks is known."""

    DECLARED = "DECLARED"
    MARK = "MARK"
    """Switches of the cycler that the frames carry too."""
    BREATHING = "BREATHING"
    """What the cell's charge does to the fitted tracks."""


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """The relation of the clocks as it was measured.

    Parameters
    ----------
    relation
        Told at the middle of the data, where offset and drift hang together least.
    offset_sigma_s, drift_sigma_ppm
        One standard deviation of each.
    support
        How many switches or frames it rests on.
    """

    relation: ClockRelation
    offset_sigma_s: float
    drift_sigma_ppm: float
    method: ClockMethod
    support: int


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the data say of the clocks at the moment.

    Parameters
    ----------
    estimate
        None where they say nothing.
    why_not
        Why they say nothing, in one sentence.
    warnings
        Sentences on what an operator should know of it.
    """

    estimate: ClockEstimate | None
    why_not: str = ""
    warnings: tuple[str, ...] = ()
