"""A hard short circuit while its half-cycle still runs: the resistance lies far below what was usual by then.

After the current has turned, the voltage of a sound cell passes through zero and builds up. So each sample is held
against what earlier half-cycles had after the same time. What is told does not depend on how the samples arrive: it
is what stood at the first sample that proved it.
"""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.cell.short_dates import FEWEST_SAMPLES, HalfCycleCourse
from ringwatch_pipelines.patterns import FloatArray

_PHASES = np.linspace(0.0, 1.0, 201)
_COLLAPSE = float(np.log(10.0))
_LEAST_SHARE = 0.01
"""Of a half-cycle: a contact that opens for a moment is no short circuit."""
_LOW_SHARE = 0.9
"""Of the samples: a dendrite may flicker."""
_NEAR_SAMPLES = 2
"""Places of `_PHASES` on either side, of which the lowest counts: no two half-cycles begin quite alike."""
_LOWEST_LOG = -700.0


@dataclass(frozen=True, slots=True, eq=False)
class UsualCourse:
    """What a sound half-cycle went through.

    Parameters
    ----------
    log_ohm
        (phases,) logarithm of the resistance at even steps of its length, the lowest nearby.
    length_ns
        From its first to its last sample.
    """

    log_ohm: FloatArray
    length_ns: int


@dataclass(frozen=True, slots=True)
class Collapse:
    """The first proof of a collapse.

    Parameters
    ----------
    first, last
        Indices of the samples that prove it.
    resistance_ohm, usual_ohm
        Their median, and that of what was usual at their time.
    """

    first: int
    last: int
    resistance_ohm: float
    usual_ohm: float


def usual_course(course: HalfCycleCourse) -> UsualCourse | None:
    """What to hold later half-cycles against; None with too few samples."""
    if course.timestamp_ns.size < FEWEST_SAMPLES or not course.lasted_ns:
        return None
    at_phases = np.interp(_PHASES, course.phase, _logarithm(course.resistance_ohm))
    padded = np.pad(at_phases, _NEAR_SAMPLES, mode="edge")
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEAR_SAMPLES + 1).min(axis=1)
    return UsualCourse(lowest, course.lasted_ns)


def collapse_in_course(course: HalfCycleCourse, usual: tuple[UsualCourse, ...]) -> Collapse | None:
    """Look for the first stretch of a half-cycle, over or not, whose resistance is below a tenth of the usual one.

    It has at least five samples and a hundredth of the usual length, and nine in ten of them are low.

    Parameters
    ----------
    course
        From the beginning of the half-cycle on.
    usual
        Sound half-cycles before it.
    """
    stamps = course.timestamp_ns
    if stamps.size < FEWEST_SAMPLES or not usual:
        return None
    since_ns = (stamps - stamps[0]).astype(np.float64)
    logs = _logarithm(course.resistance_ohm)
    before = np.median([np.interp(since_ns / one.length_ns, _PHASES, one.log_ohm) for one in usual], axis=0)
    low = logs < before - _COLLAPSE
    least_ns = _LEAST_SHARE * float(np.median([one.length_ns for one in usual]))
    last = np.arange(stamps.size)
    first = np.searchsorted(since_ns, since_ns - least_ns, side="right") - 1
    first = np.minimum(first, last - FEWEST_SAMPLES + 1)
    count = np.concatenate([[0], np.cumsum(low)])
    lows = count[last + 1] - count[np.maximum(first, 0)]
    proved = (first >= 0) & low & low[first] & (lows >= _LOW_SHARE * (last - first + 1))
    if not proved.any():
        return None
    at = int(np.argmax(proved))
    stretch = slice(int(first[at]), at + 1)
    return Collapse(
        first=int(first[at]),
        last=at,
        resistance_ohm=float(np.median(course.resistance_ohm[stretch])),
        usual_ohm=float(np.exp(np.median(before[stretch]))),
    )


def _logarithm(resistance_ohm: FloatArray) -> FloatArray:
    # No voltage at all has no logarithm, but is the hardest short circuit there is.
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(resistance_ohm), _LOWEST_LOG))
