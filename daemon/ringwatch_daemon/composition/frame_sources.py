"""Where frames come from, from the settings: a detector, or recorded files."""

from dataclasses import replace

from ringwatch_daemon.composition.recipes import metadata_names
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.core.ports import FrameSource
from ringwatch_daemon.settings import ScanSettings, Settings
from ringwatch_daemon.sources.area_detector import AreaDetectorPvs, perkin_elmer_pvs
from ringwatch_daemon.sources.channel_access import ChannelAccessSource, ChannelAccessSourceConfig
from ringwatch_daemon.sources.files import FileSource, FileSourceConfig
from ringwatch_daemon.sources.pva import PvaSource, PvaSourceConfig
from ringwatch_daemon.sources.scan_log import ScanLogConfig
from ringwatch_daemon.sources.scans import ScanSource, ScanSourceConfig
from ringwatch_daemon.sources.times import StampMarks


def file_source(settings: Settings, paths: tuple[str, ...], *, follow: bool = False) -> FileSource | ScanSource:
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
        names=metadata_names(settings),
        time_pattern=scan.time_pattern,
    )
    return ScanSource(config, SystemClock())


def live_source(settings: Settings) -> FrameSource:
    """The detector, over the protocol of the configuration."""
    detector, clock = settings.detector, SystemClock()
    if settings.scan is not None and detector.protocol != "files":
        raise SettingsError(f"scan: scans come as files, but detector.protocol is {detector.protocol}")
    if detector.protocol == "files":
        if not settings.files.paths:
            raise SettingsError("detector.protocol is files, but files.paths names none to be followed")
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
    metadata = usual.metadata + tuple(detector.pvs.items()) + monitor
    return replace(usual, metadata=metadata, cell=detector.cell_pv if settings.cells else "")
