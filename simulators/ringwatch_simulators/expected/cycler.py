"""How the cycler of an expected beamline writes."""

from dataclasses import replace

from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.cycler_table import Column, CyclerTable, TimeForm
from ringwatch_simulators.expected.beamline import ExpectedColumn, ExpectedCycler, ExpectedTable


def expected_cycler_options(cycler: ExpectedCycler, usual: CyclerOptions) -> CyclerOptions:
    """The file of a cycler and its columns; a file that is there already is not written over."""
    if cycler.file is None:
        return usual
    time = cycler.table.time
    form = TimeForm(time.kind, time.unit, time.pattern, time.zone or "UTC", time.zone is not None, time.start)
    return replace(usual, path=cycler.file, table=_table(cycler.table), time=form, spares_foreign=True)


def _table(told: ExpectedTable) -> CyclerTable:
    columns = [Column(told.time.name, "time")]
    columns += [Column(told.test_time, "test_time")] if told.test_time is not None else []
    columns += (
        _measured("voltage", told.voltage) + _measured("current", told.current) + _measured("charge", told.charge)
    )
    columns += [Column(name, what) for what, name in (("cycle", told.cycle), ("step", told.step)) if name is not None]
    return CyclerTable(tuple(columns), told.separator, told.decimal, told.header_line - 1)


def _measured(what: str, column: ExpectedColumn | None) -> list[Column]:
    return [] if column is None else [Column(column.name, what, column.unit, digits=9)]
