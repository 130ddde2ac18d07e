"""Recorded 1-D scans: files of patterns, also a folder that still grows."""

from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from threading import Event as StopRequest

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.folders import RecordedFiles, follow_files
from ringwatch_daemon.sources.metadata import MetadataNames, first_present, number_from_scalar
from ringwatch_daemon.sources.scan_files import SCAN_SUFFIXES, read_scans
from ringwatch_daemon.sources.scan_image import DURATION_KEY, ScanImage
from ringwatch_daemon.sources.scan_log import ScanLogConfig, times_from_log
from ringwatch_daemon.sources.times import Scalar, utc_ns_from_scalar, zone_from_name
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.scans import Scan

START_KEYS = ("start_time", "start", "started", "starttime", "date", "time", "datetime")
END_KEYS = ("end_time", "end", "ended", "endtime")


@dataclass(frozen=True, slots=True)
class ScanSourceConfig(RecordedFiles):
    """Which files, and when their scans were measured.

    Parameters
    ----------
    log
        Table with the time of each scan; None where the files tell it.
    monitor_key
        Header entry with the monitor, or empty.
    names
        Where the cell in the beam stands in a header.
    time_pattern
        `strptime` pattern of times in headers; None for the usual spellings.

    Notes
    -----
    Without a log and without a time in its header, a scan takes the modification time of its file as its end,
    and a warning says so: a copied file has the time of the copy.
    """

    log: ScanLogConfig | None = None
    monitor_key: str = ""
    names: MetadataNames = field(default_factory=MetadataNames)
    time_pattern: str | None = None


class ScanSource:
    """A `FrameSource` over recorded scans; it waits where the intake is full.

    Raises
    ------
    SettingsError
        The time zone is unknown.
    InputFileError
        Nothing is there under any of the paths.
    """

    def __init__(self, config: ScanSourceConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._zone: tzinfo | None = zone_from_name(config.time_zone)
        self._last_id = 0
        self._warned = False
        files = self._listed()
        config.require_some(files, "scans")
        self.expected = len(files)
        """Scans that there are, as far as is known: a file counts for one."""

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring every scan to `intake` in order; when following, until asked to stop."""
        intake.connection(connected=True, text=f"reading scans from {', '.join(self._config.paths)}")
        if self._config.follow:
            self._follow(intake, stop)
            return
        for file in self._listed():
            if stop.is_set():
                return
            self._take(Path(file), intake)

    def _listed(self) -> tuple[str, ...]:
        return self._config.listed(SCAN_SUFFIXES)

    def _follow(self, intake: FrameIntake, stop: StopRequest) -> None:
        def take(file: str, _: bool) -> bool:
            self._take(Path(file), intake)
            return True

        follow_files(self._config, listed=self._listed, take=take, clock=self._clock, stop=stop)

    def _take(self, path: Path, intake: FrameIntake) -> None:
        try:
            for index, image in enumerate(read_scans(path)):
                origin = str(path) if index == 0 else f"{path}[{index}]"
                scan = self._scan(image, path, origin, intake)
                self._last_id = scan.unique_id
                intake.frame(scan)
        except (InputFileError, PatternError) as error:
            self._last_id += 1
            text = str(error)
            now_ns = self._clock.utc_ns()
            intake.refused(unique_id=self._last_id, timestamp_ns=now_ns, reason=Reason.UNREADABLE, text=text)

    def _scan(self, image: ScanImage, path: Path, origin: str, intake: FrameIntake) -> Scan:
        start_ns, end_ns = self._times(image, path, intake)
        monitor = image.header.get(self._config.monitor_key.lower()) if self._config.monitor_key else None
        return Scan(
            unique_id=self._last_id + 1,
            start_ns=start_ns,
            end_ns=end_ns,
            received_ns=self._clock.utc_ns(),
            two_theta_deg=image.two_theta_deg,
            intensity=image.intensity,
            sigma=image.sigma,
            monitor=number_from_scalar(monitor),
            origin=origin,
            cell=self._config.names.cell_named(first_present(image.header, self._config.names.cell)),
        )

    def _times(self, image: ScanImage, path: Path, intake: FrameIntake) -> tuple[int, int]:
        if self._config.log is not None:
            return times_from_log(self._config.log, path, zone=self._zone)
        start_ns, why = self._header_ns(image, START_KEYS)
        if start_ns is not None:
            end_ns, _ = self._header_ns(image, END_KEYS)
            if end_ns is None:
                end_ns = start_ns + round(max(0.0, number_from_scalar(image.header.get(DURATION_KEY, 0.0))) * NS_PER_S)
            return start_ns, end_ns
        modified_ns = path.stat().st_mtime_ns
        if not self._warned:
            self._warned = True
            text = f"the modification time of the file stands for the time of the scan, since its header {why}: {path}"
            intake.warning(kind="FILE_TIME", text=text)
        return modified_ns, modified_ns

    def _header_ns(self, image: ScanImage, keys: tuple[str, ...]) -> tuple[int | None, str]:
        value = first_present(image.header, keys)
        if value is None:
            return None, "holds none"
        stamp = utc_ns_from_scalar(self._respelled(value), zone=self._zone)
        return stamp.utc_ns, stamp.problem or f"holds {value!r}, which is none"

    def _respelled(self, value: Scalar) -> Scalar:
        """A time as ISO 8601 where its spelling is declared."""
        if self._config.time_pattern is None or not isinstance(value, str):
            return value
        try:
            return datetime.strptime(value.strip(), self._config.time_pattern).isoformat()
        except ValueError:
            return value
