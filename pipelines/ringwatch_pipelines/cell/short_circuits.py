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
FEWEST_REFERENCES = 4
"""Sound half-cycles, to speak of what is usual."""
_MADS = 5.0
_LEAST_DROP = 0.25
_LEAST_NOISE_JUMP = float(np.log(3.0))
_HARD_DROP = float(np.log(10.0))
_FEWEST_SAMPLES = 3
SAME_CURRENT = 0.1
"""Relative difference of currents that count as one."""
NEAR_CURRENT = 3.0
"""Factor between currents at which a collapse is told from a cell that is not ohmic."""


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
    current_A
        Median of |I| over that part.
    """

    half_cycle: int
    start_ns: int
    end_ns: int
    resistance_ohm: float
    noise: float
    current_A: float = float("nan")


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
        found.append(HalfCycleResistance(int(index), begin_ns, end_ns, *_late_part(voltage_V[late], current_A[late])))
    return tuple(found)


def short_circuit_test(
    *, resistance_ohm: FloatArray, noise: FloatArray, current_A: FloatArray | None = None
) -> tuple[ShortCircuit, ...]:
    """Compare each half-cycle with the twelve sound ones before it.

    Soft: the logarithm of the resistance lies below the median of the references by more than
    ``max(5 MAD, 0.25)`` twice running, or the noise has jumped; references are those driven by the same current within
    10 %, since a cell need not be ohmic. Hard: it fell below a tenth at once, of references within a factor of three.
    Half-cycles that stand out are no references for those after them.

    Parameters
    ----------
    resistance_ohm, noise, current_A
        (half-cycles,) as in `HalfCycleResistance`; None for currents that are all the same.

    Returns
    -------
    tuple of ShortCircuit
        One a half-cycle.
    """
    if resistance_ohm.shape != noise.shape:
        raise PatternError(f"expected a noise for each of {resistance_ohm.size} resistances, got {noise.size}")
    if current_A is None:
        current_A = np.ones_like(resistance_ohm)
    with np.errstate(divide="ignore", invalid="ignore"):
        levels, unrest = np.log(resistance_ohm), np.log(noise)
    verdicts: list[ShortCircuit] = []
    sound: list[int] = []
    dropped_before = False
    for index, level in enumerate(levels):
        alike = [at for at in sound if abs(current_A[at] / current_A[index] - 1.0) < SAME_CURRENT][-_REFERENCES:]
        drop, limit = _departure(-level, -levels[alike], _LEAST_DROP)
        jump, jump_limit = _departure(unrest[index], unrest[alike], _LEAST_NOISE_JUMP)
        near = [at for at in sound if 1 / NEAR_CURRENT < current_A[at] / current_A[index] < NEAR_CURRENT]
        fall, _ = _departure(-level, -levels[near[-_REFERENCES:]], _LEAST_DROP)
        dropped, jumped = drop > limit, jump > jump_limit
        collapsed = fall > _HARD_DROP or level == -np.inf
        verdicts.append(_verdict(drop, collapsed=collapsed, twice=dropped and dropped_before, jumped=jumped))
        if np.isfinite(level):
            dropped_before = dropped
        if np.isfinite(level) and not (dropped or jumped or collapsed):
            sound.append(index)
    return tuple(verdicts)


def _late_part(voltage_V: FloatArray, current_A: FloatArray) -> tuple[float, float, float]:
    """Resistance, noise and current."""
    if voltage_V.size < _FEWEST_SAMPLES:
        return float("nan"), float("nan"), float("nan")
    size_V, size_A = np.abs(voltage_V), np.abs(current_A)
    steps = float(np.median(np.abs(np.diff(voltage_V))))
    noise = steps / max(float(np.median(size_V)), 1e-300)
    return float(np.median(size_V / size_A)), noise, float(np.median(size_A))


def _departure(value: float, references: FloatArray, least: float) -> tuple[float, float]:
    """How far `value` lies above the references, and how far it may; NaN with too few of them."""
    known = references[np.isfinite(references)]
    if known.size < FEWEST_REFERENCES or not np.isfinite(value):
        return float("nan"), float("inf")
    middle = float(np.median(known))
    return float(value) - middle, max(_MADS * float(np.median(np.abs(known - middle))), least)


def _verdict(drop: float, *, collapsed: bool, twice: bool, jumped: bool) -> ShortCircuit:
    # A voltage of exactly zero under current has no logarithm but is the hardest short there is.
    if collapsed:
        return ShortCircuit.HARD
    if twice or jumped:
        return ShortCircuit.SOFT
    return ShortCircuit.UNDETERMINED if np.isnan(drop) else ShortCircuit.NONE
