"""Frames and cycler samples arrive in any order; each frame gets the state of its cell once it is known."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field

import numpy as np

from ringwatch_pipelines.cycling import CellState, Coupling, CyclerSamples
from ringwatch_pipelines.timeline import Timeline, cell_state_at, cell_states_at


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


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    timestamp_ns: int
    row: int
    reason: Coupling = field(compare=False)


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
    """

    def __init__(self, timeline: Timeline, *, area_cm2: float) -> None:
        self._timeline = timeline
        self._area_cm2 = area_cm2
        self._waiting: list[_Waiting] = []

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
        state = cell_state_at(self._timeline, timestamp_ns=timestamp_ns, area_cm2=self._area_cm2)
        if state.state is not Coupling.KNOWN:
            insort(self._waiting, _Waiting(timestamp_ns, row, state.state))
        return state

    def take_samples(self, samples: CyclerSamples) -> CoupledSamples:
        """Take in samples and say which earlier frames have another state now."""
        if not samples.timestamp_ns.size:
            return CoupledSamples(samples, ())
        was_empty = not len(self._timeline)
        completed = self._timeline.append(samples)
        touched = slice(None) if was_empty else self._touched(samples)
        return CoupledSamples(completed, self._recouple(touched))

    def _touched(self, samples: CyclerSamples) -> slice:
        """The waiting frames next to the new samples; all others keep their reason."""
        stamps = samples.timestamp_ns
        first_ns, last_ns = self._timeline.span_around(first_ns=int(stamps.min()), last_ns=int(stamps.max()))
        begin = bisect_left(self._waiting, first_ns, key=lambda frame: frame.timestamp_ns)
        return slice(begin, bisect_right(self._waiting, last_ns, key=lambda frame: frame.timestamp_ns))

    def _recouple(self, touched: slice) -> tuple[RowState, ...]:
        frames = self._waiting[touched]
        stamps = np.array([frame.timestamp_ns for frame in frames], dtype=np.int64)
        states = cell_states_at(self._timeline, timestamp_ns=stamps, area_cm2=self._area_cm2)
        pairs = list(zip(frames, states, strict=True))
        self._waiting[touched] = [
            _Waiting(frame.timestamp_ns, frame.row, state.state)
            for frame, state in pairs
            if state.state is not Coupling.KNOWN
        ]
        return tuple(RowState(frame.row, state) for frame, state in pairs if state.state is not frame.reason)
