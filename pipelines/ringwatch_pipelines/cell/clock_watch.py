"""Watches frames and cycler for what they tell of each other's clocks, while both arrive."""

from array import array
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ringwatch_pipelines.cell.clock import NS_PER_S, ClockReading, ClockRelation, IntArray
from ringwatch_pipelines.cell.clock_breathing import ChargeCourse, Track, clock_from_breathing
from ringwatch_pipelines.cell.clock_marks import clock_from_switches, switches_from_signal
from ringwatch_pipelines.cell.timeline import BoolArray, Timeline
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.results import Estimate, FreePhaseTrack, LinePhaseTrack, ReferencePhaseTrack, Tracked

NAN = float("nan")
_GROWTH = 1.25
_FEWEST_FRAMES = 20
_CONTRADICTION_SIGMAS = 4.0


@dataclass(frozen=True, slots=True)
class ClockMark:
    """Something that the frames carry and the cycler tells too.

    Parameters
    ----------
    attribute
        Name of the value that comes with each frame.
    quantity
        What it follows of the cycler.
    attribute_threshold, cycler_threshold
        Where each of the two switches; half-way in its range where it is None.
    at
        When in its exposure the value of a frame is read. areaDetector reads its attributes at the end.
    """

    attribute: str
    quantity: Literal["voltage_V", "current_A", "step", "cycle"] = "voltage_V"
    attribute_threshold: float | None = None
    cycler_threshold: float | None = None
    at: Literal["start", "middle", "end"] = "end"


@dataclass(frozen=True, slots=True)
class ClockRule:
    """How the clocks are compared.

    Parameters
    ----------
    declared
        Where the search begins.
    mark
        None where frames carry none.
    tracks
        Names such as ``lagp/a`` or ``li/area_110``; empty for the lattice parameters of every ``free`` phase.
    search_s
        How far off the declared offset may be, for a mark.
    """

    declared: ClockRelation = field(default_factory=ClockRelation)
    mark: ClockMark | None = None
    tracks: tuple[str, ...] = ()
    search_s: float = 7200.0


class ClockWatch:
    """Remembers what frames tell of the cell's clock; 8 bytes a value.

    Parameters
    ----------
    timeline
        The samples so far; somebody else adds to it.
    """

    def __init__(self, timeline: Timeline, rule: ClockRule) -> None:
        self._timeline = timeline
        self._rule = rule
        self._stamps = array("q")
        self._marks = array("d")
        self._mark_stamps = array("q")
        self._tracks: dict[str, tuple[array[float], array[float]]] = {}
        self._looked_at = 0

    @property
    def declared(self) -> ClockRelation:
        """The relation that was declared, with the first sample as reference where none was."""
        declared, stamps = self._rule.declared, self._timeline.column("cycler_timestamp_ns")
        return declared if declared.reference_ns or not stamps.size else declared.beginning_at(int(stamps[0]))

    def add_frame(
        self,
        *,
        timestamp_ns: int,
        exposure_s: float = NAN,
        tracked: Tracked | None = None,
        attributes: tuple[tuple[str, str | float | int], ...] = (),
    ) -> None:
        """Take in a frame of this cell.

        Parameters
        ----------
        timestamp_ns
            UTC at mid-exposure; a frame without a time (0 or less) tells nothing.
        """
        if timestamp_ns <= 0:
            return
        if self._rule.mark is not None:
            self._add_mark(self._rule.mark, timestamp_ns, exposure_s, dict(attributes))
        if tracked is None or not tracked.fit_state.has_values:
            return
        values = dict(_clock_tracks(tracked, self._rule.tracks))
        for name in values.keys() - self._tracks.keys():
            blank = [NAN] * len(self._stamps)
            self._tracks[name] = (array("d", blank), array("d", blank))
        # One time for all of them: where several phases are followed, that in the middle of theirs.
        later_s = float(np.mean([tracked.measured_later_s(name.partition("/")[0]) for name in values] or [0.0]))
        self._stamps.append(timestamp_ns + round(later_s * NS_PER_S))
        for name, (value, sigma) in self._tracks.items():
            estimate = values.get(name, Estimate())
            value.append(estimate.value)
            sigma.append(estimate.sigma)

    def recall(self, *, timestamp_ns: IntArray, tracks: tuple[Track, ...]) -> None:
        """Begin with what an earlier process measured; marks are not known any more.

        Parameters
        ----------
        timestamp_ns
            (frames,) UTC at mid-exposure.
        tracks
            (frames,) each; only lattice parameters, so that other tracks begin anew.
        """
        wanted = [track for track in tracks if not self._rule.tracks or track.name in self._rule.tracks]
        told = np.zeros(timestamp_ns.shape, dtype=bool)
        for track in wanted:
            told |= np.isfinite(track.value)
        if told.any():
            self._stamps = array("q", timestamp_ns[told].tolist())
            self._tracks = {
                track.name: (array("d", track.value[told].tolist()), array("d", track.sigma[told].tolist()))
                for track in wanted
            }

    @property
    def frames(self) -> int:
        """How many frames have told something."""
        return max(len(self._stamps), len(self._marks))

    @property
    def due(self) -> bool:
        """Whether a quarter more frames than at the last look may tell more."""
        return len(self._timeline) > 0 and self.frames >= max(_FEWEST_FRAMES, _GROWTH * self._looked_at)

    def look(self) -> ClockReading:
        """What frames and samples tell of the clocks by now."""
        self._looked_at = self.frames
        readings = [reading for reading in (self._by_mark(), self._by_breathing()) if reading is not None]
        told = [reading for reading in readings if reading.estimate is not None]
        if not told:
            why_not = (
                "; ".join(reading.why_not for reading in readings) or "neither tracks nor marks came with the frames"
            )
            return ClockReading(None, why_not, tuple(text for reading in readings for text in reading.warnings))
        best = min(told, key=_offset_sigma_s)
        return ClockReading(best.estimate, warnings=best.warnings + _contradictions(told))

    def _add_mark(
        self, mark: ClockMark, timestamp_ns: int, exposure_s: float, attributes: dict[str, str | float | int]
    ) -> None:
        value = attributes.get(mark.attribute, NAN)
        try:
            number = float(value)
        except ValueError:
            return
        half_ns = round(0.5 * exposure_s * NS_PER_S) if np.isfinite(exposure_s) else 0
        self._marks.append(number)
        self._mark_stamps.append(timestamp_ns + {"start": -half_ns, "middle": 0, "end": half_ns}[mark.at])

    def _by_mark(self) -> ClockReading | None:
        mark = self._rule.mark
        if mark is None or not len(self._timeline):
            return None
        order = np.argsort(np.array(self._mark_stamps, dtype=np.int64), kind="stable")
        frames = switches_from_signal(
            timestamp_ns=np.array(self._mark_stamps, dtype=np.int64)[order],
            signal=np.array(self._marks)[order],
            threshold=mark.attribute_threshold,
        )
        cycler = switches_from_signal(
            timestamp_ns=self._timeline.column("cycler_timestamp_ns"),
            signal=self._timeline.column(mark.quantity).astype(np.float64),
            threshold=mark.cycler_threshold,
        )
        return clock_from_switches(frames=frames, cycler=cycler, declared=self.declared, search_s=self._rule.search_s)

    def _by_breathing(self) -> ClockReading | None:
        charge = charge_course_from_timeline(self._timeline)
        if charge is None or not self._tracks:
            return None
        tracks = tuple(Track(name, np.array(value), np.array(sigma)) for name, (value, sigma) in self._tracks.items())
        stamps = np.array(self._stamps, dtype=np.int64)
        return clock_from_breathing(timestamp_ns=stamps, tracks=tracks, charge=charge, declared=self.declared)


