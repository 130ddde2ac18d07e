"""What follows the cell, from the settings: its reader, its timeline, its watch."""

from dataclasses import dataclass

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.cyclers.csv_file import CsvCyclerConfig
from ringwatch_daemon.cyclers.declarations import Declarations, FileCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_daemon.cyclers.live_epics import EpicsCyclerConfig
from ringwatch_daemon.cyclers.open_reader import CyclerConfig, open_reader
from ringwatch_daemon.settings import CyclerSettings, Settings, ValueColumnSettings
from ringwatch_daemon.workers.cycler_stage import CyclerItem, CyclerStage
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline

CYCLER_CAPACITY = 64
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class CellSide:
    """What follows the cell; all None where no cycler is configured."""

    found: Channel[CyclerItem] | None = None
    stage: CyclerStage | None = None
    coupler: Coupler | None = None
    watch: CellWatch | None = None


def cell_side(settings: Settings, clock: Clock) -> CellSide:
    """The reader, the timeline and the watch of the configured cycler."""
    config = _cycler_config(settings.cycler)
    if config is None:
        return CellSide()
    found: Channel[CyclerItem] = Channel("cycler", CYCLER_CAPACITY)
    timeline = Timeline(max_gap_s=settings.cycler.max_gap_s)
    return CellSide(
        found=found,
        stage=CyclerStage(reader=open_reader(config, clock=clock), found=found),
        coupler=Coupler(timeline, area_cm2=settings.sample.area_cm2 or NAN),
        watch=CellWatch(timeline) if settings.sample.symmetric else None,
    )


def _cycler_config(settings: CyclerSettings) -> CyclerConfig | None:
    if settings.kind == "csv" and settings.file is not None:
        return CsvCyclerConfig(settings.file, _table_layout(settings), settings.clock_offset_s)
    if settings.kind == "file" and settings.file is not None:
        declared = Declarations(settings.zone, settings.start, settings.time_pattern, settings.clock_offset_s)
        return FileCyclerConfig(settings.file, declared)
    if settings.kind == "epics":
        return EpicsCyclerConfig(
            voltage_pv=settings.voltage_pv, current_pv=settings.current_pv, clock_offset_s=settings.clock_offset_s
        )
    return None


def _table_layout(settings: CyclerSettings) -> TableLayout:
    table = settings.table
    time = table.time
    return TableLayout(
        time=TimeColumn(time.column, time.kind, time.unit, time.pattern, time.zone, time.start),
        voltage=_value_column(table.voltage),
        current=_value_column(table.current),
        charge=_value_column(table.charge),
        cycle=table.cycle,
        step=table.step,
        separator=table.separator,
        decimal=table.decimal,
        header_line=table.header_line,
    )


def _value_column(column: ValueColumnSettings | None) -> ValueColumn | None:
    return None if column is None else ValueColumn(column.column, column.unit)
