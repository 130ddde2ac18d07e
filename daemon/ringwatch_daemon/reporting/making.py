"""Makes the parts of a report one after the other; a part whose data are missing becomes a note."""

from collections.abc import Callable, Iterator

import numpy as np

from ringwatch_daemon.reporting.events import event_figures
from ringwatch_daemon.reporting.frames import frame_figures
from ringwatch_daemon.reporting.free_phases import free_phase_figures
from ringwatch_daemon.reporting.line_phases import line_phase_figures
from ringwatch_daemon.reporting.minor_phases import minor_phase_figures, texture_figures
from ringwatch_daemon.reporting.patterns import PatternMap
from ringwatch_daemon.reporting.pristine_cycled import pristine_cycled_figures
from ringwatch_daemon.reporting.resistance import resistance_figures
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import ReportFigure
from ringwatch_daemon.reporting.waterfall import pattern_figures

Maker = Callable[[RunSeries], Iterator[ReportFigure]]


def makers_from_patterns(patterns: PatternMap | None) -> tuple[Maker, ...]:
    """What makes the figures, in the order of the report."""
    tracked: tuple[Maker, ...] = (line_phase_figures, free_phase_figures, minor_phase_figures, texture_figures)
    of_the_run: tuple[Maker, ...] = (resistance_figures, event_figures, frame_figures)
    if patterns is None:
        return (*tracked, *of_the_run)
    return (
        lambda run: pattern_figures(run, patterns),
        *tracked,
        lambda run: pristine_cycled_figures(run, patterns),
        *of_the_run,
    )


def missing_from_run(run: RunSeries, patterns: PatternMap | None) -> tuple[str, ...]:
    """What the run does not have, one sentence each."""
    notes = []
    if not run.file.frames:
        notes.append("The run is empty: no frame was announced.")
    elif patterns is None:
        notes.append("No frame became a pattern, so there is no picture of the patterns.")
    elif patterns.grouping.rows.size == 1:
        notes.append("There is one pattern only, so nothing can be compared.")
    if run.file.frames and not np.isfinite(run.time_h).any():
        notes.append("No frame has a time, so nothing is shown against time.")
    if run.file.frames_missing:
        notes.append(
            f"{run.file.frames_missing} frames stand in parts of the run that are missing: nothing is shown of them."
        )
    if not run.phases:
        notes.append("The run was made without phases, so nothing was fitted.")
    elif run.file.frames and not run.fitted_rows.size:
        notes.append("No fit converged, so there are no tracks.")
    if run.cell is None:
        notes.append("The run has no samples of a cycler, so voltage, current, charge and resistance are missing.")
    elif not run.coupled.any() and run.file.frames:
        notes.append("No frame lies within the samples of the cycler, so nothing is shown against charge.")
    if run.cell is not None and not run.symmetric:
        notes.append("The cell is not declared symmetric, so its V / I is no resistance and is not shown.")
    if not run.file.text("ledger/stopped"):
        notes.append(
            "The file tells no end of the run: it still goes on, or it was cut off. What had been written is shown."
        )
    return tuple(notes)
