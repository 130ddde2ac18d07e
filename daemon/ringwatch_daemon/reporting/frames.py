"""Where every frame ended, and how good the fits are."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from ringwatch_daemon.reporting.marks import grouping_from_rows
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, ReportFigure, finish_time_axis, from_zero, new_figure

STATES = ("PROCESSED", "REJECTED", "LOST")


def frame_totals(run: RunSeries) -> tuple[tuple[str, str, int], ...]:
    """State, reason and number of frames, the most frequent first."""
    states, reasons = run.file.texts("frames/state"), run.file.texts("frames/reason")
    if states is None or reasons is None or not states.size:
        return ()
    pairs, counts = np.unique(np.stack([states, reasons]), axis=1, return_counts=True)
    found = [(str(state), str(reason), int(count)) for (state, reason), count in zip(pairs.T, counts, strict=True)]
    return tuple(sorted(found, key=lambda one: (STATES.index(one[0]) if one[0] in STATES else 9, -one[2])))


def frame_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """Totals by reason; chi-square, monitor and distance of the frames against time."""
    totals = frame_totals(run)
    if not totals:
        return
    bars_mm = 22 + 5.5 * len(totals)
    if np.isfinite(run.time_h).any():
        figure = new_figure(height_mm=bars_mm + 100)
        bars, rest = figure.subfigures(2, 1, height_ratios=[bars_mm, 100], squeeze=False)[:, 0]
        _draw_totals(bars.subplots(), totals)
        _draw_against_time(rest, run)
    else:
        figure = new_figure(height_mm=bars_mm)
        _draw_totals(figure.subplots(), totals)
    numbers = (
        NumberTable(
            "frames",
            (
                ("state", np.array([state for state, _, _ in totals], dtype=np.str_)),
                ("reason", np.array([reason for _, reason, _ in totals], dtype=np.str_)),
                ("frames", np.array([count for *_, count in totals], dtype=np.int64)),
            ),
        ),
    )
    caption = (
        "Above: every frame that the detector announced, by where it ended. Below: reduced chi-square of the fits, "
        "monitor of the beam, and the time from one frame to the next; averages over neighbouring frames in a long run."
    )
    yield ReportFigure("frames", "Frames", caption, figure, numbers)


def _draw_against_time(figure: SubFigure, run: RunSeries) -> None:
    panels = (_draw_chi_square, _draw_monitor, _draw_distances)
    axes = figure.subplots(len(panels), 1, sharex=True)
    for draw, one in zip(panels, axes, strict=True):
        draw(one, run)
    finish_time_axis(axes[-1], (float(np.nanmin(run.time_h)), float(np.nanmax(run.time_h))))


def _draw_totals(axes: Axes, totals: tuple[tuple[str, str, int], ...]) -> None:
    looks = dict(zip(STATES, ("#0072B2", "#E69F00", "#D55E00"), strict=True))
    hatches = dict(zip(STATES, ("", "///", "xxx"), strict=True))
    for place, (state, _, count) in enumerate(totals):
        axes.barh(
            place, count, color=looks.get(state, "0.5"), hatch=hatches.get(state, ""), edgecolor="white", linewidth=0
        )
    for place, (_, _, count) in enumerate(totals):
        axes.annotate(f"{count}", (count, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5)
    axes.set_yticks(range(len(totals)), [_name(state, reason) for state, reason, _ in totals])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("frames")


def _name(state: str, reason: str) -> str:
    return state.lower() + (f": {reason.lower().replace('_', ' ')}" if reason else "")


def _draw_chi_square(axes: Axes, run: RunSeries) -> None:
    chi_square = run.file.numbers("tracking/chi_square")
    if chi_square is not None and run.fitted_rows.size:
        axes.plot(run.marks_h, run.fitted.plain(chi_square), LOOKS[0].marker, color=LOOKS[0].colour, markersize=2.6)
    axes.axhline(1.0, color="0.7", linewidth=0.5)
    axes.set_ylabel("χ² of the fit")


def _draw_monitor(axes: Axes, run: RunSeries) -> None:
    monitor = run.file.numbers("frames/monitor")
    if monitor is not None:
        # A dark has next to none, and would flatten what the beam did.
        lit = np.isfinite(monitor) & (run.light if run.light.any() else True)
        grouping = grouping_from_rows(run.in_time_order(lit))
        look = LOOKS[2]
        axes.plot(grouping.plain(run.time_h), grouping.plain(monitor), look.marker, color=look.colour, markersize=2.6)
    axes.set_ylabel("monitor")


def _draw_distances(axes: Axes, run: RunSeries) -> None:
    rows = run.in_time_order(np.isfinite(run.time_h))
    distance_s = np.full(run.time_h.size, np.nan)
    distance_s[rows[1:]] = 3600 * np.diff(run.time_h[rows])
    grouping = grouping_from_rows(rows)
    look = LOOKS[1]
    shown = grouping.plain(distance_s)
    axes.plot(grouping.plain(run.time_h), shown, look.marker, color=look.colour, markersize=2.6)
    axes.set_ylabel("frame to\nframe (s)")
    from_zero(axes, shown)