def charge_course_from_timeline(timeline: Timeline) -> ChargeCourse | None:
    """The charge on the cycler's own clock; None where there are too few half-cycles to speak of one.

    Between two samples of different current the switch is taken to be half-way, unless the cycler tells the charge.
    """
    starts = timeline.half_cycle_starts
    if len(timeline) < 2 or starts.size < 2:
        return None
    stamps, current_A = timeline.column("cycler_timestamp_ns"), timeline.column("current_A")
    if not np.all(np.diff(stamps) > 0):
        # A clock that was set back cannot be compared as one.
        return None
    told_C = np.diff(timeline.column("told_charge_C"))
    gap = timeline.gaps
    passed_C = _passed_C(stamps, current_A, told_C)
    return ChargeCourse(
        cycler_ns=stamps,
        current_A=current_A,
        charge_C=np.concatenate([[0.0], np.cumsum(np.where(gap, 0.0, np.nan_to_num(passed_C)))]),
        gap=gap,
        half_cycles=int(starts.size),
        half_cycle_s=float(np.median(np.diff(stamps[starts]))) / NS_PER_S,
        switch_s=_switch_s(stamps, timeline.column("flow"), np.isfinite(told_C)),
    )


def _passed_C(stamps: IntArray, current_A: FloatArray, told_C: FloatArray) -> FloatArray:
    integral = 0.5 * (current_A[1:] + current_A[:-1]) * np.diff(stamps) / NS_PER_S
    return np.where(np.isfinite(told_C), told_C, integral)


def _switch_s(stamps: IntArray, flow: IntArray, told: BoolArray) -> float:
    """Median distance of the samples around a switch; 0 where the charge tells when it was."""
    switches = (flow[1:] != flow[:-1]) & ~told
    return float(np.median(np.diff(stamps)[switches])) / NS_PER_S if switches.any() else 0.0


def _clock_tracks(tracked: Tracked, wanted: tuple[str, ...]) -> list[tuple[str, Estimate]]:
    """The tracks that may breathe, by name."""
    found: list[tuple[str, Estimate]] = []
    for phase in tracked.phases:
        match phase:
            case FreePhaseTrack():
                found += [(f"{phase.name}/{name}", value) for name, value in phase.lattice]
                if wanted:
                    found += [(f"{phase.name}/size_nm", phase.size_nm), (f"{phase.name}/strain", phase.strain)]
            case LinePhaseTrack() if wanted:
                found += [(f"{phase.name}/{name}", value) for name, value in phase.lattice]
                found += [(f"{phase.name}/area_{line.label}", line.area) for line in phase.lines]
                found.append((f"{phase.name}/ratio", phase.ratio))
            case ReferencePhaseTrack() if wanted:
                found.append((f"{phase.name}/amount", phase.amount))
    return [(name, value) for name, value in found if not wanted or name in wanted]


def _offset_sigma_s(reading: ClockReading) -> float:
    assert reading.estimate is not None
    return reading.estimate.offset_sigma_s


def _contradictions(told: list[ClockReading]) -> tuple[str, ...]:
    """A sentence where mark and breathing disagree."""
    if len(told) < 2:
        return ()
    one, other = (reading.estimate for reading in told)
    assert one is not None
    assert other is not None
    apart_s = one.relation.offset_s - other.relation.at(one.relation.reference_ns).offset_s
    sigma_s = float(np.hypot(one.offset_sigma_s, other.offset_sigma_s))
    if abs(apart_s) <= _CONTRADICTION_SIGMAS * sigma_s:
        return ()
    text = f"mark and breathing tell offsets that are {apart_s:.0f} +- {sigma_s:.0f} s apart: the lattice may lag"
    return (text,)
