"""What an operator should have seen, on the run's time axis."""

from collections.abc import Iterator

import numpy as np

from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_file import NS_PER_H
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, ReportFigure, finish_time_axis, new_figure

KINDS_SHOWN = 24


def event_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """Events by kind against time."""
    if not run.events:
        return
    kinds = list(dict.fromkeys(one.event.kind for one in run.events))[:KINDS_SHOWN]
    figure = new_figure(height_mm=22 + 7.5 * len(kinds))
    axes = figure.subplots()
    for place, kind in enumerate(kinds):
        mine = [one for one in run.events if one.event.kind == kind]
        sigma_h = np.nan_to_num([one.event.sigma_h for one in mine])
        look = LOOKS[place % len(LOOKS)]
        axes.errorbar(
            [one.time_h for one in mine], np.full(len(mine), place), xerr=sigma_h, fmt=look.marker, color=look.colour,
            capsize=2.5, elinewidth=1.0, linestyle="none",
        )  # fmt: skip
    axes.set_yticks(range(len(kinds)), [kind.lower().replace("_", " ") for kind in kinds])
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    finish_time_axis(axes, run.span_h)
    caption = (
        "Events over time, with the uncertainty of their date where they have one. Their texts stand in the table."
    )
    yield ReportFigure("events", "Events", caption, figure, (events_table(run),))


def events_table(run: RunSeries) -> NumberTable:
    """Every event of the file, also those on another clock."""
    events = run.file.events()
    return NumberTable(
        "events",
        (
            ("time / h", np.array([(event.timestamp_ns - run.zero_ns) / NS_PER_H for event in events])),
            ("sigma / h", np.array([event.sigma_h for event in events], dtype=np.float64)),
            ("timestamp / ns", np.array([event.timestamp_ns for event in events], dtype=np.int64)),
            ("frame", np.array([event.row for event in events], dtype=np.int64)),
            ("kind", np.array([event.kind for event in events], dtype=np.str_)),
            ("text", np.array([event.text for event in events], dtype=np.str_)),
        ),
    )
