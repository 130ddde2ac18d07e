"""Patterns against time beside voltage and current, as an image and as a stack."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from ringwatch_daemon.reporting.cell_series import CellSeries
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.patterns import PatternMap
from ringwatch_daemon.reporting.run_file import IntArray
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, MAP, ReportFigure, new_figure
from ringwatch_pipelines.patterns import FloatArray

STACKED = 12
_GAP = 3.0
"""A row of the image is drawn at most so many usual distances wide; what is longer stays empty."""


def pattern_figures(run: RunSeries, patterns: PatternMap) -> Iterator[ReportFigure]:
    """The image and the stack."""
    yield _waterfall(run, patterns)
    yield _stack(patterns)


def _waterfall(run: RunSeries, patterns: PatternMap) -> ReportFigure:
    cell = run.cell
    figure = new_figure(height_mm=115)
    widths = [1.0] if cell is None else [1.0, 0.19, 0.19]
    image, *beside = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)[0]
    _draw_image(image, patterns)
    if cell is not None:
        _draw_beside(beside, cell.within(_limits(patterns.time_h)))
    image.set_ylim(*_limits(patterns.time_h))
    sizes = patterns.grouping.sizes
    caption = f"Diffraction patterns over time; each row is the mean of {_frames(sizes)}, weighted by the monitor."
    if cell is not None:
        caption += " Right: voltage and current of the cell."
    by_bin = zip(patterns.two_theta_deg, patterns.intensity.T, strict=True)
    columns = (("time / h", patterns.time_h), *((f"{angle:.6g} degree", values) for angle, values in by_bin))
    numbers = (NumberTable("patterns_waterfall", columns),)
    return ReportFigure("patterns_waterfall", "Patterns over time", caption, figure, numbers)


def _draw_image(axes: Axes, patterns: PatternMap) -> None:
    known = patterns.intensity[np.isfinite(patterns.intensity)]
    low, high = np.percentile(known, (0.5, 99.7))
    time_h, intensity = _with_gaps(patterns.time_h, patterns.intensity)
    scale, norm = _scale(float(low), float(high))
    axes.set_facecolor("0.85")
    image = axes.pcolormesh(patterns.edges_deg, time_h, intensity, cmap=MAP, norm=norm, rasterized=True)
    bar = axes.figure.colorbar(image, ax=axes, location="top", fraction=0.05, pad=0.015, aspect=50)
    if scale == "logarithmic":
        bar.ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.xaxis.set_major_formatter(ScalarFormatter())
        bar.ax.xaxis.set_minor_formatter(NullFormatter())
    bar.set_label(f"intensity (arb. units, {scale} scale)")
    axes.set_xlim(*patterns.range_deg)
    axes.set_xlabel("2θ (°)")
    axes.set_ylabel("time since the first pattern (h)")


def _scale(low: float, high: float) -> tuple[str, Normalize]:
    """Logarithmic, so that weak lines show beside strong ones; square root where the background is taken off."""
    if 0 < low < high:
        return "logarithmic", LogNorm(vmin=low, vmax=high)
    return "square-root", PowerNorm(0.5, vmin=low, vmax=max(high, low + 1e-9))


def _with_gaps(time_h: FloatArray, intensity: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Edges of the rows in time, with an empty row where nothing was measured for long."""
    steps = np.diff(time_h)
    usual = float(np.median(steps)) if steps.size else 1.0
    half = np.minimum(np.append(steps, usual), _GAP * usual) / 2
    before = np.minimum(np.insert(steps, 0, usual), _GAP * usual) / 2
    edges, rows = [time_h[0] - before[0]], []
    for index, middle in enumerate(time_h):
        if middle - before[index] > edges[-1] + 1e-9 * usual:
            rows.append(np.full(intensity.shape[1], np.nan))
            edges.append(middle - before[index])
        rows.append(intensity[index])
        edges.append(middle + half[index])
    return np.array(edges), np.array(rows)


def _draw_beside(axes: list[Axes], cell: CellSeries) -> None:
    for one, values, name, look in zip(
        axes, (cell.voltage_V, 1e3 * cell.current_A), ("voltage (V)", "current (mA)"), LOOKS, strict=False
    ):
        shown = cell.drawn(values)
        one.plot(values[shown], cell.time_h[shown], color=look.colour, linewidth=0.8)
        one.set_xlabel(name)
        one.margins(x=0.12)
        both_ways = np.nanmin(values) < 0.0 < np.nanmax(values) if np.isfinite(values).any() else False
        one.xaxis.set_major_locator(MaxNLocator(nbins=2, symmetric=bool(both_ways), min_n_ticks=2))


def _limits(time_h: FloatArray) -> tuple[float, float]:
    step = float(np.median(np.diff(time_h))) if time_h.size > 1 else 1.0
    return float(time_h[0] - step / 2), float(time_h[-1] + step / 2)


def _frames(sizes: IntArray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    if high == 1:
        return "one frame"
    return f"{high} frames" if low == high else f"{low} to {high} frames"


def _stack(patterns: PatternMap) -> ReportFigure:
    chosen = np.unique(np.linspace(0, patterns.time_h.size - 1, min(STACKED, patterns.time_h.size)).astype(int))
    figure = new_figure(height_mm=125)
    axes = figure.subplots()
    rows = np.sqrt(np.maximum(patterns.intensity[chosen], 0.0))
    step = 0.2 * float(np.nanpercentile(rows, 99.8) - np.nanpercentile(rows, 1)) or 1.0
    for place, row in enumerate(rows):
        shade = 0.85 * place / max(chosen.size - 1, 1)
        axes.plot(patterns.two_theta_deg, row + place * step, color=_colour(shade), linewidth=0.6)
        axes.annotate(
            f"{patterns.time_h[chosen[place]]:.1f} h", (1.0, _last(row) + place * step),
            xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7,
        )  # fmt: skip
    axes.set_xlim(*patterns.range_deg)
    axes.set_xlabel("2θ (°)")
    axes.set_ylabel("square root of the intensity, each shifted up (arb. units)")
    axes.set_yticks([])
    headings = [("two theta / degree", patterns.two_theta_deg)]
    headings += [(f"intensity at {patterns.time_h[index]:.3f} h", patterns.intensity[index]) for index in chosen]
    caption = (
        f"{chosen.size} patterns from the start (below) to the end (above), as the square root "
        "of the intensity so that weak lines show."
    )
    return ReportFigure(
        "patterns_stack",
        "Patterns, one above the other",
        caption,
        figure,
        (NumberTable("patterns_stack", tuple(headings)),),
    )


def _colour(shade: float) -> tuple[float, float, float]:
    """From black to blue: the order can be read in grey too."""
    return (0.0, 0.45 * shade, 0.70 * shade)


def _last(row: FloatArray) -> float:
    known = row[np.isfinite(row)]
    return float(np.median(known[-20:])) if known.size else 0.0
