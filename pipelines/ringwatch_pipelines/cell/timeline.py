"""The cycler's samples in the order of time, and the state of the cell between them.

Between two samples voltage and current are linear within one step of one direction, and held
elsewhere: a cycler switches its set point at once, and the voltage jumps with it. The charge is the
integral of that current. Outside the samples, or in a gap, nothing is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.cell.cycling import CellState, Coupling, CyclerSamples
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Rows = NDArray[np.void]
SampleColumn = Literal["cycler_timestamp_ns", "voltage_V", "current_A", "told_charge_C", "cycle", "step", "flow"]

C_PER_MAH = 3.6
NS_PER_S = 1e9

_COLUMNS = np.dtype(
    [
        ("timestamp_ns", np.int64),
        ("cycler_timestamp_ns", np.int64),
        ("voltage_V", np.float64),
        ("current_A", np.float64),
        ("told_charge_C", np.float64),
        ("cycle", np.int32),
        ("step", np.int32),
        # Derived: the charge since the first sample, net and in either direction, how many stretches of it are
        # unknown, the sign of the current (0 is a rest), the direction (a rest keeps the one before), the half-cycle.
        ("charge_C", np.float64),
        ("throughput_C", np.float64),
        ("unknown_charges", np.int32),
        ("half_cycle", np.int32),
        ("flow", np.int8),
        ("direction", np.int8),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class FlowSamples:
    """A stretch of the timeline on the cycler's own clock, which never changes, (samples,) each."""

    cycler_timestamp_ns: IntArray
    voltage_V: FloatArray
    current_A: FloatArray
    step: IntArray
    half_cycle: IntArray
    flow: IntArray


