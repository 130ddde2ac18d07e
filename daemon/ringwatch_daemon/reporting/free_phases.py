"""Lattice, size and strain of a phase with free intensities, and what its lines do."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from ringwatch_daemon.reporting.marks import Marks
from ringwatch_daemon.reporting.numbers import Column, NumberTable
from ringwatch_daemon.reporting.run_series import Kind, PhaseGroup, RunSeries
from ringwatch_daemon.reporting.style import (
    LOOKS,
    UNITS,
    Look,
    ReportFigure,
    draw_cell,
    draw_marks,
    finish_time_axis,
    stacked,
    with_unit,
)
from ringwatch_daemon.reporting.words import stands_for

LINES_SHOWN = 5


def free_phase_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """Two figures a phase with free intensities."""
    for phase in run.phases:
        if phase.kind is Kind.FREE:
            figures = (_parameters(run, phase), _lines(run, phase))
            yield from (figure for figure in figures if figure is not None)


def _parameters(run: RunSeries, phase: PhaseGroup) -> ReportFigure | None:
    names = (*run.lattice_names(phase), "size_nm", "strain")
    found = [(name, run.marks(f"{phase.name}/{name}")) for name in names]
    shown = [(name, marks) for name, marks in found if marks is not None]
    if not shown:
        return None
    figure, panels, foot = stacked(len(shown), cell=run.cell is not None, panel_mm=34)
    columns: list[tuple[str, Column]] = [("time / h", run.marks_h_of(phase.name))]
    for panel, (name, marks), look in zip(panels, shown, LOOKS * 2, strict=False):
        label, unit, scale = _naming(name, run.unit(f"{phase.name}/{name}"))
        scaled = Marks(marks.value * scale, marks.sigma * scale, marks.frames)
        draw_marks(panel, run.marks_h_of(phase.name), scaled, look, label)
        panel.set_ylabel(with_unit(label, unit))
        columns += [(f"{label} / {unit}", scaled.value), (f"sigma of {label} / {unit}", scaled.sigma)]
    _finish(run, foot, panels)
    caption = (
        f"Lattice, crystallite size and microstrain of {phase.name}; {stands_for(run.fitted)}. Error bars are one "
        "standard deviation from the fit; they do not contain a displacement of the sample, which moves the absolute "
        "lattice."
    )
    table = NumberTable(f"{phase.name}_parameters", (*columns, ("frames", run.fitted.sizes)))
    return ReportFigure(f"{phase.name}_parameters", f"{phase.name}: lattice, size, strain", caption, figure, (table,))


def _naming(name: str, unit: str) -> tuple[str, str, float]:
    """Label, unit and factor of a parameter."""
    if name == "size_nm":
        return "size", "nm", 1.0
    if name == "strain":
        return "microstrain", "10⁻⁶", 1e6
    return name, UNITS.get(unit, unit), 1.0


def _lines(run: RunSeries, phase: PhaseGroup) -> ReportFigure | None:
    columns = _strongest(run, phase)
    intensities = list(_intensities(run, phase, columns))
    if not intensities:
        return None
    shifts = [(label, _shift(run, phase, column)) for label, column in columns]
    widths = [(label, _width(run, phase, column)) for label, column in columns]
    panels_of = [intensities, _known(shifts), _known(widths)]
    texts = (
        ("area, start 100", "%"),
        ("shift", "10⁻³ °"),
        ("FWHM", "10⁻³ °"),
    )
    drawn = [(panel, text) for panel, text in zip(panels_of, texts, strict=True) if panel]
    figure, axes, foot = stacked(len(drawn), cell=run.cell is not None, panel_mm=40)
    numbers: list[tuple[str, Column]] = [("time / h", run.marks_h_of(phase.name))]
    looks = _looks_by_label(label for panel, _ in drawn for label, _ in panel)
    for one, (panel, (text, unit)) in zip(axes, drawn, strict=True):
        for place, (label, marks) in enumerate(panel):
            draw_marks(one, run.marks_h_of(phase.name), marks, looks[label], f"({label})", among=place)
            numbers += [
                (f"{text} ({label}) / {unit}", marks.value),
                (f"sigma of {text} ({label}) / {unit}", marks.sigma),
            ]
        one.set_ylabel(with_unit(text, unit))
    _legend(axes[0])
    _finish(run, foot, axes)
    caption = (
        f"The strongest lines of {phase.name}: area relative to the start, position minus that of the configured "
        "lattice, and full width at half maximum; "
        f"{stands_for(run.fitted)}."
    )
    table = NumberTable(f"{phase.name}_peaks", (*numbers, ("frames", run.fitted.sizes)))
    return ReportFigure(f"{phase.name}_peaks", f"{phase.name}: intensities and shifts", caption, figure, (table,))


def _looks_by_label(labels: Iterator[str]) -> dict[str, Look]:
    return dict(zip(dict.fromkeys(labels), LOOKS * 9, strict=False))


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=6, borderaxespad=0.2)


def _finish(run: RunSeries, foot: Axes | None, panels: list[Axes]) -> None:
    if foot is not None and run.cell is not None:
        draw_cell(foot, run.cell, run.span_h)
    finish_time_axis(foot or panels[-1], run.span_h)


def _strongest(run: RunSeries, phase: PhaseGroup) -> list[tuple[str, int]]:
    """Label and column of the lines to show: the reported ones, then the strongest of the middle frame."""
    hkl = run.file.integers(f"tracking/{phase.name}/peaks/hkl")
    if hkl is None or not run.fitted_rows.size:
        return []
    labels = ["".join(map(str, row)) for row in hkl.tolist()]
    reported = [labels.index(label) for label in run.line_labels(phase, "intensity") if label in labels]
    middle = int(run.fitted_rows[run.fitted_rows.size // 2])
    area = run.file.row(f"tracking/{phase.name}/peaks/area", middle)
    strength = np.zeros(len(labels)) if area is None else np.nan_to_num(area)
    order = dict.fromkeys([*reported, *np.argsort(-strength).tolist()])
    return [(labels[column], column) for column in list(order)[:LINES_SHOWN]]


def _intensities(run: RunSeries, phase: PhaseGroup, columns: list[tuple[str, int]]) -> Iterator[tuple[str, Marks]]:
    """Areas relative to the first mark with one, in per cent: lines of any strength then share a scale."""
    for label, column in columns:
        marks = run.marks(f"{phase.name}/intensity_{label}") or _peak_marks(run, phase, "area", column, 1.0)
        known = np.empty(0) if marks is None else marks.value[np.isfinite(marks.value)]
        if marks is not None and known.size and known[0] > 0:
            yield label, Marks(100 * marks.value / known[0], 100 * marks.sigma / known[0], marks.frames)


def _shift(run: RunSeries, phase: PhaseGroup, column: int) -> Marks | None:
    return _peak_marks(run, phase, "shift", column, 1e3, errors="two_theta_errors")


def _width(run: RunSeries, phase: PhaseGroup, column: int) -> Marks | None:
    return _peak_marks(run, phase, "fwhm", column, 1e3, errors="")


def _known(lines: list[tuple[str, Marks | None]]) -> list[tuple[str, Marks]]:
    return [(label, marks) for label, marks in lines if marks is not None and np.isfinite(marks.value).any()]


def _peak_marks(
    run: RunSeries, phase: PhaseGroup, name: str, column: int, scale: float, *, errors: str | None = None
) -> Marks | None:
    """Marks of one column of the peaks' table; without errors they are plain means."""
    path = f"tracking/{phase.name}/peaks"
    value = run.file.numbers(f"{path}/{name}", columns=np.array([column]))
    if value is None:
        return None
    if errors == "":
        mean = run.fitted.plain(value[:, 0]) * scale
        return Marks(mean, np.zeros(mean.shape), run.fitted.sizes)
    sigma = run.file.numbers(f"{path}/{errors or f'{name}_errors'}", columns=np.array([column]))
    return None if sigma is None else run.fitted.mean(value[:, 0] * scale, sigma[:, 0] * scale)
