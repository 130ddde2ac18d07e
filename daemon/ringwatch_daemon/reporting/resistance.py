"""The resistance that each half-cycle ends with, and the short circuits it tells of."""

from collections.abc import Iterator

import numpy as np

from ringwatch_daemon.reporting.cell_series import CellSeries
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_file import NS_PER_H
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, ReportFigure, finish_time_axis, from_zero, stacked
from ringwatch_pipelines.short_circuits import (
    HalfCycleResistance,
    ShortCircuit,
    resistances_from_samples,
    short_circuit_test,
)


def resistance_figures(run: RunSeries) -> Iterator[ReportFigure]:
    """Resistance and noise of the voltage against time, unless V / I is known to be no resistance."""
    if run.cell is None or not run.symmetric:
        return
    found = _resistances(run.cell)
    if not any(np.isfinite(one.resistance_ohm) for one in found):
        return
    area = run.cell.area_cm2 if np.isfinite(run.cell.area_cm2) else 1.0
    unit = "Ω cm²" if np.isfinite(run.cell.area_cm2) else "Ω"
    resistance = np.array([one.resistance_ohm for one in found])
    noise = np.array([one.noise for one in found])
    verdicts = short_circuit_test(resistance_ohm=resistance, noise=noise)
    time_h = np.array([(one.end_ns - run.zero_ns) / NS_PER_H for one in found])
    figure, (above, below), _ = stacked(2, cell=False, panel_mm=40)
    above.plot(time_h, resistance * area, linestyle=":", linewidth=0.7, color="0.6")
    below.plot(time_h, 100 * noise, linestyle=":", linewidth=0.7, color="0.6")
    for look, verdict, name in zip(LOOKS, _NAMES, _NAMES.values(), strict=False):
        mine = np.array([one is verdict for one in verdicts])
        if mine.any():
            above.plot(time_h[mine], resistance[mine] * area, look.marker, color=look.colour, label=name)
            below.plot(time_h[mine], 100 * noise[mine], look.marker, color=look.colour)
    above.set_ylabel(f"resistance\n({unit})")
    from_zero(above, resistance * area)
    above.legend(loc="best")
    below.set_ylabel("noise of the\nvoltage (%)")
    from_zero(below, 100 * noise)
    finish_time_axis(below, (float(np.nanmin(time_h)), float(np.nanmax(time_h))))
    caption = (
        "Resistance |V|/|I| over the last 40 % of each half-cycle, and the step of the voltage from sample to sample "
        "over it. A half-cycle is compared with the twelve sound ones before it: a drop twice running or a jump in "
        "noise is a soft short circuit, a collapse to less than a tenth a hard one."
    )
    table = NumberTable(
        "resistance",
        (
            ("half-cycle", np.array([one.half_cycle for one in found], dtype=np.int64)),
            ("end / h", time_h),
            ("resistance / ohm", resistance),
            (f"resistance / {unit}", resistance * area),
            ("relative noise of the voltage", noise),
            ("verdict", np.array([verdict.value for verdict in verdicts], dtype=np.str_)),
        ),
    )
    yield ReportFigure("resistance", "Resistance and short circuits", caption, figure, (table,))


_NAMES = {
    ShortCircuit.NONE: "sound",
    ShortCircuit.SOFT: "soft short circuit",
    ShortCircuit.HARD: "hard short circuit",
    ShortCircuit.UNDETERMINED: "too few half-cycles before to compare",
}


def _resistances(cell: CellSeries) -> tuple[HalfCycleResistance, ...]:
    """Of every half-cycle that is over: the last one still runs, or was cut off."""
    over = cell.half_cycle < cell.half_cycle[-1]
    return resistances_from_samples(
        timestamp_ns=cell.timestamp_ns[over],
        voltage_V=cell.voltage_V[over],
        current_A=cell.current_A[over],
        half_cycle=cell.half_cycle[over],
    )