class Timeline:
    """The samples of one cycler in the order of time; grows as they arrive.

    Samples may come in any order. Of samples with one stamp the last to arrive counts, as a
    file written again corrects itself. Adding to the end costs what is added; adding
    earlier costs what comes after it.

    Parameters
    ----------
    max_gap_s
        Samples further apart than this leave a gap: nothing is known between them.
    zero_current_A
        A smaller current is a rest.
    """

    def __init__(self, *, max_gap_s: float, zero_current_A: float = 1e-6) -> None:
        self._max_gap_ns = max_gap_s * NS_PER_S
        self._zero_current_A = zero_current_A
        self._rows = np.zeros(16, dtype=_COLUMNS)
        # Apart from the rows, since a search wants its keys side by side in memory.
        self._stamps = np.zeros(16, dtype=np.int64)
        self._size = 0
        self._half_starts: list[int] = []

    def __len__(self) -> int:
        return self._size

    @property
    def timestamp_ns(self) -> IntArray:
        """(samples,) strictly ascending."""
        return read_only(self._stamps[: self._size])

    @property
    def half_cycle(self) -> IntArray:
        """(samples,) index of the stretch of one current direction, from 0."""
        return self._rows["half_cycle"][: self._size].astype(np.int64)

    @property
    def charge_C(self) -> FloatArray:
        """(samples,) charge passed since the first sample; what passed in a gap is missing."""
        return self._rows["charge_C"][: self._size].astype(np.float64)

    @property
    def half_cycles(self) -> int:
        """How many half-cycles have begun."""
        return len(self._half_starts)

    def samples_after(self, cycler_ns: int) -> FlowSamples:
        """The samples later than a time of the cycler's clock."""
        stamps = self._rows["cycler_timestamp_ns"][: self._size]
        rows = self._rows[int(np.searchsorted(stamps, cycler_ns, side="right")) : self._size]
        return FlowSamples(
            cycler_timestamp_ns=rows["cycler_timestamp_ns"].copy(),
            voltage_V=rows["voltage_V"].copy(),
            current_A=rows["current_A"].copy(),
            step=rows["step"].astype(np.int64),
            half_cycle=rows["half_cycle"].astype(np.int64),
            flow=rows["flow"].astype(np.int64),
        )

    def detector_ns(self, cycler_ns: int) -> int:
        """The detector's time at a time of the cycler: as far from it as at the sample before."""
        stamps = self._rows["cycler_timestamp_ns"][: self._size]
        near = max(int(np.searchsorted(stamps, cycler_ns, side="right")) - 1, 0)
        return cycler_ns + int(self._stamps[near] - stamps[near])

    def column(self, name: SampleColumn) -> NDArray[Any]:
        """(samples,) what the cycler told, or -1 or NaN."""
        return self._rows[name][: self._size].copy()

    @property
    def gaps(self) -> BoolArray:
        """(samples - 1,) whether nothing is known between a sample and the next one."""
        rows = self._rows[: self._size]
        apart: BoolArray = np.diff(self.timestamp_ns) > self._max_gap_ns
        return apart | _silent(rows[:-1]) | _silent(rows[1:])

    @property
    def half_cycle_starts(self) -> IntArray:
        """(half-cycles,) index of the first sample of each."""
        return np.array(self._half_starts, dtype=np.int64)

    def restamp(self, detector_from_cycler_ns: Callable[[IntArray], IntArray]) -> None:
        """Put every sample at another time of the detector; their order stays."""
        stamps = detector_from_cycler_ns(self._rows["cycler_timestamp_ns"][: self._size])
        self._rows["timestamp_ns"][: self._size] = stamps
        self._stamps[: self._size] = stamps
        if self._size:
            self._derive(0)

    def append(self, samples: CyclerSamples) -> CyclerSamples:
        """Take in samples, and give them back with the charge filled in where the cycler did not tell it."""
        if not samples.timestamp_ns.size:
            return samples
        start = int(np.searchsorted(self.timestamp_ns, samples.timestamp_ns.min()))
        merged = _latest_of_each_stamp(np.concatenate([self._rows[start : self._size], _rows_from_samples(samples)]))
        self._put(start, merged)
        self._derive(start)
        at = np.searchsorted(self.timestamp_ns, samples.timestamp_ns)
        told = np.isfinite(samples.charge_C)
        charge_C = np.where(told, samples.charge_C, self._rows["charge_C"][at])
        return replace(samples, charge_C=read_only(charge_C))

    def span_around(self, *, first_ns: int, last_ns: int) -> tuple[int, int]:
        """From the sample before `first_ns` to the sample after `last_ns`, as far as there are any."""
        stamps = self.timestamp_ns
        before = int(np.searchsorted(stamps, first_ns, side="left")) - 1
        after = int(np.searchsorted(stamps, last_ns, side="right"))
        return int(stamps[max(before, 0)]), int(stamps[min(after, self._size - 1)])

    def states_at(self, timestamp_ns: IntArray, *, area_cm2: float) -> tuple[CellState, ...]:
        """The state of the cell at each of `timestamp_ns`; see `cell_states_at`."""
        if not self._size:
            return tuple(CellState(state=Coupling.NO_CYCLER) for _ in timestamp_ns)
        rows = self._rows[: self._size]
        before = np.searchsorted(self.timestamp_ns, timestamp_ns, side="right") - 1
        left = rows[np.clip(before, 0, None)]
        # A frame exactly on a sample needs no neighbour.
        on_sample = left["timestamp_ns"] == timestamp_ns
        right = rows[np.where(on_sample, before, np.clip(before + 1, 0, self._size - 1))]
        starts = rows[np.asarray(self._half_starts)[left["half_cycle"]]]
        reasons = self._reasons(timestamp_ns, left, right)
        return _Neighbours(left, right, starts).states_at(timestamp_ns, reasons, area_cm2)

    def _put(self, start: int, rows: Rows) -> None:
        """Let `rows` be the samples from `start` on."""
        end = start + rows.size
        if end > self._rows.size:
            self._rows = _grown(self._rows, end)
            self._stamps = _grown(self._stamps, end)
        self._rows[start:end] = rows
        self._stamps[start:end] = rows["timestamp_ns"]
        self._size = end

    def _reasons(self, timestamp_ns: IntArray, left: Rows, right: Rows) -> list[Coupling]:
        gap = (right["timestamp_ns"] - left["timestamp_ns"] > self._max_gap_ns) | _silent(left) | _silent(right)
        stamps = self.timestamp_ns
        reasons = np.select(
            [timestamp_ns <= 0, timestamp_ns < stamps[0], timestamp_ns > stamps[-1], gap],
            [Coupling.NO_TIMESTAMP, Coupling.BEFORE_FIRST_SAMPLE, Coupling.AFTER_LAST_SAMPLE, Coupling.GAP_IN_CYCLER],
            Coupling.KNOWN,
        )
        return [Coupling(reason) for reason in reasons]

    def _derive(self, start: int) -> None:
        """Work out direction, half-cycle and charge from sample `start` on."""
        rows = self._rows[max(start - 1, 0) : self._size]
        if not start:
            # Zeros are the neutral beginning: no direction yet, half-cycle 0, no charge.
            rows = np.concatenate([np.zeros(1, dtype=_COLUMNS), rows])
        past, new = rows[:-1], rows[1:]
        new["flow"] = np.where(np.abs(new["current_A"]) > self._zero_current_A, np.sign(new["current_A"]), 0)
        new["direction"] = _carried(new["flow"], int(past["direction"][0]))
        # The rest before the first current belongs to half-cycle 0.
        turned = (new["direction"] != past["direction"]) & (past["direction"] != 0)
        new["half_cycle"] = past["half_cycle"][0] + np.cumsum(turned)
        passed = self._charge_between(past, new)
        if not start:
            passed[0] = 0.0
        unknown = np.isnan(passed)
        # Summed one after the other from the sample before, so that the blocks leave no trace in the last digit.
        known_C = np.where(unknown, 0.0, passed)
        new["charge_C"] = np.cumsum(np.append(past["charge_C"][0], known_C))[1:]
        new["throughput_C"] = np.cumsum(np.append(past["throughput_C"][0], np.abs(known_C)))[1:]
        new["unknown_charges"] = past["unknown_charges"][0] + np.cumsum(unknown)
        self._rows[start : self._size] = new
        kept = int(past["half_cycle"][0]) + 1 if start else 0
        first = [] if start else [0]
        self._half_starts[kept:] = [*first, *(start + np.flatnonzero(turned)).tolist()]

    def _charge_between(self, past: Rows, new: Rows) -> FloatArray:
        """(pairs,) charge passed between neighbours: the cycler's own, else the integral; NaN over a gap."""
        elapsed_ns = new["timestamp_ns"] - past["timestamp_ns"]
        mean_A = np.where(_same_step(past, new), 0.5 * (past["current_A"] + new["current_A"]), past["current_A"])
        integral = np.where(elapsed_ns > self._max_gap_ns, np.nan, mean_A * elapsed_ns / NS_PER_S)
        told = new["told_charge_C"] - past["told_charge_C"]
        return np.where(np.isfinite(told), told, integral)


