"""Short circuits, from the resistance that each half-cycle of a symmetric cell ends with.

A dendrite that touches drops the resistance; one that comes and goes makes the voltage noisy first.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ringwatch_pipelines.cell.timeline import IntArray
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.patterns import FloatArray

LATE_SHARE = 0.4
"""Part of a half-cycle, at its end, over which its resistance is taken: the transient is over."""

_REFERENCES = 12
_FEWEST_REFERENCES = 4
_MADS = 5.0
_LEAST_DROP = 0.25
_LEAST_NOISE_JUMP = float(np.log(3.0))
_HARD_DROP = float(np.log(10.0))
_FEWEST_SAMPLES = 3


class ShortCircuit(StrEnum):
    """What the resistance of a half-cycle says."""

    NONE = "NONE"
    SOFT = "SOFT"
    """Lower than before, or noisy."""
    HARD = "HARD"
    """Collapsed to less than a tenth."""
    UNDETERMINED = "UNDETERMINED"
    """Too few half-cycles before, or no resistance."""


@dataclass(frozen=True, slots=True)
class HalfCycleResistance:
    """The end of one half-cycle.

    Parameters
    ----------
    half_cycle
        Index as in `timeline.Timeline`.
    start_ns, end_ns
        UTC of its first and last sample with current.
    resistance_ohm
        Median of |V| / |I| over its last 40 %; NaN with too few samples.
    noise
        Median step of the voltage from sample to sample over that part, relative to its median.
    """

    half_cycle: int
    start_ns: int
    end_ns: int
    resistance_ohm: float
    noise: float


def resistances_from_samples(
    *,
    timestamp_ns: IntArray,
    voltage_V: FloatArray,
    current_A: FloatArray,
    half_cycle: IntArray,
    zero_current_A: float = 1e-6,
) -> tuple[HalfCycleResistance, ...]:
    """The resistance at the end of each half-cycle.

    Parameters
    ----------
    timestamp_ns, voltage_V, current_A, half_cycle
        (samples,) in the order of time; the last half-cycle must be over.
    zero_current_A
        Samples with less are rests and do not count.
    """
    flowing = (np.abs(current_A) > zero_current_A) & np.isfinite(voltage_V)
    found = []
    for index in np.unique(half_cycle[flowing]):
        mine = np.flatnonzero(flowing & (half_cycle == index))
        stamps = timestamp_ns[mine]
        begin_ns, end_ns = int(stamps[0]), int(stamps[-1])
        late = mine[stamps >= end_ns - round(LATE_SHARE * (end_ns - begin_ns))]
        resistance, noise = _late_part(voltage_V[late], current_A[late])
        found.append(HalfCycleResistance(int(index), begin_ns, end_ns, resistance, noise))
    return tuple(found)


def short_circuit_test(*, resistance_ohm: FloatArray, noise: FloatArray) -> tuple[ShortCircuit, ...]:
    """Compare each half-cycle with the twelve sound ones before it.

    Soft: the logarithm of the resistance lies below the median of the references by more than
    ``max(5 MAD, 0.25)`` twice running, or the noise has jumped. Hard: it fell below a tenth at once.
    Half-cycles that stand out are no references for those after them.

    Parameters
    ----------
    resistance_ohm, noise
        (half-cycles,) as in `HalfCycleResistance`.

    Returns
    -------
    tuple of ShortCircuit
        One a half-cycle.
    """
    if resistance_ohm.shape != noise.shape:
        raise PatternError(f"expected a noise for each of {resistance_ohm.size} resistances, got {noise.size}")
    with np.errstate(divide="ignore", invalid="ignore"):
        levels, unrest = np.log(resistance_ohm), np.log(noise)
    verdicts: list[ShortCircuit] = []
    sound: list[int] = []
    dropped_before = False
    for index, level in enumerate(levels):
        drop, limit = _departure(-level, -levels[sound[-_REFERENCES:]], _LEAST_DROP)
        jump, jump_limit = _departure(unrest[index], unrest[sound[-_REFERENCES:]], _LEAST_NOISE_JUMP)
        dropped, jumped = drop > limit, jump > jump_limit
        verdicts.append(_verdict(float(level), drop, twice=dropped and dropped_before, jumped=jumped))
        if np.isfinite(level):
            dropped_before = dropped
        if np.isfinite(level) and not dropped and not jumped:
            sound.append(index)
    return tuple(verdicts)


def _late_part(voltage_V: FloatArray, current_A: FloatArray) -> tuple[float, float]:
    if voltage_V.size < _FEWEST_SAMPLES:
        return float("nan"), float("nan")
    size_V = np.abs(voltage_V)
    steps = float(np.median(np.abs(np.diff(voltage_V))))
    return float(np.median(size_V / np.abs(current_A))), steps / max(float(np.median(size_V)), 1e-300)


def _departure(value: float, references: FloatArray, least: float) -> tuple[float, float]:
    """How far `value` lies above the references, and how far it may; NaN with too few of them."""
    known = references[np.isfinite(references)]
    if known.size < _FEWEST_REFERENCES or not np.isfinite(value):
        return float("nan"), float("inf")
    middle = float(np.median(known))
    return float(value) - middle, max(_MADS * float(np.median(np.abs(known - middle))), least)


def _verdict(level: float, drop: float, *, twice: bool, jumped: bool) -> ShortCircuit:
    # A voltage of exactly zero under current has no logarithm but is the hardest short there is.
    if drop > _HARD_DROP or level == -np.inf:
        return ShortCircuit.HARD
    if twice or jumped:
        return ShortCircuit.SOFT
    return ShortCircuit.UNDETERMINED if np.isnan(drop) else ShortCircuit.NONE
