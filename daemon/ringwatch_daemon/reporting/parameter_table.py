"""Lattice, size and strain at chosen times, with their uncertainties and changes since the start."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringwatch_daemon.dashboard.uncertainty import NO_VALUE, value_with_uncertainty
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_file import IntArray
from ringwatch_daemon.reporting.run_series import Kind, PhaseGroup, RunSeries
from ringwatch_daemon.reporting.style import UNITS
from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True)
class Cell:
    """One parameter at one time; NaN where it was not measured."""

    value: float
    sigma: float
    change_percent: float
    change_sigma_percent: float

    @property
    def text(self) -> str:
        """As crystallographers write it, with the change since the start."""
        return value_with_uncertainty(self.value, self.sigma)

    @property
    def change(self) -> str:
        """Change since the start in per cent, empty where there is none."""
        text = value_with_uncertainty(self.change_percent, self.change_sigma_percent)
        return "" if text == NO_VALUE else f"{'+' if self.change_percent > 0 else ''}{text} %"


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """Parameters (rows) at times (columns).

    Parameters
    ----------
    asked
        What was asked for: ``start``, ``end`` or the hours.
    times_h
        Time of the frame whose fit is nearest; NaN where the run was not there.
    labels
        (phase, parameter, unit) of each row.
    cells
        One tuple a row, one entry a time.
    """

    asked: tuple[str, ...]
    times_h: tuple[float, ...]
    labels: tuple[tuple[str, str, str], ...]
    cells: tuple[tuple[Cell, ...], ...]

    def numbers(self) -> NumberTable:
        """The table as plain numbers, a line for each parameter and time."""
        lines = [
            (*label, asked, time_h, cell)
            for label, row in zip(self.labels, self.cells, strict=True)
            for asked, time_h, cell in zip(self.asked, self.times_h, row, strict=True)
        ]
        texts = [np.array([str(line[place]) for line in lines], dtype=np.str_) for place in range(4)]
        cells = [line[5] for line in lines]
        return NumberTable(
            "parameters",
            (
                ("phase", texts[0]),
                ("parameter", texts[1]),
                ("unit", texts[2]),
                ("asked for", texts[3]),
                ("time / h", np.array([line[4] for line in lines], dtype=np.float64)),
                ("value", np.array([cell.value for cell in cells], dtype=np.float64)),
                ("sigma", np.array([cell.sigma for cell in cells], dtype=np.float64)),
                ("change since the start / %", np.array([cell.change_percent for cell in cells], dtype=np.float64)),
                ("sigma of the change / %", np.array([cell.change_sigma_percent for cell in cells], dtype=np.float64)),
            ),
        )


def parameter_table(run: RunSeries, *, at_h: Sequence[float]) -> ParameterTable | None:
    """Every lattice parameter, size and strain at the start, at each of `at_h` and at the end.

    Each is that of the one frame whose fit is nearest in time, so that its uncertainty is that of the fit.
    Times outside the run get no values.
    """
    rows = run.fitted_rows
    if not rows.size:
        return None
    chosen = [int(rows[0]), *(_nearest(run, time_h) for time_h in at_h), int(rows[-1])]
    asked = ("start", *(f"{time_h:g} h" for time_h in at_h), "end")
    times_h = tuple(float(run.time_h[row]) if row >= 0 else float("nan") for row in chosen)
    labels, cells = [], []
    for phase in run.phases:
        for name in _names(run, phase):
            path = f"tracking/{phase.name}/{name}"
            value, sigma = run.file.numbers(path), run.file.numbers(f"{path}_errors")
            if value is None or sigma is None or not np.isfinite(value[rows]).any():
                continue
            unit = run.unit(f"{phase.name}/{name}")
            labels.append((phase.name, name.removesuffix("_nm"), UNITS.get(unit, unit)))
            start = _first_known(value, sigma, rows)
            cells.append(tuple(_cell(value, sigma, row, start, first=place == 0) for place, row in enumerate(chosen)))
    return ParameterTable(asked, times_h, tuple(labels), tuple(cells)) if labels else None


def _names(run: RunSeries, phase: PhaseGroup) -> tuple[str, ...]:
    if phase.kind is Kind.FREE:
        return (*run.lattice_names(phase), "size_nm", "strain")
    return run.lattice_names(phase)


def _nearest(run: RunSeries, time_h: float) -> int:
    """Row of the nearest fit, -1 where the run was not there."""
    first_h, last_h = run.span_h
    times_h = run.time_h[run.fitted_rows]
    usual_h = float(np.median(np.diff(times_h))) if times_h.size > 1 else 0.0
    if not first_h - usual_h <= time_h <= last_h + usual_h:
        return -1
    return int(run.fitted_rows[np.argmin(np.abs(times_h - time_h))])


def _first_known(value: FloatArray, sigma: FloatArray, rows: IntArray) -> tuple[float, float]:
    known = rows[np.isfinite(value[rows]) & np.isfinite(sigma[rows])]
    return (float(value[known[0]]), float(sigma[known[0]])) if known.size else (float("nan"), float("nan"))


def _cell(value: FloatArray, sigma: FloatArray, row: int, start: tuple[float, float], *, first: bool) -> Cell:
    nan = float("nan")
    if row < 0:
        return Cell(nan, nan, nan, nan)
    mine = float(value[row]), float(sigma[row])
    if first or not start[0]:
        return Cell(*mine, nan, nan)
    change = 100 * (mine[0] / start[0] - 1)
    spread = 100 * abs(mine[0] / start[0]) * float(np.hypot(mine[1] / mine[0], start[1] / start[0])) if mine[0] else nan
    return Cell(*mine, change, spread)
