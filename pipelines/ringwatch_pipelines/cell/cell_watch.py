"""Watches the half-cycles of a symmetric cell for short circuits, while the cycler's samples arrive."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from ringwatch_pipelines.cell.short_circuits import (
    HalfCycleResistance,
    ShortCircuit,
    resistances_from_samples,
    short_circuit_test,
)
from ringwatch_pipelines.cell.short_dates import (
    Beginning,
    HalfCycleCourse,
    beginning_from_courses,
    whole_half_cycle,
)
from ringwatch_pipelines.cell.timeline import FlowSamples, Timeline
from ringwatch_pipelines.results import Notice

_REMEMBERED = 200
_COMPARED = 12
_S_PER_H = 3600.0
_LOW_SHARE = 0.85
"""Of the usual resistance: a half-cycle that ends with less has a step that can be dated."""
_KINDS = {ShortCircuit.SOFT: "SHORT_CIRCUIT_SOFT", ShortCircuit.HARD: "SHORT_CIRCUIT_HARD"}


class CellWatch:
    """Judges each half-cycle once it is over; tells of the first soft and of the first hard short circuit.

    Parameters
    ----------
    timeline
        The samples so far; somebody else adds to it.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._half_cycles = 0
        self._judged_ns = 0
        self._found: deque[HalfCycleResistance] = deque(maxlen=_REMEMBERED)
        self._told: set[ShortCircuit] = set()

    def was_told(self, kinds: frozenset[str]) -> None:
        """Take up what an earlier process has told of this cell, by the kinds of its notices: none is told again."""
        self._told.update(verdict for verdict, kind in _KINDS.items() if kind in kinds)

    def look(self) -> tuple[Notice, ...]:
        """What the samples that have arrived since the last look tell."""
        if self._timeline.half_cycles == self._half_cycles:
            return ()
        self._half_cycles = self._timeline.half_cycles
        new = self._half_cycles_over()
        if not new:
            return ()
        # Before the first look of a run there may be a whole file: all of it is judged in its order.
        found = (*self._found, *new)
        verdicts = short_circuit_test(
            resistance_ohm=np.array([one.resistance_ohm for one in found]),
            noise=np.array([one.noise for one in found]),
            current_A=np.array([one.current_A for one in found]),
        )
        notices = []
        for place in range(len(self._found), len(found)):
            verdict = verdicts[place]
            if verdict in _KINDS and verdict not in self._told:
                self._told.add(verdict)
                began = self._beginning(found, verdicts, place)
                at_ns = self._timeline.detector_ns(began.timestamp_ns)
                notices.append(_notice(verdict, found, verdicts, place, replace(began, timestamp_ns=at_ns)))
        self._found.extend(new)
        self._judged_ns = new[-1].end_ns
        return tuple(notices)

    def _half_cycles_over(self) -> tuple[HalfCycleResistance, ...]:
        """Those after the last one judged; the newest still runs."""
        samples = self._timeline.samples_after(self._judged_ns)
        over = samples.half_cycle < self._half_cycles - 1
        return resistances_from_samples(
            timestamp_ns=samples.cycler_timestamp_ns[over],
            voltage_V=samples.voltage_V[over],
            current_A=samples.current_A[over],
            half_cycle=samples.half_cycle[over],
        )

    def _beginning(
        self, found: tuple[HalfCycleResistance, ...], verdicts: tuple[ShortCircuit, ...], place: int
    ) -> Beginning:
        """When it began: a drop that is told once it shows twice running began in the first of the two or before."""
        low_ohm = _LOW_SHARE * _usual(found, verdicts, place).resistance_ohm
        candidates = (place,) if verdicts[place] is ShortCircuit.HARD else (place - 1, place)
        first = next((at for at in candidates if at > 0 and found[at].resistance_ohm < low_ohm), None)
        if first is None:
            return whole_half_cycle(found[place])
        earliest = max(0, first - 1 - _COMPARED)
        samples = self._timeline.samples_after(found[earliest].start_ns - 1)
        before = tuple(
            _course(samples, found[at])
            for at in range(earliest, first - 1)
            if verdicts[at] not in _KINDS and np.isclose(found[at].current_A, found[first].current_A, rtol=0.1)
        )
        dated = beginning_from_courses(
            before=before,
            last_sound=_course(samples, found[first - 1]),
            first_low=_course(samples, found[first]),
        )
        return dated or whole_half_cycle(found[first])


@dataclass(frozen=True, slots=True)
class _Usual:
    resistance_ohm: float
    noise: float


def _usual(found: tuple[HalfCycleResistance, ...], verdicts: tuple[ShortCircuit, ...], place: int) -> _Usual:
    """What the sound half-cycles before had."""
    sound = [
        one
        for one, said in zip(found[:place], verdicts[:place], strict=True)
        if said not in _KINDS and np.isfinite(one.resistance_ohm)
    ]
    before = sound[-_COMPARED:] or [found[place]]
    return _Usual(
        float(np.median([one.resistance_ohm for one in before])), float(np.median([one.noise for one in before]))
    )


def _course(samples: FlowSamples, one: HalfCycleResistance) -> HalfCycleCourse:
    mine = (samples.cycler_timestamp_ns >= one.start_ns) & (samples.cycler_timestamp_ns <= one.end_ns)
    mine &= (np.abs(samples.current_A) > 0.5 * one.current_A) & np.isfinite(samples.voltage_V)
    resistance_ohm = np.abs(samples.voltage_V[mine] / samples.current_A[mine])
    return HalfCycleCourse(samples.cycler_timestamp_ns[mine], resistance_ohm)


def _notice(
    verdict: ShortCircuit,
    found: tuple[HalfCycleResistance, ...],
    verdicts: tuple[ShortCircuit, ...],
    place: int,
    began: Beginning,
) -> Notice:
    here, usual = found[place], _usual(found, verdicts, place)
    text = (
        f"{verdict.lower()} short circuit: half-cycle {here.half_cycle} ends with {here.resistance_ohm:.4g} ohm and "
        f"{100 * here.noise:.2g} % of noise, where {usual.resistance_ohm:.4g} ohm and {100 * usual.noise:.2g} % of it "
        "were usual"
    )
    return Notice(_KINDS[verdict], text, sigma_h=began.sigma_s / _S_PER_H, timestamp_ns=began.timestamp_ns)
