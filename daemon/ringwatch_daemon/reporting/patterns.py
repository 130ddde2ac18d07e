"""Patterns of a whole run, averaged down to what a figure can show, in one pass over them and one over their errors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.reporting.marks import Grouping, grouping_from_rows
from ringwatch_daemon.reporting.run_file import IntArray
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_pipelines.patterns import FloatArray

MOST_ROWS = 300


@dataclass(frozen=True, slots=True, eq=False)
class PatternMap:
    """Mean patterns over the run.

    Parameters
    ----------
    two_theta_deg
        (bins,)
    edges_deg
        (bins + 1,)
    time_h
        (rows,) mean time of each row.
    intensity
        (rows, bins) mean weighted by the monitor, NaN in empty bins.
    sigma
        (rows, bins) one standard deviation of that mean.
    grouping
        The frames of each row.
    """

    two_theta_deg: FloatArray
    edges_deg: FloatArray
    time_h: FloatArray
    intensity: FloatArray
    sigma: FloatArray
    grouping: Grouping

    @property
    def range_deg(self) -> tuple[float, float]:
        """From the first to the last bin in which anything was measured."""
        known = np.flatnonzero(np.isfinite(self.intensity).any(axis=0))
        return float(self.edges_deg[known[0]]), float(self.edges_deg[known[-1] + 1])


def pattern_map(run: RunSeries, *, told: Callable[[int], None]) -> PatternMap | None:
    """Mean patterns of at most 300 groups of frames; None where the file has no pattern.

    Parameters
    ----------
    told
        Hears how many rows of the file have been read.
    """
    two_theta_deg, edges_deg = (run.file.numbers(f"azint1d/{name}") for name in ("radial_axis", "radial_axis_edges"))
    if two_theta_deg is None or edges_deg is None:
        return None
    weight = _weights(run)
    rows = run.in_time_order(weight > 0)
    grouping = grouping_from_rows(rows, most=MOST_ROWS)
    group_of = np.full(run.time_h.size, -1, dtype=np.int64)
    group_of[rows] = np.repeat(np.arange(grouping.starts.size), grouping.sizes)
    sums = _Sums(grouping.starts.size, two_theta_deg.size)
    for start, block in run.file.pattern_blocks():
        sums.add_intensity(block, group_of[start : start + len(block)], weight[start : start + len(block)])
        told(len(block))
    for start, block in run.file.pattern_blocks(errors=True):
        sums.add_errors(block, group_of[start : start + len(block)], weight[start : start + len(block)])
        told(len(block))
    if not np.any(sums.weight > 0):
        return None
    filled = np.any(sums.weight > 0, axis=1)
    return PatternMap(
        two_theta_deg=two_theta_deg,
        edges_deg=edges_deg,
        time_h=grouping.plain(run.time_h)[filled],
        intensity=sums.mean()[filled],
        sigma=sums.sigma()[filled],
        grouping=grouping,
    )


def _weights(run: RunSeries) -> FloatArray:
    """(frames,) weight of each frame: the sum of raw counts weighs a pattern by its monitor. 0 for no pattern."""
    monitor = run.file.numbers("frames/monitor")
    if monitor is None or run.file.number("monitor_applied") != 1.0:
        return run.light.astype(np.float64)
    return np.where(run.light & (monitor > 0), np.nan_to_num(monitor), 0.0)


class _Sums:
    """Weighted sums a group; only groups of this run are kept, however many frames come."""

    def __init__(self, groups: int, bins: int) -> None:
        self.weight = np.zeros((groups, bins))
        self._intensity = np.zeros((groups, bins))
        self._variance = np.zeros((groups, bins))

    def add_intensity(self, block: NDArray[np.float32], group_of: IntArray, weight: FloatArray) -> None:
        for group, chosen in _groups(group_of):
            values, shares = block[chosen].astype(np.float64), weight[chosen][:, None]
            known = np.isfinite(values)
            self.weight[group] += np.sum(shares * known, axis=0)
            self._intensity[group] += np.sum(np.where(known, shares * values, 0.0), axis=0)

    def add_errors(self, block: NDArray[np.float32], group_of: IntArray, weight: FloatArray) -> None:
        for group, chosen in _groups(group_of):
            values = weight[chosen][:, None] * block[chosen].astype(np.float64)
            self._variance[group] += np.nansum(values**2, axis=0)

    def mean(self) -> FloatArray:
        return self._over_weight(self._intensity)

    def sigma(self) -> FloatArray:
        return self._over_weight(np.sqrt(self._variance))

    def _over_weight(self, sums: FloatArray) -> FloatArray:
        known = self.weight > 0
        return np.where(known, sums / np.where(known, self.weight, 1.0), np.nan)


def _groups(group_of: IntArray) -> list[tuple[int, IntArray]]:
    return [(int(group), np.flatnonzero(group_of == group)) for group in np.unique(group_of[group_of >= 0])]
