"""The resistance that each half-cycle ends with, and the short circuits it tells of."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from ringwatch_daemon.reporting.cell_series import CellSeries
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_file import NS_PER_H
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, ReportFigure, finish_time_axis, from_zero, stacked
from ringwatch_pipelines.cell.short_circuits import (
    HalfCycleResistance,
    ShortCircuit,
    resistances_from_samples,
    short_circuit_test,
)
from ringwatch_pipelines.patterns import FloatArray


def resistance_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """Resistance and noise of the voltage against time, unless V / I is known to be no resistance."""
    if run.cell is None or not run.symmetric:
        return
    found = _resistances(run.cell)
    if not any(np.isfinite(one.resistance_ohm) for one in found):
        return
    area = run.cell.area_cm2 if np.isfinite(run.cell.area_cm2) else 1.0
    unit = "Ω cm²" if np.isfinite(run.cell.area_cm2) else "Ω"
    names = ("resistance_ohm", "noise", "current_A")
    resistance, noise, current_A = (np.array([getattr(one, name) for one in found]) for name in names)
    verdicts = short_circuit_test(resistance_ohm=resistance, noise=noise, current_A=current_A)
    time_h = np.array([(one.end_ns - run.zero_ns) / NS_PER_H for one in found])
    figure, (above, below), _ = stacked(2, cell=False, panel_mm=40)
    _draw(above, time_h, resistance * area, verdicts)
    _draw(below, time_h, 100 * noise, verdicts)
    above.set_ylabel(f"resistance\n({unit})")
    above.legend(loc="best")
    below.set_ylabel("noise of the\nvoltage (%)")
    finish_time_axis(below, (float(np.nanmin(time_h)), float(np.nanmax(time_h))))
    table = NumberTable(
        "resistance",
        (
            ("half-cycle", np.array([one.half_cycle for one in found], dtype=np.int64)),
            ("end / h", time_h),
            ("resistance / ohm", resistance),
            (f"resistance / {unit}", resistance * area),
            ("relative noise of the voltage", noise),
            ("current / mA", 1e3 * current_A),
            ("verdict", np.array([verdict.value for verdict in verdicts], dtype=np.str_)),
        ),
    )
    yield ReportFigure("resistance", "Resistance and short circuits", _CAPTION, figure, (table,))


_CAPTION = (
    "Resistance |V|/|I| over the last 40 % of each half-cycle, and the step of the voltage from sample to sample over "
    "it. A half-cycle is compared with the twelve sound ones before it: a drop twice running or a jump in noise is a "
    "soft short circuit, a collapse to less than a tenth a hard one."
)
_NAMES = {
    ShortCircuit.NONE: "sound",
    ShortCircuit.SOFT: "soft short circuit",
    ShortCircuit.HARD: "hard short circuit",
    ShortCircuit.UNDETERMINED: "too few half-cycles before to compare",
}


def _draw(axes: Axes, time_h: FloatArray, values: FloatArray, verdicts: tuple[ShortCircuit, ...]) -> None:
    axes.plot(time_h, values, linestyle=":", linewidth=0.7, color="0.6")
    for look, (verdict, name) in zip(LOOKS, _NAMES.items(), strict=False):
        mine = np.array([one is verdict for one in verdicts])
        if mine.any():
            axes.plot(time_h[mine], values[mine], look.marker, color=look.colour, label=name)
    from_zero(axes, values)


def _resistances(cell: CellSeries) -> tuple[HalfCycleResistance, ...]:
    """Of every half-cycle that is over: the last one still runs, or was cut off."""
    over = cell.half_cycle < cell.half_cycle[-1]
    return resistances_from_samples(
        timestamp_ns=cell.timestamp_ns[over],
        voltage_V=cell.voltage_V[over],
        current_A=cell.current_A[over],
        half_cycle=cell.half_cycle[over],
    )
