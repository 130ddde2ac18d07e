"""Measures a cell's clock while a run goes on: tells what it finds, and applies it where that is asked for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.records import CellStateUpdate, CyclerClock
from ringwatch_daemon.core.resumption import Resumption
from ringwatch_pipelines.cell.clock import ClockEstimate, ClockMethod, ClockRelation
from ringwatch_pipelines.cell.clock_watch import ClockWatch
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.results import FrameResult, Notice
from ringwatch_pipelines.scans import Measured

Told = CyclerClock | CellStateUpdate | Notice

_NEWS_SIGMAS = 1.0
_SHARPER = 0.7
_WRONG_SIGMAS = 5.0


class CellClock:
    """Compares the clock of one cell's cycler with the detector's.

    Parameters
    ----------
    watch
        Hears of every frame.
    coupler
        Takes the measured clock where it is applied.
    applied
        Whether what is measured replaces what was declared.
    name
        Of the cell; empty in a run of one.
    """

    def __init__(self, *, watch: ClockWatch, coupler: Coupler, applied: bool, name: str = "") -> None:
        self._watch = watch
        self._coupler = coupler
        self._applied = applied
        self._name = name
        self._told: ClockEstimate | None = None
        self._now_ns: int | None = None

    def resume(self, run: Resumption) -> None:
        """Go on with the clock that an earlier process applied, the frames that it was applied to, and their tracks."""
        for frames in run.frames:
            if frames.cell_name == self._name:
                for row, timestamp_ns in zip(frames.rows.tolist(), frames.timestamp_ns.tolist(), strict=True):
                    self._coupler.remember(row=row, timestamp_ns=timestamp_ns)
                self._watch.recall(timestamp_ns=frames.timestamp_ns, tracks=frames.tracks)
        for clock in run.clocks:
            if clock.cell_name == self._name:
                self._told = clock.estimate
                if clock.applied:
                    self._coupler.set_clock(clock.estimate.relation)

    def saw(self, frame: Measured, result: FrameResult, *, timestamp_ns: int) -> None:
        """Hear of a frame of this cell."""
        if timestamp_ns > 0:
            self._now_ns = timestamp_ns
        self._watch.add_frame(
            timestamp_ns=timestamp_ns,
            exposure_s=frame.exposure_s,
            tracked=result.tracked,
            attributes=frame.attributes if isinstance(frame, Frame) else (),
        )

    def look(self) -> Iterator[Told]:
        """What there is to tell, where enough has come since the last look."""
        if self._watch.due:
            reading = self._watch.look()
            if reading.estimate is not None and self._is_news(reading.estimate):
                yield from self._tell(reading.estimate)

    def finish(self) -> Iterator[Told]:
        """The last word, and what stood in its way."""
        if not self._watch.frames:
            return
        reading = self._watch.look()
        if reading.estimate is not None and self._is_better(reading.estimate):
            yield from self._tell(reading.estimate)
        for text in reading.warnings:
            yield Notice("CLOCK_WARNING", text, timestamp_ns=self._now_ns)
        if self._told is None and self._applied:
            text = f"the clock cannot be measured, so the declared one is applied: {reading.why_not}"
            yield Notice("CLOCK_WARNING", text, timestamp_ns=self._now_ns)

    def _is_news(self, estimate: ClockEstimate) -> bool:
        if self._told is None:
            return True
        if not self._is_better(estimate):
            return False
        there = self._told.relation.at(estimate.relation.reference_ns)
        moved_s = abs(estimate.relation.offset_s - there.offset_s)
        news_s = _NEWS_SIGMAS * self._told.offset_sigma_s
        return moved_s > news_s or estimate.offset_sigma_s < _SHARPER * self._told.offset_sigma_s

    def _is_better(self, estimate: ClockEstimate) -> bool:
        """Few frames since a daemon came back tell less than all those before."""
        return self._told is None or estimate.offset_sigma_s < self._told.offset_sigma_s

    def _tell(self, estimate: ClockEstimate) -> Iterator[Told]:
        self._told = estimate
        declared = self._watch.declared
        yield CyclerClock(estimate=estimate, declared=declared, applied=self._applied, cell_name=self._name)
        if self._applied:
            earlier = self._coupler.set_clock(estimate.relation)
            if earlier:
                rows = np.array([one.row for one in earlier], dtype=np.int64)
                yield CellStateUpdate(rows, tuple(one.state for one in earlier), self._name)
        yield replace(_notice(estimate, declared, applied=self._applied), timestamp_ns=self._now_ns)


def _notice(estimate: ClockEstimate, declared: ClockRelation, *, applied: bool) -> Notice:
    relation = estimate.relation
    there = declared.at(relation.reference_ns)
    when = datetime.fromtimestamp(relation.reference_ns // NS_PER_S, UTC)
    how = {
        ClockMethod.MARK: f"by {estimate.support} switches of the mark",
        ClockMethod.BREATHING: f"by the charge that the lattice follows in {estimate.support} frames",
    }.get(estimate.method, "")
    text = (
        f"the cycler's clock was measured {how}: the detector's is {relation.offset_s:+.1f} +- "
        f"{estimate.offset_sigma_s:.1f} s from it at {when:%Y-%m-%dT%H:%M:%SZ}, and gains {relation.drift_ppm:+.1f} +- "
        f"{estimate.drift_sigma_ppm:.1f} ppm; declared are {there.offset_s:+.1f} s and {there.drift_ppm:+.1f} ppm; "
        + ("the measured clock is applied" if applied else "the declared clock stays applied")
    )
    off = abs(relation.offset_s - there.offset_s) > _WRONG_SIGMAS * estimate.offset_sigma_s
    kind = "CLOCK_APPLIED" if applied else "CLOCK_OFF" if off else "CLOCK_MEASURED"
    return Notice(kind, text)
