"""The cycler's timeline and the state of the cell at a frame."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class CyclerSamples:
    """A stretch of the cycler's own series, in the order of time.

    Parameters
    ----------
    timestamp_ns
        (samples,) UTC on the detector's clock, nanoseconds since 1970: the cycler's stamp plus the declared offset.
    cycler_timestamp_ns
        (samples,) UTC on the cycler's own clock.
    voltage_V, current_A
        (samples,) NaN where the cycler did not tell.
    cycle, step
        (samples,) -1 where the cycler did not tell.
    charge_C
        (samples,) charge passed since the first sample, signed; NaN where it cannot be told.
    """

    timestamp_ns: NDArray[np.int64]
    cycler_timestamp_ns: NDArray[np.int64]
    voltage_V: FloatArray
    current_A: FloatArray
    cycle: NDArray[np.int64]
    step: NDArray[np.int64]
    charge_C: FloatArray


def no_samples() -> CyclerSamples:
    """The series of a cycler that has told nothing yet."""
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
    return CyclerSamples(whole, whole, real, real, whole, whole, real)


class Coupling(StrEnum):
    """Whether the state of the cell at a frame is known, or why not."""

    KNOWN = "KNOWN"
    NO_CYCLER = "NO_CYCLER"
    BEFORE_FIRST_SAMPLE = "BEFORE_FIRST_SAMPLE"
    AFTER_LAST_SAMPLE = "AFTER_LAST_SAMPLE"
    GAP_IN_CYCLER = "GAP_IN_CYCLER"
    NO_TIMESTAMP = "NO_TIMESTAMP"
    UNKNOWN_CELL = "UNKNOWN_CELL"
    """Of several cells, nobody knows which one was in the beam."""


@dataclass(frozen=True, slots=True)
class CellState:
    """The cell at the middle of an exposure; NaN or -1 and a reason where that is not known.

    Parameters
    ----------
    current_density_mA_cm2
        Current over the declared electrode area.
    half_cycle
        Index of the stretch of one current direction, from 0; rests belong to the half-cycle before.
    areal_charge_mAh_cm2
        Charge passed since the start of the half-cycle over the declared area, signed.
    total_areal_charge_mAh_cm2
        The same since the first sample: what one direction of the current brought, the other takes away.
    areal_throughput_mAh_cm2
        Charge passed since the first sample in either direction. Both are NaN once some of it passed in a gap.
    state
        `Coupling`.
    """

    voltage_V: float = float("nan")
    current_A: float = float("nan")
    current_density_mA_cm2: float = float("nan")
    cycle: int = -1
    half_cycle: int = -1
    step: int = -1
    areal_charge_mAh_cm2: float = float("nan")
    total_areal_charge_mAh_cm2: float = float("nan")
    areal_throughput_mAh_cm2: float = float("nan")
    state: Coupling = Coupling.NO_CYCLER
