"""The composition root: the one place that knows settings, sources, cyclers, workers and sinks."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event as StopRequest

from threadpoolctl import threadpool_limits

from ringwatch_daemon.composition.cell_side import cell_sides
from ringwatch_daemon.composition.frame_sources import live_source
from ringwatch_daemon.composition.outputs import result_pvs_of, sinks_of, written_run
from ringwatch_daemon.composition.reading import source_of
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.composition.science import science_of
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.heartbeat import Heartbeat
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.record_channel import RecordChannel
from ringwatch_daemon.core.service_notify import ServiceNotifier
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sinks.service_status import ServiceStatus
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.run import Run
from ringwatch_daemon.workers.sink_stage import SinkStage
from ringwatch_daemon.workers.storage_trouble import Patience

LOG = logging.getLogger(__name__)
RECORDS_CAPACITY = 256
CYCLER_CAPACITY = 64
S_PER_H = 3600.0
BEAT_S = 5.0
BEAT_OF_WATCHDOG = 0.25
"""Part of the silence that a watchdog bears; systemd advises half of it or less."""
NAN = float("nan")


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
        watchers=(ServiceStatus(service.status), *result_pvs_of(settings)),
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
    science = science_of(plan)
    written = written_run(plan, partial(science.run_start, "", 0), clock, resumable=science.memory is not None)
    science.go_on_from(written.resumption)
    intake = Intake(capacity=settings.detector.queue_frames, overflow=plan.overflow, clock=clock, spool=written.spool)
    intake.take_up(written.waiting())
    records = RecordChannel("records", RECORDS_CAPACITY)
    cells = cell_sides(settings, clock)
    heartbeat = plan.heartbeat or Heartbeat(beat=lambda _: None, every_s=BEAT_S, clock=clock)
    parts = AnalysisParts(
        intake=intake,
        analyser=science.analyser,
        records=records,
        begin_run=partial(science.run_start, written.path.stem),
        clock=clock,
        tell=plan.tell,
        cells=tuple(cell.follower for cell in cells),
        turned=heartbeat.stage("analysis"),
        remember=science.memory if plan.resumable else None,
        resumed=written.resumption,
    )
    return Run(
        source=source_of(plan, science),
        intake=intake,
        analysis=AnalysisStage(parts),
        sinks=SinkStage(
            records=records,
            sinks=sinks_of(plan, written),
            turned=heartbeat.stage("sinks"),
            patience=Patience(trouble_s=settings.run.storage_patience_s if plan.resumable else 0.0),
            clock=clock,
        ),
        cyclers=tuple(cell.stage for cell in cells if cell.stage is not None),
        ended=heartbeat.ended,
        silent=heartbeat.silent,
    )
