"""Recorded frames: files in any FabIO format or HDF5, also a folder that still grows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from threading import Event as StopRequest

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.folders import RecordedFiles, follow_files
from ringwatch_daemon.sources.frame_reading import (
    TIME_KEYS,
    UNIQUE_ID_KEYS,
    FrameReading,
    ReadFrame,
    ReadStretch,
    Stretch,
)
from ringwatch_daemon.sources.images import split_dataset
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.read_ahead import ReadersOf, read_in_order
from ringwatch_daemon.sources.times import StampMarks, mid_exposure_ns, zone_from_name
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.reduction.counting import FrameCounter, with_counts


@dataclass(frozen=True, slots=True)
class FileSourceConfig(RecordedFiles):
    """Which files, and how their headers are read.

    Parameters
    ----------
    names
        Where exposure, monitor and conditions stand in the headers.
    time_keys
        Header keys that may hold the acquisition time; areaDetector's own come first.
    unique_id_keys
        Header keys that may hold the frame's number. Where none does, frames are counted from 1.
    timestamp_marks
        The moment of the exposure that the header's time, or the file's, marks.

    Notes
    -----
    A stack that tells only when it began has its frames counted on from there by ``frame_time`` or the exposure,
    and a warning says so. Without any usable time in the header, the frame takes the modification time of its
    file, and a warning says so: a copied file has the time of the copy.
    """

    names: MetadataNames = field(default_factory=MetadataNames)
    time_keys: tuple[str, ...] = TIME_KEYS
    unique_id_keys: tuple[str, ...] = UNIQUE_ID_KEYS
    timestamp_marks: StampMarks = StampMarks.END


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """How files are read before the analysis asks for them.

    Parameters
    ----------
    readers_of
        Makes those who read.
    counter
        Counts the frames where they are read; None to leave that to the analysis.
    needs_images
        Whether frames have to bring their images although they are counted.
    """

    readers_of: ReadersOf
    counter: FrameCounter | None = None
    needs_images: Callable[[], bool] = lambda: True


class FileSource:
    """A `FrameSource` over recorded frames; it waits where the intake is full.

    A file is read when its turn has come, unless `read_ahead` is called before the run.

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
        self._ahead: ReadAhead | None = None
        self._reading = FrameReading(
            names=config.names,
            time_keys=config.time_keys,
            unique_id_keys=config.unique_id_keys,
            zone=zone_from_name(config.time_zone),
        )
        self._last_id = 0
        self._ids_in_headers = False
        self._warned: set[str] = set()
        files = config.listed()
        config.require_some(files, "frames")
        self._expected = len(files)

    @property
    def expected(self) -> int:
        """Frames that there are, as far as is known: a file counts for one until it is opened."""
        return self._expected

    def read_ahead(self, ahead: ReadAhead) -> None:
        """Have the files read before the analysis asks for them; of no effect when following a folder."""
        self._ahead = ahead

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring every frame to `intake` in order; when following, until asked to stop."""
        intake.connection(connected=True, text=f"reading frames from {', '.join(self._config.paths)}")
        if self._config.follow:
            self._follow(intake, stop)
        elif self._ahead is not None:
            self._run_ahead(self._ahead, intake, stop)
        else:
            for file in self._config.listed():
                self._take(file, intake, stop)

    def _run_ahead(self, ahead: ReadAhead, intake: FrameIntake, stop: StopRequest) -> None:
        readers = ahead.readers_of(replace(self._reading, counter=ahead.counter))
        try:
            files = self._config.listed()
            for file, read in read_in_order(files, readers, keep_images=ahead.needs_images, stop=stop):
                self._hand_over_all(file, read, intake, stop)
        finally:
            readers.close()

    def _follow(self, intake: FrameIntake, stop: StopRequest) -> None:
        left = follow_files(
            self._config,
            listed=self._config.listed,
            take=lambda file, refuse: self._take(file, intake, stop, refuse=refuse),
            clock=self._clock,
            stop=stop,
        )
        for file in left:
            self._refuse(Reason.UNREADABLE, f"expected a whole image before the end, got none from {file}", intake)

    def _take(self, file: str, intake: FrameIntake, stop: StopRequest, *, refuse: bool = True) -> bool:
        """Hand over the frames of a file; False where it cannot be read and is not to be refused yet."""
        for first, read in enumerate(self._stretches(file, stop)):
            if read.problem and not refuse and not first and not read.frames:
                return False
            self._hand_over_all(file, read, intake, stop)
        return True

    def _stretches(self, file: str, stop: StopRequest) -> Iterator[ReadStretch]:
        first, count = 0, 1
        while first < count and not stop.is_set():
            read = self._reading.read(Stretch(file, first))
            yield read
            first, count = first + len(read.frames), 0 if read.problem else read.count

    def _hand_over_all(self, file: str, read: ReadStretch, intake: FrameIntake, stop: StopRequest) -> None:
        whole = max(read.count, 1)
        if read.first == 0:
            self._expected += whole - 1
        if read.problem:
            # What was not read makes one row, which says why.
            self._expected += read.first + len(read.frames) + 1 - whole
        for found in read.frames:
            if stop.is_set():
                return
            self._hand_over(found, file, intake)
        if read.problem:
            self._refuse(Reason.UNREADABLE, read.problem, intake)

    def _hand_over(self, found: ReadFrame, file: str, intake: FrameIntake) -> None:
        if found.dtype.kind not in "iuf":
            text = f"expected counts, got pixels of type {found.dtype} from {file}"
            self._refuse(Reason.WRONG_TYPE, text, intake)
            return
        details = found.details
        frame = Frame(
            unique_id=self._next_id(found.told_id),
            timestamp_ns=self._timestamp_ns(found, file, intake),
            received_ns=self._clock.utc_ns(),
            exposure_s=details.exposure_s,
            image=found.image,
            monitor=details.monitor,
            origin=file if found.index == 0 else f"{file}[{found.index}]",
            kind=details.kind,
            conditions=details.conditions,
            offset_subtracted=details.offset_subtracted,
            attributes=found.attributes,
            cell=details.cell,
        )
        intake.frame(frame if found.counts is None else with_counts(frame, found.counts))

    def _next_id(self, told: int | None) -> int:
        if told is None:
            self._last_id += 1
        else:
            self._ids_in_headers = True
            self._last_id = told
        return self._last_id

    def _timestamp_ns(self, found: ReadFrame, file: str, intake: FrameIntake) -> int:
        marks, exposure_s = self._config.timestamp_marks, found.details.exposure_s
        if found.stamp.utc_ns is not None:
            return mid_exposure_ns(stamp_ns=found.stamp.utc_ns, exposure_s=exposure_s, marks=marks)
        if found.start.utc_ns is not None:
            started_ns = found.start.utc_ns + self._ns_into_stack(found, file, intake)
            return mid_exposure_ns(stamp_ns=started_ns, exposure_s=exposure_s, marks=StampMarks.START)
        why = found.stamp.problem or found.start.problem or "holds no acquisition time"
        text = f"the modification time of the file stands for the acquisition time, since the header {why}: {file}"
        self._warn_once("FILE_TIME", text, intake)
        return mid_exposure_ns(stamp_ns=self._modified_ns(file), exposure_s=exposure_s, marks=marks)

    def _ns_into_stack(self, found: ReadFrame, file: str, intake: FrameIntake) -> int:
        """From the start of a stack to the start of one of its frames."""
        if found.index == 0:
            return 0
        step_s = found.frame_s if found.frame_s > 0 else found.details.exposure_s
        known = step_s > 0
        how = f"counted on from its start by {step_s:g} s a frame" if known else "that of its start for every frame"
        self._warn_once("FILE_TIME", f"the time of a frame in the stack is {how}: {file}", intake)
        return round(found.index * step_s * NS_PER_S) if known else 0

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
