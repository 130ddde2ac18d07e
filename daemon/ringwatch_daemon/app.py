"""The composition root: the one place that knows settings, sources, cyclers, workers and sinks."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event as StopRequest

from threadpoolctl import threadpool_limits

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.clock import NS_PER_S, Clock, SystemClock
from ringwatch_daemon.core.columns import columns_from_tracked, fixed_tables_from_tracked
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.core.heartbeat import Heartbeat
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.ports import FrameSource, Sink
from ringwatch_daemon.core.records import Record, RunStart
from ringwatch_daemon.core.service_notify import ServiceNotifier
from ringwatch_daemon.cyclers.csv_file import CsvCyclerConfig
from ringwatch_daemon.cyclers.declarations import Declarations, FileCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_daemon.cyclers.live_epics import EpicsCyclerConfig
from ringwatch_daemon.cyclers.open_reader import CyclerConfig, open_reader
from ringwatch_daemon.provenance import provenance_of
from ringwatch_daemon.recipes import metadata_names, recipe_from_settings, scan_recipe_from_settings
from ringwatch_daemon.settings import CyclerSettings, ScanSettings, Settings, StreamSettings, ValueColumnSettings
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sinks.cut_off_run import CutOffRun, find_cut_off_run
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.resumable_file import ResumableFile, fingerprint_of
from ringwatch_daemon.sinks.run_memory import SEQUENCE, memory_folder
from ringwatch_daemon.sinks.sequence_mark import SequenceMark
from ringwatch_daemon.sinks.service_status import ServiceStatus
from ringwatch_daemon.sinks.zmq_publisher import CurveKeys, ZmqPublisher
from ringwatch_daemon.sources.area_detector import AreaDetectorPvs, perkin_elmer_pvs
from ringwatch_daemon.sources.channel_access import ChannelAccessSource, ChannelAccessSourceConfig
from ringwatch_daemon.sources.files import FileSource, FileSourceConfig
from ringwatch_daemon.sources.first_scan import BegunByFirstScan
from ringwatch_daemon.sources.pva import PvaSource, PvaSourceConfig
from ringwatch_daemon.sources.scan_log import ScanLogConfig
from ringwatch_daemon.sources.scans import ScanSource, ScanSourceConfig
from ringwatch_daemon.sources.times import StampMarks
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cycler_stage import CyclerItem, CyclerStage
from ringwatch_daemon.workers.frame_spool import FrameSpool, SpoolRelease
from ringwatch_daemon.workers.run import Run
from ringwatch_daemon.workers.sink_stage import SinkStage
from ringwatch_daemon.workers.storage_trouble import Patience
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.scan_analysis import ScanAnalyser, ScanRecipe

LOG = logging.getLogger(__name__)
RECORDS_CAPACITY = 256
CYCLER_CAPACITY = 64
S_PER_H = 3600.0
BEAT_S = 5.0
BEAT_OF_WATCHDOG = 0.25
"""Part of the silence that a watchdog bears; systemd advises half of it or less."""
NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What one run is to be.

    Parameters
    ----------
    configuration
        Text that the settings came from, for the file.
    output
        File to write; by default one named after the time, in the run directory.
    overwrite
        Replace a file that is there.
    overflow
        What happens when frames come faster than they are analysed.
    publish
        Whether to open the live stream.
    tell
        Hears whether the source is connected, and one line about it, whenever that changes.
    watchers
        Sinks besides the file and the stream.
    heartbeat
        Beats while frames and records are taken as they come.
    resumable
        Keep beside the file what lets a later process go on with the run, should this one be cut off.
    resume_within_s
        Go on with a run of the same configuration that was cut off no longer ago; None for never.
    """

    settings: Settings
    configuration: str
    source: FrameSource
    overflow: Overflow
    output: Path | None = None
    overwrite: bool = False
    publish: bool = True
    tell: Callable[[bool, str], None] = lambda *_: None
    watchers: tuple[Sink, ...] = ()
    heartbeat: Heartbeat | None = None
    resumable: bool = False
    resume_within_s: float | None = None


