"""Recorded frames: files in any FabIO format or HDF5, also a folder that still grows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event as StopRequest

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.folders import NewFiles, files_of
from ringwatch_daemon.sources.images import FileImage, read_frames, split_dataset
from ringwatch_daemon.sources.metadata import (
    FrameDetails,
    MetadataNames,
    attributes_from_metadata,
    details_from_metadata,
    first_present,
    lower_keys,
    seconds_from_scalar,
)
from ringwatch_daemon.sources.times import Scalar, StampMarks, mid_exposure_ns, stamp_from_header, zone_from_name
from ringwatch_pipelines.frames import Frame

TIME_KEYS = (
    "timestamp_ns",
    "timeStamp",
    "time_of_day",
    "acquisition_time",
    "acq_time",
    "DateTime",
    "dateString",
    "Date",
    "time",
    "CREATED",
)
STACK_START_KEYS = ("start_time", "data_collection_date")
"""Keys of the time at which the first frame of a stack began."""
UNIQUE_ID_KEYS = ("uniqueId", "NDUniqueId", "NDArrayUniqueId", "unique_id")


@dataclass(frozen=True, slots=True)
class FileSourceConfig:
    """Which files, and how their headers are read.

    Parameters
    ----------
    paths
        Files, patterns or folders, in the order of acquisition; patterns and folders are sorted naturally.
        ``stack.h5::entry/data/data`` names the dataset of an HDF5 file.
    follow
        Go on watching folders and patterns for new files until asked to stop.
    names
        Where exposure, monitor and conditions stand in the headers.
    time_keys
        Header keys that may hold the acquisition time; areaDetector's own come first.
    unique_id_keys
        Header keys that may hold the frame's number. Where none does, frames are counted from 1.
    time_zone
        IANA name for header times without a zone. Empty: such a time is not used.
    timestamp_marks
        The moment of the exposure that the header's time, or the file's, marks.
    poll_s, settle_s, give_up_s
        When following: how often to look, how long a file must stand still before it is read, and
        how long an unreadable one may stand still, once there is a newer one, before it is refused.

    Notes
    -----
    A stack that tells only when it began has its frames counted on from there by ``frame_time`` or the exposure,
    and a warning says so. Without any usable time in the header, the frame takes the modification time of its
    file, and a warning says so: a copied file has the time of the copy.
    """

    paths: tuple[str, ...]
    follow: bool = False
    names: MetadataNames = field(default_factory=MetadataNames)
    time_keys: tuple[str, ...] = TIME_KEYS
    unique_id_keys: tuple[str, ...] = UNIQUE_ID_KEYS
    time_zone: str = ""
    timestamp_marks: StampMarks = StampMarks.END
    poll_s: float = 0.5
    settle_s: float = 1.0
    give_up_s: float = 30.0


class FileSource:
    """A `FrameSource` over recorded frames; it waits where the intake is full.

    Raises
    ------
    SettingsError
        The time zone is unknown.
    InputFileError
        Nothing is there under any of the paths.
    """

    def __init__(self, config: FileSourceConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._zone = zone_from_name(config.time_zone)
        self._last_id = 0
        self._ids_in_headers = False
        self._warned: set[str] = set()
        found = [file for path in config.paths for file in files_of(path) if split_dataset(file)[0].exists()]
        if not found and not config.follow:
            raise InputFileError(f"expected frames, got nothing at {', '.join(config.paths) or 'no path at all'}")

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring every frame to `intake` in order; when following, until asked to stop."""
        intake.connection(connected=True, text=f"reading frames from {', '.join(self._config.paths)}")
        if self._config.follow:
            self._follow(intake, stop)
            return
        for file in self._listed():
            if stop.is_set():
                return
            self._take(file, intake, stop)

    def _listed(self) -> Iterator[str]:
        for path in self._config.paths:
            yield from files_of(path)

    def _follow(self, intake: FrameIntake, stop: StopRequest) -> None:
        new_files = NewFiles()
        taken: set[str] = set()
        waiting: list[str] = []
        while not stop.is_set():
            waiting = [name for name in self._listed() if name not in taken]
            newest = waiting[-1:]
            for file in waiting:
                unchanged_s = new_files.unchanged_for_s(file, now_s=self._clock.monotonic_s())
                # The newest may still be in the making, however long it stands still.
                refuse = unchanged_s >= self._config.give_up_s and file not in newest
                if unchanged_s < self._config.settle_s or not self._take(file, intake, stop, refuse=refuse):
                    break  # the order of acquisition is kept: later files wait for this one
                taken.add(file)
            stop.wait(self._config.poll_s)
        for file in waiting:
            if file not in taken:
                self._refuse(Reason.UNREADABLE, f"expected a whole image before the end, got none from {file}", intake)

    def _take(self, file: str, intake: FrameIntake, stop: StopRequest, *, refuse: bool = True) -> bool:
        """Hand over the frames of a file; False where it cannot be read and is not to be refused yet."""
        frames = read_frames(file)
        handed_over = 0
        while not stop.is_set():
            try:
                image = next(frames)
            except StopIteration:
                return True
            except InputFileError as error:
                if not refuse and not handed_over:
                    return False
                self._refuse(Reason.UNREADABLE, str(error), intake)
                return True
            self._hand_over(image, file, intake)
            handed_over += 1
        return True

    def _hand_over(self, found: FileImage, file: str, intake: FrameIntake) -> None:
        if found.image.dtype.kind not in "iuf":
            text = f"expected counts, got pixels of type {found.image.dtype} from {file}"
            self._refuse(Reason.WRONG_TYPE, text, intake)
            return
        header = lower_keys(found.header)
        details = details_from_metadata(header, self._config.names)
        intake.frame(
            Frame(
                unique_id=self._next_id(header),
                timestamp_ns=self._timestamp_ns(found.index, header, file, details, intake),
                received_ns=self._clock.utc_ns(),
                exposure_s=details.exposure_s,
                image=found.image,
                monitor=details.monitor,
                origin=file if found.index == 0 else f"{file}[{found.index}]",
                kind=details.kind,
                conditions=details.conditions,
                offset_subtracted=details.offset_subtracted,
                attributes=attributes_from_metadata(found.header),
                cell=details.cell,
            )
        )

    def _next_id(self, header: dict[str, Scalar]) -> int:
        value = first_present(header, self._config.unique_id_keys)
        if isinstance(value, int) and value >= 0:
            self._ids_in_headers = True
            self._last_id = value
        else:
            self._last_id += 1
        return self._last_id

    def _timestamp_ns(
        self, index: int, header: dict[str, Scalar], file: str, details: FrameDetails, intake: FrameIntake
    ) -> int:
        marks, exposure_s = self._config.timestamp_marks, details.exposure_s
        stamp = stamp_from_header(header, keys=self._config.time_keys, zone=self._zone)
        if stamp.utc_ns is not None:
            return mid_exposure_ns(stamp_ns=stamp.utc_ns, exposure_s=exposure_s, marks=marks)
        start = stamp_from_header(header, keys=STACK_START_KEYS, zone=self._zone)
        if start.utc_ns is not None:
            started_ns = start.utc_ns + self._ns_into_stack(index, header, exposure_s, file, intake)
            return mid_exposure_ns(stamp_ns=started_ns, exposure_s=exposure_s, marks=StampMarks.START)
        why = stamp.problem or start.problem or "holds no acquisition time"
        text = f"the modification time of the file stands for the acquisition time, since the header {why}: {file}"
        self._warn_once("FILE_TIME", text, intake)
        return mid_exposure_ns(stamp_ns=self._modified_ns(file), exposure_s=exposure_s, marks=marks)

    def _ns_into_stack(
        self, index: int, header: dict[str, Scalar], exposure_s: float, file: str, intake: FrameIntake
    ) -> int:
        """From the start of a stack to the start of one of its frames."""
        if index == 0:
            return 0
        frame_s = seconds_from_scalar(first_present(header, ("frame_time",)))
        step_s = frame_s if frame_s > 0 else exposure_s
        known = step_s > 0
        how = f"counted on from its start by {step_s:g} s a frame" if known else "that of its start for every frame"
        self._warn_once("FILE_TIME", f"the time of a frame in the stack is {how}: {file}", intake)
        return round(index * step_s * NS_PER_S) if known else 0

    def _modified_ns(self, file: str) -> int:
        try:
            return split_dataset(file)[0].stat().st_mtime_ns
        except OSError:  # taken away since it was read
            return self._clock.utc_ns()

    def _refuse(self, reason: Reason, text: str, intake: FrameIntake) -> None:
        unique_id = None
        if not self._ids_in_headers:
            self._last_id += 1
            unique_id = self._last_id
        intake.refused(unique_id=unique_id, timestamp_ns=self._clock.utc_ns(), reason=reason, text=text)

    def _warn_once(self, kind: str, text: str, intake: FrameIntake) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            intake.warning(kind=kind, text=text)
