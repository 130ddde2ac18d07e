"""Amounts of the reference phases and the amorphous hump, with the dates of their onsets; the texture."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from ringwatch_daemon.reporting.marks import Marks
from ringwatch_daemon.reporting.numbers import Column, NumberTable
from ringwatch_daemon.reporting.run_series import DatedEvent, Kind, RunSeries
from ringwatch_daemon.reporting.style import (
    LOOKS,
    ReportFigure,
    draw_cell,
    draw_marks,
    finish_time_axis,
    stacked,
    with_unit,
)
from ringwatch_daemon.reporting.words import stands_for

HUMP = "hump/amplitude"


def minor_phase_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """One figure with a panel for each reference phase and the hump."""
    names = [(phase.name, f"{phase.name}/amount") for phase in run.phases if phase.kind is Kind.REFERENCE]
    shown = [(name, path, run.marks(path)) for name, path in (*names, ("hump", HUMP))]
    known = [(name, path, marks) for name, path, marks in shown if marks is not None]
    if not known:
        return
    figure, panels, foot = stacked(len(known), cell=run.cell is not None, panel_mm=34)
    columns: list[tuple[str, Column]] = [("time / h", run.marks_h)]
    for panel, (name, path, marks), look in zip(panels, known, LOOKS * 9, strict=False):
        time_h = run.marks_h_of(name)
        draw_marks(panel, time_h, marks, look, name, limits=True)
        panel.axhline(0.0, color="0.7", linewidth=0.5, zorder=0)
        panel.set_ylabel(with_unit(f"{name} {path.rsplit('/', 1)[-1]}", run.unit(path)))
        _draw_onset(panel, run, name)
        panel.legend(loc="best")
        if run.later_h(name).any():
            columns.append((f"time of {name} / h", time_h))
        columns += _table_columns(name, marks)
    if foot is not None and run.cell is not None:
        draw_cell(foot, run.cell, run.span_h)
    finish_time_axis(foot or panels[-1], run.span_h)
    caption = (
        f"Amounts of the minor phases (area of the strongest line) and height of the amorphous hump; "
        f"{stands_for(run.fitted)}. Arrows point down from 95 % upper limits where nothing is seen; a dashed line is a "
        "dated onset, with its uncertainty in grey."
    )
    table = NumberTable("minor_phases", (*columns, ("frames", run.fitted.sizes)))
    yield ReportFigure("minor_phases", "Minor phases and hump", caption, figure, (table,))


def _draw_onset(axes: Axes, run: RunSeries, name: str) -> None:
    for onset in run.onsets:
        if onset.event.kind == f"ONSET_{name.upper()}"[:32]:
            draw_onset(axes, onset, f"onset {date_with_sigma(onset)}")


def draw_onset(axes: Axes, onset: DatedEvent, label: str) -> None:
    """A dashed line at the onset over a band of one sigma to each side."""
    if np.isfinite(onset.event.sigma_h):
        axes.axvspan(
            onset.time_h - onset.event.sigma_h, onset.time_h + onset.event.sigma_h, color="0.85", linewidth=0, zorder=0
        )
    axes.axvline(onset.time_h, color="0.25", linewidth=0.8, linestyle="--", zorder=1, label=label)


def date_with_sigma(onset: DatedEvent) -> str:
    """As in ``121.4 ± 2.1 h``."""
    if not np.isfinite(onset.event.sigma_h):
        return f"{onset.time_h:.4g} h"
    places = max(0, 1 - int(np.floor(np.log10(max(onset.event.sigma_h, 1e-9)))))
    return f"{onset.time_h:.{places}f} ± {onset.event.sigma_h:.{places}f} h"


def _table_columns(name: str, marks: Marks) -> list[tuple[str, Column]]:
    limit = np.where(marks.seen, np.nan, marks.limit)
    return [(name, marks.value), (f"sigma of {name}", marks.sigma), (f"95 % upper limit of {name}", limit)]


def texture_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """One figure with a panel for each number of the azimuthal texture."""
    names = [name for name in run.file.names("tracking/texture") if not name.endswith("_errors")]
    shown = [(name, run.marks(f"texture/{name}")) for name in names]
    known = [(name, marks) for name, marks in shown if marks is not None]
    if not known:
        return
    figure, panels, foot = stacked(len(known), cell=run.cell is not None, panel_mm=32)
    columns: list[tuple[str, Column]] = [("time / h", run.marks_h)]
    for panel, (name, marks), look in zip(panels, known, LOOKS * 9, strict=False):
        draw_marks(panel, run.marks_h, marks, look, name)
        panel.set_ylabel(with_unit(_short(name), run.unit(f"texture/{name}")))
        columns += [(run.long_name(f"texture/{name}"), marks.value), (f"sigma of {name}", marks.sigma)]
    if foot is not None and run.cell is not None:
        draw_cell(foot, run.cell, run.span_h)
    finish_time_axis(foot or panels[-1], run.span_h)
    meanings = "; ".join(f"{_short(name)}: {run.long_name(f'texture/{name}')}" for name, _ in known)
    caption = f"Azimuthal texture ({meanings}); {stands_for(run.fitted)}."
    yield ReportFigure("texture", "Texture", caption, figure, (NumberTable("texture", tuple(columns)),))


def _short(name: str) -> str:
    words, _, label = name.rpartition("_")
    return f"{words.replace('_', ' ')} ({label})"