def cell_states_at(timeline: Timeline, *, timestamp_ns: IntArray, area_cm2: float) -> tuple[CellState, ...]:
    """The state of the cell at the middle of exposures, never extrapolated.

    Parameters
    ----------
    timestamp_ns
        (frames,) UTC at mid-exposure, nanoseconds since 1970; 0 or less where it is unknown.
    area_cm2
        Declared electrode area, NaN where nobody declared one.

    Returns
    -------
    tuple of CellState
        One a frame, with NaN and the reason where the state is not known. Cycle, step and half-cycle
        are those of the sample before. A charge is NaN when some of it passed in a gap.
    """
    return timeline.states_at(timestamp_ns, area_cm2=area_cm2)


def cell_state_at(timeline: Timeline, *, timestamp_ns: int, area_cm2: float) -> CellState:
    """The state of the cell at the middle of one exposure; see `cell_states_at`."""
    return timeline.states_at(np.array([timestamp_ns], dtype=np.int64), area_cm2=area_cm2)[0]


def _rows_from_samples(samples: CyclerSamples) -> Rows:
    rows = np.zeros(samples.timestamp_ns.size, dtype=_COLUMNS)
    for name in ("timestamp_ns", "cycler_timestamp_ns", "voltage_V", "current_A", "cycle", "step"):
        rows[name] = getattr(samples, name)
    rows["told_charge_C"] = samples.charge_C
    return rows


