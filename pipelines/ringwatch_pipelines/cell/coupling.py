"""Frames and cycler samples arrive in any order; each frame gets the state of its cell once it is known."""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace

import numpy as np

from ringwatch_pipelines.cell.clock import ClockRelation
from ringwatch_pipelines.cell.cycling import CellState, Coupling, CyclerSamples
from ringwatch_pipelines.cell.timeline import IntArray, Timeline, cell_state_at, cell_states_at
from ringwatch_pipelines.frames import read_only


@dataclass(frozen=True, slots=True)
class RowState:
    """The state of the cell at an earlier frame, now that it is known better."""

    row: int
    state: CellState


@dataclass(frozen=True, slots=True)
class CoupledSamples:
    """What arriving samples change.

    Parameters
    ----------
    samples
        The samples, with the charge filled in where the cycler did not tell it.
    earlier
        Earlier frames whose state these samples change, in the order of time.
    """

    samples: CyclerSamples
    earlier: tuple[RowState, ...]


_REASONS = tuple(Coupling)


class _Waiting:
    """Frames without a state in the order of time: 17 bytes each, for a run of millions without a cycler."""

    def __init__(self) -> None:
        self._stamps = array("q")
        self._rows = array("q")
        self._reasons = bytearray()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, timestamp_ns: int, row: int, reason: Coupling) -> None:
        place = bisect_right(self._stamps, timestamp_ns)
        self._stamps.insert(place, timestamp_ns)
        self._rows.insert(place, row)
        self._reasons.insert(place, _REASONS.index(reason))

    def between(self, first_ns: int, last_ns: int) -> slice:
        return slice(bisect_left(self._stamps, first_ns), bisect_right(self._stamps, last_ns))

    def stamps(self, part: slice) -> IntArray:
        return np.array(self._stamps[part], dtype=np.int64)

    def replace(self, part: slice, states: tuple[CellState, ...]) -> tuple[RowState, ...]:
        """Give the frames of `part` their new states, let the coupled ones go, and say which changed."""
        stamps, rows, reasons = self._stamps[part], self._rows[part], self._reasons[part]
        codes = [_REASONS.index(state.state) for state in states]
        stay = [place for place, state in enumerate(states) if state.state is not Coupling.KNOWN]
        self._stamps[part] = array("q", [stamps[place] for place in stay])
        self._rows[part] = array("q", [rows[place] for place in stay])
        self._reasons[part] = bytes(codes[place] for place in stay)
        changed = (place for place, code in enumerate(codes) if code != reasons[place])
        return tuple(RowState(rows[place], states[place]) for place in changed)


class Coupler:
    """Couples frames to the cycler; remembers only the frames that are not coupled yet.

    A frame that is coupled stays as it is: late samples change frames without a state, and
    nothing else. Half-cycles are counted from the first sample known when a frame is coupled.

    Parameters
    ----------
    timeline
        The samples so far; the coupler adds to it.
    area_cm2
        Declared electrode area, NaN where nobody declared one.
    clock
        From the cycler's clock to the detector's; a drift without a reference counts from the first sample. None where
        the samples are on the detector's clock already.
    clock_may_change
        Remember every frame, 16 bytes each, so that `set_clock` can couple them anew.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        area_cm2: float,
        clock: ClockRelation | None = None,
        clock_may_change: bool = False,
    ) -> None:
        self._timeline = timeline
        self._area_cm2 = area_cm2
        self._clock = clock
        self._frames: tuple[array[int], array[int]] | None = (array("q"), array("q")) if clock_may_change else None
        self._waiting = _Waiting()

    @property
    def waiting(self) -> int:
        """How many frames are not coupled yet."""
        return len(self._waiting)

    def state_for_frame(self, *, row: int, timestamp_ns: int) -> CellState:
        """The state of the cell at a new frame, as far as it is known now.

        Parameters
        ----------
        row
            Row of the frame in the run.
        timestamp_ns
            UTC at mid-exposure; 0 or less where it is unknown.
        """
        if timestamp_ns <= 0:
            return CellState(state=Coupling.NO_TIMESTAMP)
        self.remember(row=row, timestamp_ns=timestamp_ns)
        state = cell_state_at(self._timeline, timestamp_ns=timestamp_ns, area_cm2=self._area_cm2)
        if state.state is not Coupling.KNOWN:
            self._waiting.add(timestamp_ns, row, state.state)
        return state

    def remember(self, *, row: int, timestamp_ns: int) -> None:
        """Take note of a frame whose clock may yet change."""
        if self._frames is not None:
            for kept, value in zip(self._frames, (row, timestamp_ns), strict=True):
                kept.append(value)

    def set_clock(self, clock: ClockRelation) -> tuple[RowState, ...]:
        """Put the cycler's samples on another relation of the clocks, and couple every frame anew.

        Returns
        -------
        tuple of RowState
            The state of every frame that is remembered.
        """
        self._clock = clock
        self._timeline.restamp(clock.detector_from_cycler_ns)
        if self._frames is None:
            return ()
        rows, stamps = (np.array(values, dtype=np.int64) for values in self._frames)
        states = cell_states_at(self._timeline, timestamp_ns=stamps, area_cm2=self._area_cm2)
        order = np.argsort(stamps, kind="stable").tolist()
        self._waiting = _Waiting()
        for place in order:
            if states[place].state is not Coupling.KNOWN:
                self._waiting.add(int(stamps[place]), int(rows[place]), states[place].state)
        return tuple(RowState(int(rows[place]), states[place]) for place in order)

    def wait_again(self, *, row: int, timestamp_ns: int, reason: Coupling) -> None:
        """Take up a frame of an earlier process whose state was not known then."""
        if timestamp_ns > 0 and reason is not Coupling.KNOWN:
            self._waiting.add(timestamp_ns, row, reason)

    def take_samples(self, samples: CyclerSamples) -> CoupledSamples:
        """Take in samples and say which earlier frames have another state now."""
        if not samples.timestamp_ns.size:
            return CoupledSamples(samples, ())
        samples = self._on_detector_clock(samples)
        was_empty = not len(self._timeline)
        completed = self._timeline.append(samples)
        touched = slice(None) if was_empty else self._touched(samples)
        return CoupledSamples(completed, self._recouple(touched))

    def _on_detector_clock(self, samples: CyclerSamples) -> CyclerSamples:
        if self._clock is None:
            return samples
        own_ns = samples.cycler_timestamp_ns
        if self._clock.drift_ppm and not self._clock.reference_ns:
            self._clock = self._clock.beginning_at(int(own_ns.min()))
        return replace(samples, timestamp_ns=read_only(self._clock.detector_from_cycler_ns(own_ns)))

    def _touched(self, samples: CyclerSamples) -> slice:
        """The waiting frames next to the new samples; all others keep their reason."""
        stamps = samples.timestamp_ns
        first_ns, last_ns = self._timeline.span_around(first_ns=int(stamps.min()), last_ns=int(stamps.max()))
        return self._waiting.between(first_ns, last_ns)

    def _recouple(self, touched: slice) -> tuple[RowState, ...]:
        stamps = self._waiting.stamps(touched)
        states = cell_states_at(self._timeline, timestamp_ns=stamps, area_cm2=self._area_cm2)
        return self._waiting.replace(touched, states)