def serve(config: Path, *, output: Path | None, fresh: bool = False, stop: StopRequest) -> None:
    """Run the daemon until `stop` is set; systemd, if it is there, is kept informed.

    Parameters
    ----------
    output
        File to write; by default one named after the time, in the run directory.
    fresh
        Begin a new run, also after one that was cut off.

    Raises
    ------
    RingwatchError
        The configuration is wrong, or a stage cannot go on.
    """
    settings = load_settings(config)
    service = ServiceNotifier.from_environment()
    every_s = BEAT_S if service.watchdog_s is None else service.watchdog_s * BEAT_OF_WATCHDOG
    # Recorded frames can be taken once more from their files, a detector's cannot.
    live, resume_hours = settings.detector.protocol != "files", settings.run.resume_hours
    plan = RunPlan(
        settings=settings,
        configuration=config.read_text(encoding="utf-8"),
        source=live_source(settings),
        overflow=Overflow.DROP_NEWEST if live else Overflow.WAIT,
        output=output,
        publish=settings.stream.enabled,
        tell=lambda connected, text: service.status(f"{'connected' if connected else 'not connected'}: {text}"),
        watchers=(ServiceStatus(service.status),),
        heartbeat=Heartbeat(beat=service.alive, every_s=every_s, clock=SystemClock()),
        resumable=live,
        resume_within_s=resume_hours * S_PER_H if live and resume_hours is not None and not fresh else None,
    )
    carry_out(
        plan,
        stop=stop,
        on_ready=lambda: service.ready("waiting for the detector"),
        on_stopping=lambda why: service.stopping(f"{why}; what waits is worked off"),
    )


def carry_out(
    plan: RunPlan,
    *,
    stop: StopRequest,
    on_ready: Callable[[], None] = lambda: None,
    on_stopping: Callable[[str], None] = lambda _: None,
) -> None:
    """Do one run from its first frame to its last record.

    Parameters
    ----------
    on_ready
        Called once every stage stands and frames would be taken.
    on_stopping
        Hears why no more frames are taken, before what waits is worked off.
    """
    # Every stage has a thread of its own; more threads inside linear algebra would only fight over the cores.
    with threadpool_limits(limits=1):
        built = build_run(plan)
        built.execute(stop, on_ready=on_ready, on_stopping=on_stopping)


