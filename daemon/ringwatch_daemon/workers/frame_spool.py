"""Frames that find the memory full wait on disk: within a quota, in their order, through a kill.

A thread of its own writes them, so that handing one over never waits for the disk. A frame's file
goes when its row is durable in the file of the run, not when it is read: what is on disk after a kill is
exactly what has no row yet.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from pathlib import Path

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.records import FrameRecord, QueueLevel, Record
from ringwatch_daemon.workers.spooled_frames import key_in, read_frame, write_frame
from ringwatch_pipelines.frames import Frame

LOG = logging.getLogger(__name__)
HANDOVER_FRAMES = 256
HANDOVER_BYTES = 128 * 2**20
"""Memory that frames may hold until they are written: more than a burst after a pause of the network brings."""
LEAST_BYTES = 64 * 2**10
"""What a small frame counts for, so that the quota bounds their number as well."""
HEAD_BYTES = 4096
MIB = 2**20

Key = tuple[int, int]


class _State(Enum):
    WAITING = auto()
    WRITING = auto()
    WRITTEN = auto()
    GONE = auto()


class SpooledFrame:
    """A frame's place in the spool."""

    def __init__(self, spool: "FrameSpool", key: Key, size: int, path: Path, frame: Frame | None) -> None:
        self.key = key
        self.size = size
        self.path = path
        self.frame = frame
        self.state = _State.WRITTEN if frame is None else _State.WAITING
        self.done = False
        self._spool = spool

    @property
    def unique_id(self) -> int:
        """Of the frame."""
        return self.key[0]

    def load(self) -> Frame:
        """The frame.

        Raises
        ------
        InputFileError
            It cannot be read back.
        """
        return self._spool.load(self)


