"""What follows the cells, from the settings: reader, timeline and watch of each."""

from dataclasses import dataclass

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.cyclers.csv_file import CsvCyclerConfig
from ringwatch_daemon.cyclers.declarations import Declarations, FileCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_daemon.cyclers.live_epics import EpicsCyclerConfig
from ringwatch_daemon.cyclers.open_reader import CyclerConfig, open_reader
from ringwatch_daemon.settings import ClockMarkSettings, CyclerSettings, SampleSettings, Settings, ValueColumnSettings
from ringwatch_daemon.workers.cell_clock import CellClock
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_daemon.workers.cycler_stage import CyclerItem, CyclerStage
from ringwatch_pipelines.cell.activity import ActivityWatch
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.clock import ClockRelation
from ringwatch_pipelines.cell.clock_watch import ClockMark, ClockRule, ClockWatch
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline

CYCLER_CAPACITY = 64
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class CellSide:
    """What follows one cell; `stage` reads its cycler, None where it has none."""

    follower: CellFollower
    stage: CyclerStage | None = None


def cell_sides(settings: Settings, clock: Clock) -> tuple[CellSide, ...]:
    """What follows each cell of a run; the only one of a run without ``[[cells]]`` has no name."""
    if not settings.cells:
        return (_cell_side("", settings.sample, settings.cycler, clock),)
    return tuple(_cell_side(cell.name, cell.sample, cell.cycler, clock) for cell in settings.cells)


def _cell_side(name: str, sample: SampleSettings, cycler: CyclerSettings, clock: Clock) -> CellSide:
    config = _cycler_config(cycler)
    if config is None:
        return CellSide(CellFollower(name=name))
    found: Channel[CyclerItem] = Channel("cycler", CYCLER_CAPACITY)
    timeline = Timeline(max_gap_s=cycler.max_gap_s)
    declared = ClockRelation(cycler.clock_offset_s, cycler.clock_drift_ppm)
    measured = cycler.clock == "measured"
    coupler = Coupler(timeline, area_cm2=sample.area_cm2 or NAN, clock=declared, clock_may_change=measured)
    clock_watch = ClockWatch(timeline, ClockRule(declared, _clock_mark(cycler.clock_mark), cycler.clock_tracks))
    follower = CellFollower(
        name=name,
        found=found,
        coupler=coupler,
        watch=CellWatch(timeline) if sample.symmetric else None,
        activity=ActivityWatch(timeline, symmetric=sample.symmetric, area_cm2=sample.area_cm2 or NAN),
        clock=CellClock(watch=clock_watch, coupler=coupler, applied=measured, name=name),
    )
    return CellSide(follower, CyclerStage(reader=open_reader(config, clock=clock), found=found))


def _clock_mark(mark: ClockMarkSettings | None) -> ClockMark | None:
    if mark is None:
        return None
    return ClockMark(mark.attribute, mark.quantity, mark.attribute_threshold, mark.cycler_threshold, mark.at)


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