def build_run(plan: RunPlan) -> Run:
    """Put the stages of a run together.

    Raises
    ------
    RingwatchError
        Something that the settings name cannot be read, opened or bound.
    """
    settings, clock = plan.settings, SystemClock()
    recipe = recipe_from_settings(settings) if settings.scan is None else scan_recipe_from_settings(settings)
    analyser = ScanAnalyser(recipe) if isinstance(recipe, ScanRecipe) else Analyser(recipe)
    facts = provenance_of(settings, recipe, configuration=plan.configuration)
    reported = tuple((phase.name, phase.reported_lines) for phase in settings.phases)

    def start_of(run_id: str, started_ns: int) -> RunStart:
        blank = analyser.blank()
        return RunStart(
            run_id=run_id,
            started_ns=started_ns,
            axis=analyser.axis,
            norm=analyser.norm,
            columns=columns_from_tracked(blank, reported=reported),
            fixed_tables=fixed_tables_from_tracked(blank),
            provenance=facts,
        )

    cut_off = _cut_off_run(plan, start_of("", 0), clock) if isinstance(analyser, Analyser) else None
    output = cut_off.path if cut_off is not None else plan.output or _output_of(settings, clock)
    if cut_off is None:
        _require_writable(output, overwrite=plan.overwrite)
    elif cut_off.resumption.checkpoint is not None and isinstance(analyser, Analyser):
        analyser.recall(cut_off.resumption.checkpoint.memory)

    spool = _spool_of(plan, output)
    intake = Intake(capacity=settings.detector.queue_frames, overflow=plan.overflow, clock=clock, spool=spool)
    if cut_off is not None:
        intake.take_up(() if spool is None else spool.recover(cut_off.resumption.newest_received))
    records: Channel[Record] = Channel("records", RECORDS_CAPACITY)
    cell = _cell_side(settings, clock)
    heartbeat = plan.heartbeat or Heartbeat(beat=lambda _: None, every_s=BEAT_S, clock=clock)
    parts = AnalysisParts(
        intake=intake,
        analyser=analyser,
        coupler=cell.coupler,
        cycler=cell.found,
        records=records,
        begin_run=partial(start_of, output.stem),
        clock=clock,
        tell=plan.tell,
        cell_watch=cell.watch,
        turned=heartbeat.stage("analysis"),
        remember=analyser.memory if plan.resumable and isinstance(analyser, Analyser) else None,
        resumed=None if cut_off is None else cut_off.resumption,
    )
    return Run(
        source=BegunByFirstScan(plan.source, analyser.begin) if isinstance(analyser, ScanAnalyser) else plan.source,
        intake=intake,
        analysis=AnalysisStage(parts),
        sinks=SinkStage(
            records=records,
            sinks=_sinks(plan, output, cut_off, spool),
            turned=heartbeat.stage("sinks"),
            patience=Patience(trouble_s=settings.run.storage_patience_s if plan.resumable else 0.0),
            clock=clock,
        ),
        cycler=cell.stage,
        ended=heartbeat.ended,
    )


@dataclass(frozen=True, slots=True)
class _CellSide:
    """What follows the cell; all None where no cycler is configured."""

    found: Channel[CyclerItem] | None = None
    stage: CyclerStage | None = None
    coupler: Coupler | None = None
    watch: CellWatch | None = None


def _cell_side(settings: Settings, clock: Clock) -> _CellSide:
    config = _cycler_config(settings.cycler)
    if config is None:
        return _CellSide()
    found: Channel[CyclerItem] = Channel("cycler", CYCLER_CAPACITY)
    timeline = Timeline(max_gap_s=settings.cycler.max_gap_s)
    return _CellSide(
        found=found,
        stage=CyclerStage(reader=open_reader(config, clock=clock), found=found),
        coupler=Coupler(timeline, area_cm2=settings.sample.area_cm2 or NAN),
        watch=CellWatch(timeline) if settings.sample.symmetric else None,
    )


def file_source(settings: Settings, paths: tuple[str, ...], *, follow: bool = False) -> FrameSource:
    """Recorded frames or scans; with `follow` also those that are still to come."""
    if settings.scan is not None:
        return _scan_source(settings, settings.scan, paths, follow=follow)
    config = FileSourceConfig(
        paths=paths,
        follow=follow,
        names=metadata_names(settings),
        time_zone=settings.files.time_zone,
        timestamp_marks=StampMarks(settings.files.timestamp_marks),
    )
    return FileSource(config, SystemClock())


def _scan_source(settings: Settings, scan: ScanSettings, paths: tuple[str, ...], *, follow: bool) -> ScanSource:
    log = scan.log
    config = ScanSourceConfig(
        paths=paths,
        follow=follow,
        log=None if log is None else ScanLogConfig(log.file, log.scan, log.start, log.end),
        time_zone=settings.files.time_zone,
        monitor_key=settings.detector.monitor.attribute,
    )
    return ScanSource(config, SystemClock())


