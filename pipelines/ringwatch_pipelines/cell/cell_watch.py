"""Watches the half-cycles of a symmetric cell for short circuits, while the cycler's samples arrive."""

import numpy as np

from ringwatch_pipelines.cell.collapse import Collapse, collapse_in_course
from ringwatch_pipelines.cell.half_cycles import (
    COMPARED,
    BegunHalfCycle,
    History,
    begun_half_cycle,
    course_of,
    half_cycles_over,
    sound_courses_before,
)
from ringwatch_pipelines.cell.short_circuits import FEWEST_REFERENCES, ShortCircuit
from ringwatch_pipelines.cell.short_dates import (
    NS_PER_S,
    Beginning,
    HalfCycleCourse,
    beginning_from_courses,
    whole_half_cycle,
)
from ringwatch_pipelines.cell.timeline import FlowSamples, Timeline
from ringwatch_pipelines.results import Notice

_REMEMBERED = 200
_LOOKS = 200
"""Of a half-cycle that runs, at its end."""
_S_PER_H = 3600.0
_LOW_SHARE = 0.85
"""Of the usual resistance: a half-cycle that ends with less has a step that can be dated."""
_KINDS = {ShortCircuit.SOFT: "SHORT_CIRCUIT_SOFT", ShortCircuit.HARD: "SHORT_CIRCUIT_HARD"}


class CellWatch:
    """Tells of the first soft and of the first hard short circuit.

    Each half-cycle is judged once it is over. A collapse is told as soon as some samples prove it, since half-cycles
    may be long.

    Parameters
    ----------
    timeline
        The samples so far; somebody else adds to it.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._half_cycles = 0
        self._due = 0
        self._judged_ns = 0
        self._history = History()
        self._told: set[ShortCircuit] = set()
        self._collapsed: int | None = None

    def was_told(self, kinds: frozenset[str]) -> None:
        """Take up what an earlier process has told of this cell, by the kinds of its notices: none is told again."""
        self._told.update(verdict for verdict, kind in _KINDS.items() if kind in kinds)

    def look(self) -> tuple[Notice, ...]:
        """What the samples that have arrived since the last look tell."""
        size = len(self._timeline)
        if size < self._due and self._timeline.half_cycles == self._half_cycles:
            return ()
        samples = self._timeline.samples_after(self._judged_ns)
        self._half_cycles = self._timeline.half_cycles
        # A look costs as much as there is of the half-cycle that runs; a little more of it tells no more.
        running = int(np.count_nonzero(samples.half_cycle == self._half_cycles - 1))
        self._due = size + 1 + running // _LOOKS
        new = half_cycles_over(samples, self._timeline.half_cycles)
        notices: list[Notice] = []
        if new:
            # Before the first look of a run there may be a whole file: all of it is judged in its order.
            history = self._history.followed_by(new, samples)
            for place in range(len(self._history.found), len(history.found)):
                begun = begun_half_cycle(samples, history.found[place].half_cycle)
                notices += self._collapse(history, place, begun)
                notices += self._verdict(history, place)
            self._history = history.newest(_REMEMBERED)
            self._judged_ns = new[-1].end_ns
        runs = begun_half_cycle(samples, self._timeline.half_cycles - 1)
        notices += self._collapse(self._history, len(self._history.found), runs)
        return tuple(notices)

    def _collapse(self, history: History, place: int, here: BegunHalfCycle | None) -> list[Notice]:
        """A half-cycle that collapses, over or not, as it was told or would have been while it still ran."""
        if ShortCircuit.HARD in self._told or here is None:
            return []
        usual = history.usual_before(place, here.current_A)
        collapse = collapse_in_course(here.course, usual) if len(usual) >= FEWEST_REFERENCES else None
        if collapse is None:
            return []
        self._told.add(ShortCircuit.HARD)
        self._collapsed = here.half_cycle
        began = self._beginning_of_collapse(history, place, here, collapse)
        return [self._dated(ShortCircuit.HARD, _collapse_text(here, collapse), began)]

    def _verdict(self, history: History, place: int) -> list[Notice]:
        verdict = history.verdicts[place]
        told = verdict in self._told or history.found[place].half_cycle == self._collapsed
        if verdict not in _KINDS or told:
            return []
        self._told.add(verdict)
        return [self._dated(verdict, _text(verdict, history, place), self._beginning(history, place))]

    def _dated(self, verdict: ShortCircuit, text: str, began: Beginning) -> Notice:
        at_ns = self._timeline.detector_ns(began.timestamp_ns)
        return Notice(_KINDS[verdict], text, sigma_h=began.sigma_s / _S_PER_H, timestamp_ns=at_ns)

    def _beginning(self, history: History, place: int) -> Beginning:
        """When it began: a drop that is told once it shows twice running began in the first of the two or before."""
        found = history.found
        low_ohm = _LOW_SHARE * history.usual_end(place).resistance_ohm
        candidates = (place,) if history.verdicts[place] is ShortCircuit.HARD else (place - 1, place)
        first = next((at for at in candidates if at > 0 and found[at].resistance_ohm < low_ohm), None)
        if first is None:
            return whole_half_cycle(found[place])
        samples = self._samples_before(history, first)
        dated = beginning_from_courses(
            before=sound_courses_before(samples, history, first, found[first].current_A),
            last_sound=course_of(samples, found[first - 1]),
            first_low=course_of(samples, found[first]),
        )
        return dated or whole_half_cycle(found[first])

    def _beginning_of_collapse(
        self, history: History, place: int, here: BegunHalfCycle, collapse: Collapse
    ) -> Beginning:
        samples = self._samples_before(history, place)
        stamps = here.course.timestamp_ns
        last_sound = course_of(samples, history.found[place - 1])
        known = slice(0, collapse.last + 1)
        dated = beginning_from_courses(
            before=sound_courses_before(samples, history, place, here.current_A),
            last_sound=last_sound,
            first_low=HalfCycleCourse(stamps[known], here.course.resistance_ohm[known], last_sound.lasted_ns),
            low_since_ns=int(stamps[collapse.first]),
        )
        if dated is not None:
            return dated
        at_ns = int(stamps[collapse.first])
        return Beginning(at_ns, (at_ns - int(stamps[max(collapse.first - 1, 0)])) / NS_PER_S)

    def _samples_before(self, history: History, place: int) -> FlowSamples:
        """From the first half-cycle that a date may rest on."""
        earliest = history.found[max(0, place - 1 - COMPARED)]
        return self._timeline.samples_after(earliest.start_ns - 1)


def _collapse_text(here: BegunHalfCycle, collapse: Collapse) -> str:
    stamps = here.course.timestamp_ns
    lasted_min = (int(stamps[collapse.last]) - int(stamps[collapse.first])) / 6e10
    return (
        f"hard short circuit: half-cycle {here.half_cycle} has {collapse.resistance_ohm:.4g} ohm in "
        f"{collapse.last - collapse.first + 1} samples over {lasted_min:.3g} min, where {collapse.usual_ohm:.4g} ohm "
        "were usual by then"
    )


def _text(verdict: ShortCircuit, history: History, place: int) -> str:
    here, usual = history.found[place], history.usual_end(place)
    return (
        f"{verdict.lower()} short circuit: half-cycle {here.half_cycle} ends with {here.resistance_ohm:.4g} ohm and "
        f"{100 * here.noise:.2g} % of noise, where {usual.resistance_ohm:.4g} ohm and {100 * usual.noise:.2g} % of it "
        "were usual"
    )