class FrameSpool:
    """The frames of one run that wait on disk.

    Parameters
    ----------
    folder
        Made with the first frame.
    quota_bytes
        Bound on what the files take.
    handover_frames
        Frames that may wait for the writing thread.
    """

    def __init__(self, folder: Path, *, quota_bytes: int, handover_frames: int = HANDOVER_FRAMES) -> None:
        self._folder = folder
        self._quota_bytes = self._room_bytes = quota_bytes
        self._handover_frames = handover_frames
        self._changed = threading.Condition()
        self._to_write: deque[SpooledFrame] = deque()
        self._kept: dict[Key, SpooledFrame] = {}
        self._next = 0
        self._used_bytes = 0
        self._high_bytes = 0
        self._refused = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def recover(self, known: frozenset[Key]) -> tuple[SpooledFrame, ...]:
        """The frames that an earlier process left, in their order, apart from those that have a row already.

        Parameters
        ----------
        known
            (unique id, time of receipt) of rows in the file of the run.
        """
        found = [self._recovered(path, known) for path in sorted(self._folder.glob("*.frame"))]
        return tuple(frame for frame in found if frame is not None)

    def offer(self, frame: Frame) -> SpooledFrame | None:
        """Take a frame if the quota and the writing thread have room; never waits."""
        size = max(frame.image.nbytes + HEAD_BYTES, LEAST_BYTES)
        with self._changed:
            self._start()
            over_quota = self._used_bytes + size > self._room_bytes
            waiting_bytes = sum(place.size for place in self._to_write) + size
            handover_full = len(self._to_write) >= self._handover_frames or waiting_bytes > HANDOVER_BYTES
            if over_quota or handover_full or self._closed:
                self._refused += 1
                return None
            place = SpooledFrame(self, (frame.unique_id, frame.received_ns), size, self._path(self._next), frame)
            self._next += 1
            self._keep(place)
            self._to_write.append(place)
            self._changed.notify_all()
            return place

    def load(self, place: SpooledFrame) -> Frame:
        """The frame of a place: from memory while it is still there, else from disk."""
        with self._changed:
            frame = place.frame
            if place.state is _State.WAITING:
                self._drop(place)
        return read_frame(place.path) if frame is None else frame

    def release(self, keys: Iterable[Key]) -> None:
        """Forget frames whose rows are durable."""
        with self._changed:
            for place in [self._kept[key] for key in keys if key in self._kept]:
                place.done = True
                if place.state is not _State.WRITING:
                    self._drop(place)

    def level(self) -> QueueLevel:
        """How full the spool is and has been, in MiB, and how many frames found it full."""
        with self._changed:
            used, high, quota = (-(-size // MIB) for size in (self._used_bytes, self._high_bytes, self._quota_bytes))
            return QueueLevel("spool_MiB", used, high, quota, self._refused)

    def close(self) -> None:
        """Write what waits for it, and end the thread; an empty folder goes."""
        with self._changed:
            self._closed = True
            if self._to_write:
                self._start()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if not self._kept and self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _recovered(self, path: Path, known: frozenset[Key]) -> SpooledFrame | None:
        self._next = max(self._next, int(path.stem) + 1)
        try:
            unique_id, received_ns, size = key_in(path)
        except InputFileError as error:
            LOG.warning("%s: it is lost", error)
            path.unlink(missing_ok=True)
            return None
        if (unique_id, received_ns) in known:
            path.unlink(missing_ok=True)
            return None
        place = SpooledFrame(self, (unique_id, received_ns), max(size, LEAST_BYTES), path, None)
        self._keep(place)
        return place

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.frame"

    def _keep(self, place: SpooledFrame) -> None:
        self._kept[place.key] = place
        self._used_bytes += place.size
        self._high_bytes = max(self._high_bytes, self._used_bytes)

    def _drop(self, place: SpooledFrame) -> None:
        """Forget a frame that nobody writes at the moment."""
        if place.state is _State.GONE:
            return
        if place.state is _State.WRITTEN:
            place.path.unlink(missing_ok=True)
        place.state, place.frame = _State.GONE, None
        self._used_bytes -= place.size
        self._kept.pop(place.key, None)
        if not self._kept:
            self._room_bytes = self._quota_bytes

    def _start(self) -> None:
        """Have a thread that writes; without the memory for one, frames wait in memory and the next one asks again."""
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._write_all, name="spool", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            LOG.warning("frames wait in memory, and not on disk: %s", error)
            return
        self._thread = thread

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._to_write or self._closed)
                if not self._to_write:
                    return
                place = self._to_write.popleft()
                frame = place.frame
                if place.state is not _State.WAITING or frame is None:
                    continue
                place.state = _State.WRITING
            written = self._write(place, frame)
            with self._changed:
                place.state = _State.WRITTEN if written else _State.WAITING
                if place.done:
                    self._drop(place)
                elif written:
                    place.frame = None

    def _write(self, place: SpooledFrame, frame: Frame) -> bool:
        """Write a frame; one that the disk does not take stays in memory, where its size still counts."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_frame(place.path, frame)
        except (OSError, MemoryError) as error:
            LOG.warning("frame %d cannot be spooled: %s", frame.unique_id, error)
            with self._changed:
                # No more room is promised than the disk has, until all that waits has been worked off.
                self._room_bytes = min(self._room_bytes, self._used_bytes)
            return False
        return True


class SpoolRelease:
    """A sink behind the file of the run: lets go of spooled frames whose rows are durable.

    Parameters
    ----------
    spool
        Closed with this sink.
    """

    def __init__(self, spool: FrameSpool) -> None:
        self._spool = spool
        self._durable: list[Key] = []

    def accept(self, record: Record) -> None:
        """Take a record that the file has taken, and flushed."""
        if isinstance(record, FrameRecord):
            self._durable.append((record.unique_id, record.received_ns))

    def flush(self) -> None:
        """Let go."""
        self._spool.release(self._durable)
        self._durable.clear()

    def close(self) -> None:
        """End the spool."""
        self._spool.close()