def live_source(settings: Settings) -> FrameSource:
    """The detector, over the protocol of the configuration."""
    detector, clock = settings.detector, SystemClock()
    if settings.scan is not None and detector.protocol != "files":
        raise SettingsError(f"scan: scans come as files, but detector.protocol is {detector.protocol}")
    if detector.protocol == "files":
        return file_source(settings, tuple(map(str, settings.files.paths)), follow=True)
    marks = StampMarks(detector.timestamp_marks)
    if detector.protocol == "pva":
        pva = PvaSourceConfig(
            pv=detector.prefix + detector.pva_image,
            beside=_beside(settings, plugin=detector.pva_image.rpartition(":")[0] + ":"),
            names=metadata_names(settings),
            timestamp_marks=marks,
            stall_s=detector.stall_s,
        )
        return PvaSource(pva, clock)
    ca = ChannelAccessSourceConfig(
        plugin=detector.prefix + detector.ca_image,
        beside=_beside(settings, plugin=detector.ca_image),
        names=metadata_names(settings),
        timestamp_marks=marks,
        stall_s=detector.stall_s,
    )
    return ChannelAccessSource(ca, clock)


def _beside(settings: Settings, *, plugin: str) -> AreaDetectorPvs:
    detector = settings.detector
    usual = perkin_elmer_pvs(detector.prefix, camera=detector.camera, plugin=plugin)
    monitor = ((detector.monitor.pv, detector.monitor.pv),) if detector.monitor.pv else ()
    return replace(usual, metadata=usual.metadata + tuple(detector.pvs.items()) + monitor)


def _output_of(settings: Settings, clock: Clock) -> Path:
    started = datetime.fromtimestamp(clock.utc_ns() / NS_PER_S, tz=UTC)
    return settings.run.directory / f"{settings.run.name}-{started:%Y%m%dT%H%M%SZ}.h5"


def _require_writable(output: Path, *, overwrite: bool) -> None:
    """Raise SettingsError now, and not hours later with the first frame, where the file could not be made."""
    if output.exists() and not overwrite:
        raise SettingsError(f"expected a file that is not there yet, but {output} is: name another or remove it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"expected a folder for {output.name} in {output.parent}: {error.strerror}") from error
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise SettingsError(f"expected a file that can be written, but {output} cannot be")


def _cut_off_run(plan: RunPlan, start: RunStart, clock: Clock) -> CutOffRun | None:
    if plan.resume_within_s is None:
        return None
    return find_cut_off_run(
        plan.output or plan.settings.run.directory,
        fingerprint=fingerprint_of(start),
        max_age_s=plan.resume_within_s,
        now_ns=clock.utc_ns(),
    )


def _spool_of(plan: RunPlan, output: Path) -> FrameSpool | None:
    spool = plan.settings.spool
    if not plan.resumable or plan.overflow is Overflow.WAIT or spool.quota_GiB is None:
        return None
    folder = memory_folder(output) / "spool" if spool.directory is None else spool.directory / output.stem
    return FrameSpool(folder, quota_bytes=round(spool.quota_GiB * 2**30))


def _sinks(plan: RunPlan, output: Path, cut_off: CutOffRun | None, spool: FrameSpool | None) -> tuple[Sink, ...]:
    file = NexusFile(path=output, overwrite=plan.overwrite, resume=cut_off is not None)
    rows = None if cut_off is None else cut_off.resumption.totals.announced
    sinks: list[Sink] = [ResumableFile(output, file, resumed_rows=rows) if plan.resumable else file]
    if spool is not None:
        sinks.append(SpoolRelease(spool))
    if plan.publish:
        mark = SequenceMark(memory_folder(output) / SEQUENCE) if plan.resumable else None
        sinks.append(_publisher(plan.settings.stream, mark, None if cut_off is None else cut_off.next_seq))
    return (*sinks, *plan.watchers)


def _publisher(stream: StreamSettings, mark: SequenceMark | None, resumed_seq: int | None) -> ZmqPublisher:
    curve = None
    if stream.curve_directory is not None:
        curve = CurveKeys.from_directory(stream.curve_directory)
    return ZmqPublisher(
        endpoint=stream.endpoint,
        snapshot_endpoint=stream.snapshot_endpoint or None,
        curve=curve,
        insecure=stream.insecure,
        history_bytes=round(stream.history_MiB * 2**20),
        mark=mark,
        resumed_seq=resumed_seq,
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
