"""Watches the half-cycles of a symmetric cell for short circuits, while the cycler's samples arrive."""

from collections import deque

import numpy as np

from ringwatch_pipelines.cell.short_circuits import (
    HalfCycleResistance,
    ShortCircuit,
    resistances_from_samples,
    short_circuit_test,
)
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.results import Notice

_REMEMBERED = 200
_COMPARED = 12
_NS_PER_H = 3.6e12
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
            resistance_ohm=np.array([one.resistance_ohm for one in found]), noise=np.array([one.noise for one in found])
        )
        notices = []
        for place in range(len(self._found), len(found)):
            verdict = verdicts[place]
            if verdict in _KINDS and verdict not in self._told:
                self._told.add(verdict)
                notices.append(_notice(verdict, found, verdicts, place))
        self._found.extend(new)
        self._judged_ns = new[-1].end_ns
        return tuple(notices)

    def _half_cycles_over(self) -> tuple[HalfCycleResistance, ...]:
        """Those after the last one judged; the newest still runs."""
        samples = self._timeline.samples_after(self._judged_ns)
        over = samples.half_cycle < self._half_cycles - 1
        return resistances_from_samples(
            timestamp_ns=samples.timestamp_ns[over],
            voltage_V=samples.voltage_V[over],
            current_A=samples.current_A[over],
            half_cycle=samples.half_cycle[over],
        )


def _notice(
    verdict: ShortCircuit,
    found: tuple[HalfCycleResistance, ...],
    verdicts: tuple[ShortCircuit, ...],
    place: int,
) -> Notice:
    here = found[place]
    sound = [
        one
        for one, said in zip(found[:place], verdicts[:place], strict=True)
        if said not in _KINDS and np.isfinite(one.resistance_ohm)
    ]
    before = sound[-_COMPARED:] or [here]
    usual_ohm = float(np.median([one.resistance_ohm for one in before]))
    usual_noise = float(np.median([one.noise for one in before]))
    text = (
        f"{verdict.lower()} short circuit: half-cycle {here.half_cycle} ends with {here.resistance_ohm:.4g} ohm and "
        f"{100 * here.noise:.2g} % of noise, {usual_ohm:.4g} ohm and {100 * usual_noise:.2g} % were usual before"
    )
    length_h = (here.end_ns - here.start_ns) / _NS_PER_H
    return Notice(_KINDS[verdict], text, sigma_h=length_h, timestamp_ns=here.end_ns)
