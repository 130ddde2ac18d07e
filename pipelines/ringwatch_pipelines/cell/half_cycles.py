"""The half-cycles of a symmetric cell, over or begun, as short circuits are looked for in them."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.cell.collapse import UsualCourse, usual_course
from ringwatch_pipelines.cell.short_circuits import (
    NEAR_CURRENT,
    SAME_CURRENT,
    HalfCycleResistance,
    ShortCircuit,
    resistances_from_samples,
    short_circuit_test,
)
from ringwatch_pipelines.cell.short_dates import FEWEST_SAMPLES, HalfCycleCourse
from ringwatch_pipelines.cell.timeline import FlowSamples

COMPARED = 12
"""Half-cycles before, that tell what is usual."""
SHORT = frozenset({ShortCircuit.SOFT, ShortCircuit.HARD})


def half_cycles_over(samples: FlowSamples, half_cycles: int) -> tuple[HalfCycleResistance, ...]:
    """Those of the samples after the last one judged; the newest still runs."""
    over = samples.half_cycle < half_cycles - 1
    return resistances_from_samples(
        timestamp_ns=samples.cycler_timestamp_ns[over],
        voltage_V=samples.voltage_V[over],
        current_A=samples.current_A[over],
        half_cycle=samples.half_cycle[over],
    )


@dataclass(frozen=True, slots=True)
class UsualEnd:
    """Medians over sound half-cycles, as in `HalfCycleResistance`."""

    resistance_ohm: float
    noise: float


@dataclass(frozen=True, slots=True)
class History:
    """The half-cycles that are over, in their order: how each ended, what it went through, what is said of it."""

    found: tuple[HalfCycleResistance, ...] = ()
    usual: tuple[UsualCourse | None, ...] = ()
    verdicts: tuple[ShortCircuit, ...] = ()

    def followed_by(self, new: tuple[HalfCycleResistance, ...], samples: FlowSamples) -> "History":
        """With those that have ended since; `samples` are theirs."""
        found = (*self.found, *new)
        verdicts = short_circuit_test(
            resistance_ohm=np.array([one.resistance_ohm for one in found]),
            noise=np.array([one.noise for one in found]),
            current_A=np.array([one.current_A for one in found]),
        )
        return History(found, (*self.usual, *(usual_course(course_of(samples, one)) for one in new)), verdicts)

    def newest(self, count: int) -> "History":
        """The last of them, for a memory with a bound."""
        return History(self.found[-count:], self.usual[-count:], self.verdicts[-count:])

    def sound_before(self, place: int) -> list[int]:
        """Places of the half-cycles that nothing is said against."""
        return [
            at for at in range(place) if self.verdicts[at] not in SHORT and np.isfinite(self.found[at].resistance_ohm)
        ]

    def usual_end(self, place: int) -> UsualEnd:
        """What the sound half-cycles before ended with."""
        before = [self.found[at] for at in self.sound_before(place)[-COMPARED:]] or [self.found[place]]
        return UsualEnd(
            float(np.median([one.resistance_ohm for one in before])), float(np.median([one.noise for one in before]))
        )

    def usual_before(self, place: int, current_A: float) -> tuple[UsualCourse, ...]:
        """What the sound half-cycles before went through, of about the same current."""
        near = (
            self.usual[at]
            for at in self.sound_before(place)
            if 1 / NEAR_CURRENT < self.found[at].current_A / current_A < NEAR_CURRENT
        )
        return tuple(course for course in near if course is not None)[-COMPARED:]


@dataclass(frozen=True, slots=True)
class BegunHalfCycle:
    """A half-cycle from its beginning, over or not.

    Parameters
    ----------
    current_A
        Median of |I| over its first samples.
    """

    half_cycle: int
    current_A: float
    course: HalfCycleCourse


def begun_half_cycle(samples: FlowSamples, half_cycle: int) -> BegunHalfCycle | None:
    """What has come of a half-cycle; None with too few samples to say anything."""
    part = _part(samples, half_cycle)
    mine = (samples.flow[part] != 0) & np.isfinite(samples.voltage_V[part])
    size_V, size_A = (np.abs(values[part][mine]) for values in (samples.voltage_V, samples.current_A))
    if size_A.size < FEWEST_SAMPLES:
        return None
    # Of its beginning, so that it is the same however much of the half-cycle has come.
    current_A = float(np.median(size_A[:FEWEST_SAMPLES]))
    driven = size_A > 0.5 * current_A
    stamps = samples.cycler_timestamp_ns[part][mine]
    course = HalfCycleCourse(stamps[driven], size_V[driven] / size_A[driven])
    return BegunHalfCycle(half_cycle, current_A, course)


def sound_courses_before(
    samples: FlowSamples, history: History, first: int, current_A: float
) -> tuple[HalfCycleCourse, ...]:
    """Sound half-cycles before the one before `first`, driven by its current."""
    return tuple(
        course_of(samples, history.found[at])
        for at in range(max(0, first - 1 - COMPARED), first - 1)
        if history.verdicts[at] not in SHORT and np.isclose(history.found[at].current_A, current_A, rtol=SAME_CURRENT)
    )


def course_of(samples: FlowSamples, one: HalfCycleResistance) -> HalfCycleCourse:
    """What a half-cycle that is over went through, at about its current."""
    part = _part(samples, one.half_cycle)
    stamps = samples.cycler_timestamp_ns[part]
    voltage_V, current_A = samples.voltage_V[part], samples.current_A[part]
    mine = (stamps >= one.start_ns) & (stamps <= one.end_ns)
    mine &= (np.abs(current_A) > 0.5 * one.current_A) & np.isfinite(voltage_V)
    return HalfCycleCourse(stamps[mine], np.abs(voltage_V[mine] / current_A[mine]))


def _part(samples: FlowSamples, half_cycle: int) -> slice:
    """The samples of one half-cycle, which stand together."""
    first, last = np.searchsorted(samples.half_cycle, [half_cycle, half_cycle + 1])
    return slice(int(first), int(last))
