"""The patterns of the pristine and of the cycled cell, and what has changed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.patterns import PatternMap
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, ReportFigure, new_figure
from ringwatch_pipelines.patterns import FloatArray

_SMOOTHED_SHARE = 1 / 12


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    """Mean pattern of one end of the run, (bins,) each, and when it was taken."""

    intensity: FloatArray
    sigma: FloatArray
    when: str


def pristine_cycled_figures(run: RunSeries, patterns: PatternMap) -> Iterator[ReportFigure]:
    """First and last patterns of the image above each other, and their difference."""
    if patterns.time_h.size < 2:
        return
    first, last = (_end(patterns, rows) for rows in _ends(patterns))
    difference, sigma = last.intensity - first.intensity, np.hypot(first.sigma, last.sigma)
    smooth = _running_median(difference)
    x = patterns.two_theta_deg
    figure = new_figure(height_mm=145)
    above, below, foot = figure.subplots(3, 1, sharex=True, height_ratios=[1.0, 0.8, 0.5])
    _draw_ends(above, x, first, last)
    _draw_difference(below, x, difference, sigma)
    _draw_broad(foot, x, smooth, run)
    above.set_xlim(*patterns.range_deg)
    figure.align_ylabels()
    caption = (
        f"Mean patterns of the start ({first.when}) and the end ({last.when}) of the run, and their "
        "difference; broad changes, as an amorphous hump, show in its running median."
    )
    columns = (
        ("two theta / degree", x),
        ("pristine", first.intensity),
        ("sigma of pristine", first.sigma),
        ("cycled", last.intensity),
        ("sigma of cycled", last.sigma),
        ("difference", difference),
        ("sigma of the difference", sigma),
        ("running median of the difference", smooth),
    )
    table = NumberTable("pristine_cycled", columns)
    yield ReportFigure("pristine_cycled", "Pristine against cycled", caption, figure, (table,))


def _draw_ends(axes: Axes, x: FloatArray, first: _End, last: _End) -> None:
    for end, look, name in zip((first, last), LOOKS, ("pristine", "cycled"), strict=False):
        axes.plot(x, end.intensity, color=look.colour, linestyle=look.line, linewidth=0.8, label=f"{name}, {end.when}")
    axes.set_ylabel("intensity\n(arb. units)")
    axes.legend()


def _draw_difference(axes: Axes, x: FloatArray, difference: FloatArray, sigma: FloatArray) -> None:
    axes.fill_between(x, -2 * sigma, 2 * sigma, color="0.8", linewidth=0, label="twice the standard deviation")
    axes.plot(x, difference, color=LOOKS[4].colour, linewidth=0.6, label="cycled minus pristine")
    axes.set_ylim(*_room(difference))
    axes.set_ylabel("difference\n(arb. units)")
    axes.legend(loc="lower right")


def _draw_broad(axes: Axes, x: FloatArray, smooth: FloatArray, run: RunSeries) -> None:
    axes.plot(x, smooth, color=LOOKS[1].colour, linewidth=1.0, label="running median")
    axes.axhline(0.0, color="0.7", linewidth=0.5, zorder=0)
    _mark_hump(run, axes)
    axes.set_xlabel("2θ (°)")
    axes.set_ylabel("broad difference\n(arb. units)")
    axes.legend(loc="upper right")


def _end(patterns: PatternMap, rows: slice) -> _End:
    time_h = patterns.time_h[rows]
    when = _span(float(time_h[0]), float(time_h[-1]))
    return _End(_mean(patterns.intensity[rows]), _sigma(patterns.sigma[rows]), when)


def _ends(patterns: PatternMap) -> tuple[slice, slice]:
    """The first and the last fiftieth of the run, one row of the image at least."""
    rows = max(1, patterns.time_h.size // 50)
    return slice(0, rows), slice(patterns.time_h.size - rows, patterns.time_h.size)


def _mean(rows: FloatArray) -> FloatArray:
    known = np.isfinite(rows).sum(axis=0)
    return np.where(known > 0, np.nansum(rows, axis=0) / np.maximum(known, 1), np.nan)


def _sigma(rows: FloatArray) -> FloatArray:
    known = np.isfinite(rows).sum(axis=0)
    return np.where(known > 0, np.sqrt(np.nansum(rows**2, axis=0)) / np.maximum(known, 1), np.nan)


def _running_median(values: FloatArray) -> FloatArray:
    half = max(2, round(values.size * _SMOOTHED_SHARE / 2))
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    # Where most of a window lies beyond the data, a median of the few bins left is no broad change.
    known = np.isfinite(values) & (np.isfinite(windows).sum(axis=1) > half)
    result = np.full(values.size, np.nan)
    result[known] = np.nanmedian(windows[known], axis=1)
    return result


def _room(difference: FloatArray) -> tuple[float, float]:
    """Limits that show all of it, with space below for the legend."""
    known = difference[np.isfinite(difference)]
    low, high = (float(known.min()), float(known.max())) if known.size else (-1.0, 1.0)
    width = max(high - low, 1e-9)
    return low - 0.35 * width, high + 0.1 * width


def _span(from_h: float, to_h: float) -> str:
    return f"{from_h:.1f} h" if f"{from_h:.1f}" == f"{to_h:.1f}" else f"{from_h:.1f} to {to_h:.1f} h"


def _mark_hump(run: RunSeries, axes: Axes) -> None:
    centre, fwhm = (run.file.number(f"reduction/input/hump_{name}") for name in ("two_theta", "fwhm"))
    if np.isfinite(centre) and np.isfinite(fwhm):
        axes.axvspan(
            centre - fwhm / 2, centre + fwhm / 2, color="0.93", linewidth=0, zorder=-1, label="fitted hump, FWHM"
        )
