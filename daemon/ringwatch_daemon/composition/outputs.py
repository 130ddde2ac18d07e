"""Where a run is written, what of it is gone on with, and who hears of it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.errors import SettingsError, StorageError
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.core.ports import Sink
from ringwatch_daemon.core.records import RunStart
from ringwatch_daemon.core.resumption import Resumption
from ringwatch_daemon.settings import CyclerSettings, Settings, StreamSettings
from ringwatch_daemon.sinks.cut_off_run import CutOffRun, find_cut_off_run
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.result_pvs import ResultPvs
from ringwatch_daemon.sinks.resumable_file import ResumableFile, fingerprint_of
from ringwatch_daemon.sinks.run_memory import SEQUENCE, memory_folder
from ringwatch_daemon.sinks.run_parts import parts_there
from ringwatch_daemon.sinks.sequence_mark import SequenceMark
from ringwatch_daemon.sinks.zmq_publisher import CurveKeys, ZmqPublisher
from ringwatch_daemon.workers.frame_spool import FrameSpool, SpooledFrame, SpoolRelease
from ringwatch_pipelines.errors import RingwatchError

UNPUBLISHED_S = 1.0
"""Longest time that results wait for the file of a run that nobody listens to."""


@dataclass(frozen=True, slots=True)
class WrittenRun:
    """What a run is written to.

    Parameters
    ----------
    path
        Its file.
    cut_off
        The run that is gone on with; None for a new one.
    spool
        Where frames wait on disk; None where none do.
    """

    path: Path
    cut_off: CutOffRun | None
    spool: FrameSpool | None

    @property
    def resumption(self) -> Resumption | None:
        """What the file of the run that is gone on with has; None for a new run."""
        return None if self.cut_off is None else self.cut_off.resumption

    def waiting(self) -> tuple[SpooledFrame, ...]:
        """Frames that an earlier process left on disk, in their order."""
        if self.cut_off is None or self.spool is None:
            return ()
        return self.spool.recover(self.cut_off.resumption.newest_received)


def written_run(plan: RunPlan, begin: Callable[[], RunStart], clock: Clock, *, resumable: bool) -> WrittenRun:
    """Settle where a run is written: a new file, or that of a run which was cut off.

    Parameters
    ----------
    begin
        Makes the beginning of the run, which one that was cut off must share; of scans it is known with the first only.
    resumable
        Whether the analysis can take a run up again.

    Raises
    ------
    SettingsError
        There is no place for the file.
    StorageError
        The disk of a service does not take it now.
    """
    cut_off = _cut_off_run(plan, begin(), clock) if resumable else None
    path = cut_off.path if cut_off is not None else plan.output or _path_of(plan.settings, clock)
    if cut_off is None:
        _require_free(path, overwrite=plan.overwrite)
        # A service is started again, and the disk may be back by then; a call has to be mended.
        _require_writable(path, StorageError if plan.resumable else SettingsError)
    return WrittenRun(path, cut_off, _spool_of(plan, path))


def sinks_of(plan: RunPlan, written: WrittenRun) -> tuple[Sink, ...]:
    """The file first, then the stream, then who else watches."""
    cut_off = written.cut_off
    file = NexusFile(
        path=written.path,
        overwrite=plan.overwrite,
        resume=cut_off is not None,
        part_rows=plan.settings.run.part_rows,
        # A result is in the file before it is published; where nothing is, larger batches cost less.
        interval_s=0.0 if plan.publish else UNPUBLISHED_S,
    )
    rows = None if cut_off is None else cut_off.resumption.totals.announced
    sinks: list[Sink] = [ResumableFile(written.path, file, resumed_rows=rows) if plan.resumable else file]
    if written.spool is not None:
        sinks.append(SpoolRelease(written.spool))
    if plan.publish:
        mark = SequenceMark(memory_folder(written.path) / SEQUENCE) if plan.resumable else None
        sinks.append(_publisher(plan.settings.stream, mark, None if cut_off is None else cut_off.next_seq))
    return (*sinks, *plan.watchers)


def result_pvs_of(settings: Settings) -> tuple[Sink, ...]:
    """The results' process variables, where a prefix asks for them."""
    asked = settings.result_pvs
    return (ResultPvs(asked.prefix, interval_s=asked.interval_s),) if asked.prefix else ()


def _path_of(settings: Settings, clock: Clock) -> Path:
    started = datetime.fromtimestamp(clock.utc_ns() / NS_PER_S, tz=UTC)
    return settings.run.directory / f"{settings.run.name}-{started:%Y%m%dT%H%M%SZ}.h5"


def _require_free(output: Path, *, overwrite: bool) -> None:
    """Raise SettingsError where a file would be written over."""
    for there in (output, *parts_there(output)):
        if there.exists() and not overwrite:
            raise SettingsError(f"expected a file that is not there yet, but {there} is: name another or remove it")
    if output.is_dir():
        raise SettingsError(f"expected a file that can be written, but {output} is a folder")


def _require_writable(output: Path, wrong: type[RingwatchError]) -> None:
    """Raise now, and not hours later with the first frame, where the file could not be made."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        # No disk that comes back mends a file in the place of a folder.
        raise SettingsError(f"expected a folder for {output.name} in {output.parent}: {error.strerror}") from error
    except OSError as error:
        raise wrong(f"expected a folder for {output.name} in {output.parent}: {error.strerror}") from error
    if not os.access(output.parent, os.W_OK):
        raise wrong(f"expected a file that can be written, but {output} cannot be")


def _cut_off_run(plan: RunPlan, start: RunStart, clock: Clock) -> CutOffRun | None:
    if plan.resume_within_s is None:
        return None
    return find_cut_off_run(
        plan.output or plan.settings.run.directory,
        fingerprint=fingerprint_of(start),
        max_age_s=plan.resume_within_s,
        now_ns=clock.utc_ns(),
        has_cycler=any(cycler.kind != "none" for cycler in _cyclers(plan.settings)),
    )


def _cyclers(settings: Settings) -> tuple[CyclerSettings, ...]:
    return (settings.cycler, *(cell.cycler for cell in settings.cells))


def _spool_of(plan: RunPlan, output: Path) -> FrameSpool | None:
    spool = plan.settings.spool
    if not plan.resumable or plan.overflow is Overflow.WAIT or spool.quota_GiB is None:
        return None
    folder = memory_folder(output) / "spool" if spool.directory is None else spool.directory / output.stem
    return FrameSpool(folder, quota_bytes=round(spool.quota_GiB * 2**30))


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