def _latest_of_each_stamp(rows: Rows) -> Rows:
    ordered = rows[np.argsort(rows["timestamp_ns"], kind="stable")]
    stamps = ordered["timestamp_ns"]
    latest: Rows = ordered[np.append(stamps[1:] != stamps[:-1], True)]
    return latest


def _carried(direction: NDArray[np.int8], before: int) -> NDArray[np.int8]:
    """Each 0 takes the last direction before it."""
    flowing = np.maximum.accumulate(np.where(direction != 0, np.arange(direction.size), -1))
    return np.where(flowing >= 0, direction[flowing], before).astype(np.int8)


def _silent(rows: Rows) -> BoolArray:
    """A sample without voltage and current marks a gap."""
    silent: BoolArray = np.isnan(rows["voltage_V"]) & np.isnan(rows["current_A"])
    return silent


def _same_step(left: Rows, right: Rows) -> BoolArray:
    same: BoolArray = (
        (left["step"] == right["step"]) & (left["cycle"] == right["cycle"]) & (left["flow"] == right["flow"])
    )
    return same


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """A longer copy, doubled at least, so that growing costs what is added."""
    grown = np.zeros(max(size, 2 * array.size), dtype=array.dtype)
    grown[: array.size] = array
    return grown


@dataclass(frozen=True, slots=True, eq=False)
class _Neighbours:
    """(frames,) the sample before each frame, the one after, and the first of its half-cycle."""

    left: Rows
    right: Rows
    start: Rows

    def states_at(self, timestamp_ns: IntArray, reasons: list[Coupling], area_cm2: float) -> tuple[CellState, ...]:
        left, right, start = self.left, self.right, self.start
        apart_ns = np.maximum(right["timestamp_ns"] - left["timestamp_ns"], 1)
        share = (timestamp_ns - left["timestamp_ns"]) / apart_ns
        voltage_V, current_A = (
            np.where(_same_step(left, right), left[name] + share * (right[name] - left[name]), left[name])
            for name in ("voltage_V", "current_A")
        )
        total_C, throughput_C = (
            left[name] + share * (right[name] - left[name]) for name in ("charge_C", "throughput_C")
        )
        unknown_before, unknown = start["unknown_charges"], left["unknown_charges"]
        areal = [
            _areal_mAh_cm2(np.where(missing == 0, charge_C, np.nan), area_cm2)
            for charge_C, missing in (
                (total_C - start["charge_C"], unknown - unknown_before),
                (total_C, unknown),
                (throughput_C, unknown),
            )
        ]
        return tuple(
            CellState(
                voltage_V=float(voltage),
                current_A=float(current),
                current_density_mA_cm2=1e3 * float(current) / area_cm2,
                cycle=int(sample["cycle"]),
                half_cycle=int(sample["half_cycle"]),
                step=int(sample["step"]),
                areal_charge_mAh_cm2=float(charge),
                total_areal_charge_mAh_cm2=float(total),
                areal_throughput_mAh_cm2=float(throughput),
                state=reason,
            )
            if reason is Coupling.KNOWN
            else CellState(state=reason)
            for voltage, current, sample, charge, total, throughput, reason in zip(
                voltage_V, current_A, left, *areal, reasons, strict=True
            )
        )


def _areal_mAh_cm2(charge_C: FloatArray, area_cm2: float) -> FloatArray:
    return charge_C / C_PER_MAH / area_cm2
