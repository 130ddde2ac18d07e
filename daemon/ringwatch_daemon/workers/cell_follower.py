"""Follows one cell: what its cycler tells, the state of the cell at its frames, what its half-cycles show."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.records import CellStateUpdate, CyclerClock, CyclingSamples, QueueLevel
from ringwatch_daemon.core.resumption import Resumption
from ringwatch_daemon.workers.cell_clock import CellClock
from ringwatch_daemon.workers.cycler_stage import CyclerItem, CyclerProblem
from ringwatch_daemon.workers.stored_samples import StoredSamples
from ringwatch_pipelines.cell.activity import ActivityWatch
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.coupling import CoupledSamples, Coupler
from ringwatch_pipelines.cell.cycling import CellState, CyclerSamples
from ringwatch_pipelines.results import FrameResult, Notice
from ringwatch_pipelines.scans import Measured

Told = CyclingSamples | CyclerClock | CellStateUpdate | Notice


class CellFollower:
    """One cell of a run.

    Parameters
    ----------
    coupler
        Couples frames to the samples; None for a cell without a cycler.
    found
        Where its cycler's samples and problems come; None for a cell without a cycler.
    watch
        Looks for short circuits in the coupler's timeline.
    activity
        Tells what the cell does.
    clock
        Compares the clocks of the cycler and the detector.
    name
        Of the cell; empty in a run of one.
    """

    def __init__(
        self,
        *,
        coupler: Coupler | None = None,
        found: Channel[CyclerItem] | None = None,
        watch: CellWatch | None = None,
        activity: ActivityWatch | None = None,
        clock: CellClock | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self._coupler = coupler
        self._found = found
        self._watch = watch
        self._activity = activity
        self._clock = clock
        self._stored: StoredSamples | None = None
        self._ended = found is None

    @property
    def ended(self) -> bool:
        """Whether the cycler has told everything."""
        return self._ended

    def state_at(self, *, row: int, timestamp_ns: int) -> CellState:
        """The state of the cell at a frame of its own, as far as it is known now."""
        if self._coupler is None:
            return CellState()
        return self._coupler.state_for_frame(row=row, timestamp_ns=timestamp_ns)

    def saw(self, frame: Measured, result: FrameResult, *, timestamp_ns: int) -> Iterator[Told]:
        """Hear what became of a frame of its own, and tell what that says of the clocks."""
        if self._clock is not None:
            self._clock.saw(frame, result, timestamp_ns=timestamp_ns)
            yield from self._clock.look()

    def finish(self) -> Iterator[Told]:
        """What there is to tell once no more frames and samples come."""
        if self._clock is not None:
            yield from self._clock.finish()

    def take(self, timeout_s: float) -> Iterator[Told]:
        """What the cycler has told meanwhile, waiting up to `timeout_s` for something."""
        if self._found is None or self._ended:
            return
        try:
            items = self._found.take_all(timeout_s)
        except ChannelClosed:
            self._ended = True
            return
        for item in items:
            match item:
                case CyclerProblem():
                    yield Notice("CYCLER", item.text)
                case CyclerSamples():
                    yield from self._samples(item)

    def resume(self, run: Resumption) -> Iterator[Told]:
        """Go on with what a process that was cut off has left of this cell."""
        if self._coupler is None:
            return
        if self._clock is not None:
            self._clock.resume(run)
        for frame in run.waiting:
            if frame.cell_name == self.name:
                self._coupler.wait_again(row=frame.row, timestamp_ns=frame.timestamp_ns, reason=frame.reason)
        samples = run.samples_of(self.name)
        self._stored = StoredSamples(samples)
        # The file holds charges filled in as well; a cycler that tells its own tells them again.
        untold = np.full(samples.charge_C.shape, np.nan)
        yield from self._earlier(self._coupler.take_samples(replace(samples, charge_C=untold)))
        if self._watch is not None:
            # Not only in what is stored: with more samples a half-cycle may be judged in another way than it was.
            self._watch.was_told(frozenset(kind for cell_name, kind in run.event_kinds if cell_name == self.name))
        yield from self._noticed()

    def level(self) -> QueueLevel | None:
        """How full the channel of its cycler is and has been; None for a cell without a cycler."""
        if self._found is None:
            return None
        level = self._found.level()
        return replace(level, name=f"{level.name} {self.name}") if self.name else level

    def close(self) -> None:
        """Let a cycler that waits for room go: nobody takes its samples any more."""
        if self._found is not None:
            self._found.close()

    def _samples(self, samples: CyclerSamples) -> Iterator[Told]:
        assert self._coupler is not None
        coupled = self._coupler.take_samples(samples)
        new = coupled.samples if self._stored is None else self._stored.new_of(coupled.samples)
        if new.timestamp_ns.size:
            yield CyclingSamples(new, self.name)
        yield from self._earlier(coupled)
        yield from self._noticed()

    def _earlier(self, coupled: CoupledSamples) -> Iterator[CellStateUpdate]:
        if coupled.earlier:
            rows = np.array([earlier.row for earlier in coupled.earlier], dtype=np.int64)
            yield CellStateUpdate(rows, tuple(earlier.state for earlier in coupled.earlier), self.name)

    def _noticed(self) -> tuple[Notice, ...]:
        return tuple(notice for watch in (self._activity, self._watch) if watch is not None for notice in watch.look())
