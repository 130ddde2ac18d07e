"""The cycler's series as the report draws it, and the charge that had passed at each frame."""

from dataclasses import dataclass, replace

import numpy as np

from ringwatch_daemon.reporting.run_file import NS_PER_H, BoolArray, IntArray, RunFile
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.cell.timeline import C_PER_MAH, Timeline
from ringwatch_pipelines.patterns import FloatArray

MOST_DRAWN = 4000
_ZERO_CURRENT_A = 1e-6
_HOLE = 10.0
"""Times the usual distance of samples."""


@dataclass(frozen=True, slots=True, eq=False)
class CellSeries:
    """What the cycler did.

    Parameters
    ----------
    timestamp_ns, time_h
        (samples,) UTC on the detector's clock, ascending; hours since the zero of the report.
    voltage_V, current_A
        (samples,)
    half_cycle
        (samples,) index of the stretch of one current direction, from 0.
    passed_mAh
        (samples,) charge passed since the first sample, in either direction.
    net_mAh
        (samples,) net charge passed since the first sample.
    area_cm2
        Declared electrode area, NaN where nobody declared one.
    silent_h
        How long the cycler told nothing in the course of the run: what passed then is not in the charges.
    """

    timestamp_ns: IntArray
    time_h: FloatArray
    voltage_V: FloatArray
    current_A: FloatArray
    half_cycle: IntArray
    passed_mAh: FloatArray
    net_mAh: FloatArray
    area_cm2: float
    silent_h: float = 0.0

    def within(self, span_h: tuple[float, float]) -> "CellSeries":
        """The samples of a stretch of time, and the neighbours on either side of it."""
        first, last = np.searchsorted(self.time_h, span_h)
        part = slice(max(int(first) - 1, 0), int(last) + 1)
        return replace(
            self,
            timestamp_ns=self.timestamp_ns[part],
            time_h=self.time_h[part],
            voltage_V=self.voltage_V[part],
            current_A=self.current_A[part],
            half_cycle=self.half_cycle[part],
            passed_mAh=self.passed_mAh[part],
            net_mAh=self.net_mAh[part],
        )

    def drawn(self, values: FloatArray) -> IntArray:
        """Indices of at most some 4000 samples that keep every extreme of `values`."""
        size = values.size
        if size <= MOST_DRAWN:
            return np.arange(size)
        length = -(-size // (MOST_DRAWN // 2))
        padded = np.pad(np.nan_to_num(values), (0, -size % length), mode="edge").reshape(-1, length)
        base = np.arange(len(padded)) * length
        chosen = np.concatenate([base + padded.argmin(axis=1), base + padded.argmax(axis=1), [0, size - 1]])
        return np.unique(np.minimum(chosen, size - 1))


def cell_series_from_file(file: RunFile, *, zero_ns: int) -> CellSeries | None:
    """The series, or None where the file has no samples."""
    stamps = file.integers("cycling/timestamp_ns")
    columns = [file.numbers(f"cycling/{name}") for name in ("voltage_V", "current_A", "charge_C")]
    if stamps is None or not stamps.size or any(column is None for column in columns):
        return None
    size = min(stamps.size, *(column.size for column in columns if column is not None))
    voltage_V, current_A, charge_C = (column[:size] for column in columns if column is not None)
    order = np.argsort(stamps[:size], kind="stable")
    # Of samples with one stamp the last to arrive counts, as in the run itself.
    order = order[np.append(np.diff(stamps[order]) != 0, True)]
    nobody = np.full(order.size, -1, dtype=np.int64)
    samples = CyclerSamples(
        stamps[order], stamps[order], voltage_V[order], current_A[order], nobody, nobody, charge_C[order]
    )
    timeline = Timeline(max_gap_s=float("inf"))
    timeline.append(samples)
    return CellSeries(
        timestamp_ns=samples.timestamp_ns,
        time_h=(samples.timestamp_ns - zero_ns) / NS_PER_H,
        voltage_V=samples.voltage_V,
        current_A=samples.current_A,
        half_cycle=timeline.half_cycle,
        passed_mAh=np.concatenate([[0.0], np.cumsum(np.abs(np.diff(timeline.charge_C)))]) / C_PER_MAH,
        net_mAh=timeline.charge_C / C_PER_MAH,
        area_cm2=file.number("sample/electrode_area"),
        silent_h=_silent_h(samples),
    )


def _silent_h(samples: CyclerSamples) -> float:
    """How long a current flowed before or after a hole in the series over which no charge was counted."""
    apart_ns = np.diff(samples.timestamp_ns)
    if not apart_ns.size:
        return 0.0
    flows = np.abs(np.nan_to_num(samples.current_A)) > _ZERO_CURRENT_A
    uncounted = (np.diff(samples.charge_C) == 0.0) & (flows[1:] | flows[:-1])
    return float(apart_ns[uncounted & (apart_ns > _HOLE * np.median(apart_ns))].sum()) / NS_PER_H


def passed_at_frames(cell: CellSeries, *, timestamp_ns: IntArray, coupled: BoolArray) -> FloatArray:
    """(frames,) charge passed in either direction since the first sample, mAh.

    Parameters
    ----------
    coupled
        (frames,) whether the state of the cell is known; NaN elsewhere, since nothing is extrapolated.
    """
    return np.where(
        _known(cell, timestamp_ns, coupled), np.interp(timestamp_ns, cell.timestamp_ns, cell.passed_mAh), np.nan
    )


def half_cycle_charge_at_frames(cell: CellSeries, *, timestamp_ns: IntArray, coupled: BoolArray) -> FloatArray:
    """(frames,) net charge passed since the start of the half-cycle, mAh; NaN where `passed_at_frames` is."""
    sample = np.maximum(np.searchsorted(cell.timestamp_ns, timestamp_ns, side="right") - 1, 0)
    start = np.searchsorted(cell.half_cycle, cell.half_cycle[sample])
    charge_mAh = np.interp(timestamp_ns, cell.timestamp_ns, cell.net_mAh) - cell.net_mAh[start]
    return np.where(_known(cell, timestamp_ns, coupled), charge_mAh, np.nan)


def _known(cell: CellSeries, timestamp_ns: IntArray, coupled: BoolArray) -> BoolArray:
    inside = (timestamp_ns >= cell.timestamp_ns[0]) & (timestamp_ns <= cell.timestamp_ns[-1])
    return np.asarray(coupled & inside)
