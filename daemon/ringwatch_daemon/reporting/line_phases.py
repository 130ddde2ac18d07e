"""Areas of single lines and the ratio of two, against time and against charge."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ringwatch_daemon.reporting.cell_series import CellSeries, half_cycle_charge_at_frames, passed_at_frames
from ringwatch_daemon.reporting.marks import Marks
from ringwatch_daemon.reporting.numbers import Column, NumberTable
from ringwatch_daemon.reporting.run_file import NS_PER_H, BoolArray, IntArray
from ringwatch_daemon.reporting.run_series import Kind, PhaseGroup, RunSeries
from ringwatch_daemon.reporting.style import (
    LOOKS,
    ReportFigure,
    draw_cell,
    draw_marks,
    finish_time_axis,
    new_figure,
    stacked,
    with_unit,
)
from ringwatch_daemon.reporting.words import stands_for
from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """What is drawn of one phase."""

    phase: PhaseGroup
    areas: tuple[tuple[str, Marks], ...]
    ratio: Marks | None
    ratio_name: str
    unit: str


def line_phase_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """Two figures a phase of single lines."""
    for phase in run.phases:
        if phase.kind is Kind.LINES:
            lines = _lines(run, phase)
            if lines.areas:
                yield _against_time(run, lines)
                if run.cell is not None and run.coupled.any():
                    yield _against_charge(run, lines)


def _lines(run: RunSeries, phase: PhaseGroup) -> _Lines:
    labels = run.line_labels(phase, "area")
    areas = [(label, run.marks(f"{phase.name}/area_{label}")) for label in labels]
    lines = re.search(r"\((-?\w+)\)/\((-?\w+)\)", run.long_name(f"{phase.name}/ratio"))
    return _Lines(
        phase=phase,
        areas=tuple((label, marks) for label, marks in areas if marks is not None),
        ratio=_ratio(run, phase, lines.group(2) if lines else None),
        ratio_name=lines.group() if lines else "ratio",
        unit=run.unit(f"{phase.name}/area_{labels[0]}") if labels else "",
    )


def _ratio(run: RunSeries, phase: PhaseGroup, below: str | None) -> Marks | None:
    """The ratio where its denominator is seen; without a name of the denominator the weighted mean."""
    path = f"tracking/{phase.name}/ratio"
    value, sigma = run.file.numbers(path), run.file.numbers(f"{path}_errors")
    if value is None or sigma is None:
        return None
    area = None if below is None else run.file.numbers(f"tracking/{phase.name}/area_{below}")
    marks = run.fitted.mean(value, sigma) if area is None else run.fitted.ratio(value, sigma, area)
    denominator = None if below is None else run.marks(f"{phase.name}/area_{below}")
    if denominator is not None:
        marks = Marks(np.where(denominator.seen, marks.value, np.nan), marks.sigma, marks.frames)
    return marks if np.isfinite(marks.value).any() else None


def _against_time(run: RunSeries, lines: _Lines) -> ReportFigure:
    cell, time_h = run.cell, run.marks_h_of(lines.phase.name)
    figure, panels, foot = stacked(1 + (lines.ratio is not None), cell=cell is not None)
    _draw_areas(panels[0], time_h, lines, None)
    if lines.ratio is not None:
        _draw_ratio(panels[1], time_h, lines, None)
    if cell is not None and foot is not None:
        draw_cell(foot, cell, run.span_h)
    finish_time_axis(foot or panels[-1], run.span_h)
    name = lines.phase.name
    caption = f"Integrated lines of {name} over time; {stands_for(run.fitted)}. {_LIMITS}"
    table = NumberTable(f"{name}_lines", (("time / h", time_h), *_columns(run, lines)))
    return ReportFigure(f"{name}_lines_time", f"{name}: lines over time", caption, figure, (table,))


_LIMITS = (
    "Error bars are one standard deviation; arrows point down from the 95 % upper limits of lines that are not seen; "
    " a ratio is left out where its denominator is not seen."
)


def _against_charge(run: RunSeries, lines: _Lines) -> ReportFigure:
    cell = run.cell
    assert cell is not None
    passed, unit = _passed(run, lines.phase)
    within, forward = _within_half_cycle(run, lines.phase)
    rows = 1 + (lines.ratio is not None)
    figure = new_figure(height_mm=52 * rows + 12)
    grid = figure.subplots(rows, 2, sharey="row", squeeze=False, width_ratios=[1.0, 0.7])
    for x, axes in zip((passed, within), grid.T, strict=True):
        _draw_areas(axes[0], x, lines, forward)
        if lines.ratio is not None:
            _draw_ratio(axes[1], x, lines, forward)
    for axes in grid[:, 1]:
        axes.set_ylabel("")
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    grid[-1, 0].set_xlabel(f"charge passed in either direction ({unit})")
    grid[-1, 1].set_xlabel(f"charge within the half-cycle ({unit})")
    name = lines.phase.name
    caption = (
        f"Integrated lines of {name} against the charge that has passed: in total (left) and since the start of the "
        f"half-cycle (right). Filled marks: positive current; open marks: negative current or none. "
        f"{stands_for(run.fitted).capitalize()}."
    )
    if cell.silent_h:
        caption += f" What passed in {cell.silent_h:.3g} h in which the cycler told nothing is not counted."
    columns: list[tuple[str, Column]] = [
        (f"charge passed / {unit}", passed),
        (f"charge within the half-cycle / {unit}", within),
        *_net_charge(run),
        ("time / h", run.marks_h_of(lines.phase.name)),
        *_columns(run, lines),
    ]
    table = NumberTable(f"{name}_lines_charge", tuple(columns))
    return ReportFigure(f"{name}_lines_charge", f"{name}: lines against charge", caption, figure, (table,))


def _passed(run: RunSeries, phase: PhaseGroup) -> tuple[FloatArray, str]:
    """(marks,) charge passed in either direction, over the electrode area where that is declared."""
    cell = run.cell
    assert cell is not None
    area_cm2, unit = _area(cell)
    passed = run.fitted.plain(passed_at_frames(cell, timestamp_ns=_measured_ns(run, phase), coupled=run.coupled))
    return passed / area_cm2, unit


def _area(cell: CellSeries) -> tuple[float, str]:
    """What a charge is divided by, and its unit then."""
    if np.isfinite(cell.area_cm2) and cell.area_cm2 > 0:
        return cell.area_cm2, "mAh/cm²"
    return 1.0, "mAh"


def _net_charge(run: RunSeries) -> Iterator[tuple[str, Column]]:
    """What has passed one way less what has come back, where the file tells it."""
    net = run.file.numbers("cycling/at_frame/total_areal_charge_mAh_cm2")
    if net is not None:
        yield "net charge since the start / mAh/cm²", run.fitted.plain(net)


def _within_half_cycle(run: RunSeries, phase: PhaseGroup) -> tuple[FloatArray, BoolArray]:
    """(marks,) charge since the start of the half-cycle, NaN over a turn of the current; and which way it flows."""
    nothing = np.full(run.time_h.size, np.nan)
    charge = run.file.numbers("cycling/at_frame/areal_charge_mAh_cm2")
    if run.cell is not None and (run.later_h(phase.name).any() or not np.isfinite(run.cell.area_cm2)):
        # The file has the state in the middle of a scan, and nothing without an area.
        passed = half_cycle_charge_at_frames(run.cell, timestamp_ns=_measured_ns(run, phase), coupled=run.coupled)
        charge = passed / _area(run.cell)[0]
    half_cycle = run.file.integers("cycling/at_frame/half_cycle")
    current = run.file.numbers("cycling/at_frame/current_A")
    mean = run.fitted.plain(nothing if charge is None else charge)
    flow = run.fitted.plain(nothing if current is None else current)
    if half_cycle is not None:
        mean = np.where(np.isfinite(run.fitted.common(half_cycle)), mean, np.nan)
    return mean, ~(flow > 0)


def _measured_ns(run: RunSeries, phase: PhaseGroup) -> IntArray:
    """(frames,) UTC at which the lines of a phase were measured."""
    return run.timestamp_ns + np.rint(run.later_h(phase.name) * NS_PER_H).astype(np.int64)


def _draw_areas(axes: Axes, x: FloatArray, lines: _Lines, hollow: BoolArray | None) -> None:
    for (label, marks), look in zip(lines.areas, LOOKS * 9, strict=False):
        draw_marks(axes, x, marks, look, f"({label})", limits=True, hollow=hollow)
    axes.axhline(0.0, color="0.7", linewidth=0.5, zorder=0)
    axes.set_ylabel(with_unit(f"{lines.phase.name} line area", lines.unit))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def _draw_ratio(axes: Axes, x: FloatArray, lines: _Lines, hollow: BoolArray | None) -> None:
    assert lines.ratio is not None
    draw_marks(axes, x, lines.ratio, LOOKS[4], lines.ratio_name, hollow=hollow)
    axes.set_ylabel(f"{lines.phase.name}\n{lines.ratio_name}")
    _fit_range(axes, lines.ratio)


def _fit_range(axes: Axes, ratio: Marks) -> None:
    """Let the ratios that are known to a third decide the range: one without a denominator would flatten the others."""
    known = np.isfinite(ratio.value) & (3 * ratio.sigma < np.abs(ratio.value))
    if known.any() and not known.all():
        low, high = (ratio.value - ratio.sigma)[known].min(), (ratio.value + ratio.sigma)[known].max()
        axes.set_ylim(low - 0.15 * (high - low), high + 0.25 * (high - low))


def _columns(run: RunSeries, lines: _Lines) -> Iterator[tuple[str, Column]]:
    for label, marks in lines.areas:
        yield f"area ({label})", marks.value
        yield f"sigma of area ({label})", marks.sigma
        yield f"95 % upper limit of area ({label})", np.where(marks.seen, np.nan, marks.limit)
    if lines.ratio is not None:
        yield f"{lines.ratio_name}", lines.ratio.value
        yield f"sigma of {lines.ratio_name}", lines.ratio.sigma
    yield "frames", run.fitted.sizes
