"""When a short circuit began: where the resistance of a half-cycle leaves the course of those before it.

Within a half-cycle the resistance has a course of its own, the same in each. So every sample is divided by what the
sound half-cycles had after the same time. The logarithm of that is 0 before the short circuit and ``m`` after it; the
date is the step between the two that fits best, its error the spread of the steps that fit almost as well.
"""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.cell.short_circuits import LATE_SHARE, HalfCycleResistance
from ringwatch_pipelines.cell.timeline import IntArray
from ringwatch_pipelines.patterns import FloatArray

NS_PER_S = 1e9
_REFERENCE_HALF_CYCLES = 4
FEWEST_SAMPLES = 5
"""Of a half-cycle, to speak of its course."""
_LOWEST_LOG = float(np.log(1e-3))
_PHASES = np.linspace(0.0, 1.0, 101)
_LEAST_SPREAD = 0.01


@dataclass(frozen=True, slots=True)
class Beginning:
    """UTC of a beginning, nanoseconds since 1970, with one standard deviation."""

    timestamp_ns: int
    sigma_s: float


@dataclass(frozen=True, slots=True, eq=False)
class HalfCycleCourse:
    """The resistance within one half-cycle, (samples,) in the order of time; rests are left out.

    Parameters
    ----------
    length_ns
        How long the half-cycle is going to be, while it still runs; 0 where it is over.
    """

    timestamp_ns: IntArray
    resistance_ohm: FloatArray
    length_ns: int = 0

    @property
    def phase(self) -> FloatArray:
        """(samples,) share of the half-cycle that is over."""
        since = self.timestamp_ns - self.timestamp_ns[0]
        return np.asarray(since / max(self.length_ns or self.lasted_ns, 1))

    @property
    def lasted_ns(self) -> int:
        """From the first to the last sample."""
        return int(self.timestamp_ns[-1] - self.timestamp_ns[0]) if self.timestamp_ns.size else 0


def beginning_from_courses(
    *,
    before: tuple[HalfCycleCourse, ...],
    last_sound: HalfCycleCourse,
    first_low: HalfCycleCourse,
    low_since_ns: int | None = None,
) -> Beginning | None:
    """Date a drop of the resistance.

    Parameters
    ----------
    before
        Sound half-cycles before `last_sound`, driven by the same current; what is usual follows from them.
    last_sound
        The half-cycle before the first low one. The drop may lie at its end, behind where its resistance was taken.
    first_low
        The first half-cycle that ends low.
    low_since_ns
        From when on it is known to be low; None for the last 40 % of it.

    Returns
    -------
    Beginning or None
        None with too few samples to tell.
    """
    usual = _usual_course(before[-_REFERENCE_HALF_CYCLES:] or (last_sound,))
    stamps = np.concatenate([last_sound.timestamp_ns, first_low.timestamp_ns])
    if usual is None or min(last_sound.timestamp_ns.size, first_low.timestamp_ns.size) < FEWEST_SAMPLES:
        return None
    logs = [_log_ratio(course, usual) for course in (last_sound, first_low)]
    late = first_low.phase > 1.0 - LATE_SHARE if low_since_ns is None else first_low.timestamp_ns >= low_since_ns
    # Without any voltage the logarithm has no end.
    after = float(np.maximum(np.nanmedian(logs[1][late]), _LOWEST_LOG))
    if not np.isfinite(after):
        return None
    return _step(stamps, np.concatenate(logs), after)


def whole_half_cycle(here: HalfCycleResistance) -> Beginning:
    """Some time within a half-cycle, where nothing better is known."""
    length_ns = here.end_ns - here.start_ns
    return Beginning(here.start_ns + length_ns // 2, length_ns / NS_PER_S / np.sqrt(12.0))


def _usual_course(courses: tuple[HalfCycleCourse, ...]) -> FloatArray | None:
    """Logarithm of the resistance at each of `_PHASES`: the median of the courses."""
    known = [course for course in courses if course.timestamp_ns.size >= FEWEST_SAMPLES]
    if not known:
        return None
    with np.errstate(divide="ignore"):
        rows = [np.interp(_PHASES, course.phase, np.log(course.resistance_ohm)) for course in known]
    return np.asarray(np.median(rows, axis=0))


def _log_ratio(course: HalfCycleCourse, usual: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(course.resistance_ohm) - np.interp(course.phase, _PHASES, usual))


def _step(stamps: IntArray, logs: FloatArray, after: float) -> Beginning:
    """The step from 0 to `after` that fits best, and how far those reach that fit almost as well."""
    # A sample at exactly zero volt, or a spike, counts as low or as sound, and for no more.
    inside = np.clip(np.nan_to_num(logs, nan=0.0, neginf=after), min(after, 0.0), max(after, 0.0))
    low, sound = (inside - after) ** 2, inside**2
    total = np.concatenate([[0.0], np.cumsum(sound)]) + np.concatenate([np.cumsum(low[::-1])[::-1], [0.0]])
    place = int(np.argmin(total))
    spread = max(float(np.sqrt(total[place] / stamps.size)), _LEAST_SPREAD * abs(after))
    weight = np.exp(-0.5 * (total - total[place]) / spread**2)
    edges = np.concatenate([[stamps[0]], stamps, [stamps[-1]]])
    since_s = (edges - stamps[0]) / NS_PER_S
    middle_s, width_s = 0.5 * (since_s[1:] + since_s[:-1]), np.diff(since_s)
    mean_s = float(np.average(middle_s, weights=weight))
    variance = float(np.average((middle_s - mean_s) ** 2 + width_s**2 / 12.0, weights=weight))
    return Beginning(int(stamps[0]) + round(mean_s * NS_PER_S), float(np.sqrt(variance)))
