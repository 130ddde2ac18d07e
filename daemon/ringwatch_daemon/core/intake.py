"""Where sources hand their frames over: bounded in frames, and it never forgets one silently."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ringwatch_daemon.core.channels import ChannelClosed
from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.ports import FrameSpool, SpooledPlace
from ringwatch_daemon.core.records import QueueLevel, Reason
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.scans import Measured, Scan

NOTES_CAPACITY = 200_000
"""Small items (refusals, notices, names of dropped frames) that may wait; beyond it the ledger's gaps still tell."""


class Overflow(Enum):
    """What happens to a frame that finds the intake full."""

    DROP_NEWEST = auto()
    """It is dropped, named and counted; for sources that must never wait."""
    WAIT = auto()
    """The source waits; for files."""


@dataclass(frozen=True, slots=True)
class RefusedFrame:
    """A frame that the source could not take.

    Parameters
    ----------
    timestamp_ns
        Mid-exposure as the frame tells it, 0 where it tells none.
    """

    unique_id: int | None
    timestamp_ns: int
    received_ns: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class DroppedFrame:
    """A frame that found the intake full."""

    unique_id: int
    timestamp_ns: int
    received_ns: int
    exposure_s: float
    monitor: float
    cell: str = ""


@dataclass(frozen=True, slots=True)
class DaemonWasDown:
    """Frames before this were taken by an earlier process; then nobody listened for a while."""


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """The source has, or has lost, its connection."""

    at_ns: int
    connected: bool
    text: str
    restarted_ns: int = 0


@dataclass(frozen=True, slots=True)
class CounterTold:
    """How far the detector says that its counter has got; None when it can be heard no more."""

    count: int | None


@dataclass(frozen=True, slots=True)
class SourceWarning:
    """Something an operator should see."""

    at_ns: int
    kind: str
    text: str


Item = Measured | RefusedFrame | DroppedFrame | DaemonWasDown | ConnectionChange | CounterTold | SourceWarning


class Intake:
    """The channel between a source's threads and the analysis (a `FrameIntake`).

    Parameters
    ----------
    capacity
        Frames that may wait; the memory bound is this times the frame's size.
    overflow
        What happens to a frame that finds it full.
    spool
        Takes frames that would be dropped, as long as it has room.
    notes_capacity
        Small items that may wait.
    """

    def __init__(
        self,
        *,
        capacity: int,
        overflow: Overflow,
        clock: Clock,
        spool: FrameSpool | None = None,
        notes_capacity: int = NOTES_CAPACITY,
    ) -> None:
        self._capacity = capacity
        self._notes_capacity = notes_capacity
        self._overflow = overflow
        self._clock = clock
        self._spool = spool
        self._spooled = 0
        self._spooling = False
        self._dropping = False
        self._items: deque[Item | SpooledPlace] = deque()
        self._frames = 0
        self._high_water = 0
        self._dropped = 0
        self._closed = False
        self._closed_because = ""
        self._failed = False
        self._changed = threading.Condition()

    def frame(self, frame: Measured) -> None:
        """Hand over a frame; waits or drops it, by policy, when the intake is full."""
        with self._changed:
            if self._overflow is Overflow.WAIT:
                self._changed.wait_for(lambda: self._closed or self._frames < self._capacity)
            if self._closed:
                return
            if self._frames >= self._capacity:
                self._overflowed(frame)
                return
            self._items.append(frame)
            self._frames += 1
            self._high_water = max(self._high_water, self._frames)
            self._changed.notify_all()

    def take_up(self, places: Sequence[SpooledPlace]) -> None:
        """Begin with frames that an earlier process has left in the spool; called before any other arrives."""
        with self._changed:
            self._items.extend(places)
            self._spooled += len(places)
            self._spooling = bool(places)
            self._items.append(DaemonWasDown())
            self._changed.notify_all()

    def refused(self, *, unique_id: int | None, timestamp_ns: int, reason: str, text: str) -> None:
        """Tell of a frame that cannot be taken."""
        with self._changed:
            self._note(RefusedFrame(unique_id, timestamp_ns, self._clock.utc_ns(), reason, text))

    def connection(self, *, connected: bool, text: str, restarted_ns: int = 0) -> None:
        """Tell that the source has, or has lost, its connection."""
        with self._changed:
            self._note(ConnectionChange(self._clock.utc_ns(), connected, text, restarted_ns))

    def counted(self, count: int | None) -> None:
        """Tell how far the detector's counter has got; of values with nothing between them the newest is kept."""
        with self._changed:
            newest = self._items[-1] if self._items else None
            if isinstance(newest, CounterTold) and (newest.count or 0) <= (count or -1):
                self._items.pop()
            self._note(CounterTold(count))

    def warning(self, *, kind: str, text: str) -> None:
        """Tell of something an operator should see."""
        with self._changed:
            self._note(SourceWarning(self._clock.utc_ns(), kind, text))

    def take(self, timeout_s: float) -> Item | None:
        """The oldest item, or None when none came within `timeout_s`.

        Raises
        ------
        ChannelClosed
            The intake is closed and empty; the message is what `close` was told.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._closed, timeout_s)
            if not self._items:
                if self._closed:
                    raise ChannelClosed(self._closed_because)
                return None
            item = self._items.popleft()
            if isinstance(item, Frame | Scan):
                self._frames -= 1
                self._changed.notify_all()
            elif isinstance(item, SpooledPlace):
                self._spooled -= 1
            self._tell_of_room()
        return self._loaded(item) if isinstance(item, SpooledPlace) else item

    @property
    def failed(self) -> bool:
        """Whether it was closed over a failure."""
        return self._failed

    def close(self, why: str, *, failed: bool = False) -> None:
        """Take no more and let nobody wait; what is inside can still be taken."""
        with self._changed:
            self._failed = failed
            self._closed = True
            self._closed_because = why
            self._changed.notify_all()

    def level(self) -> QueueLevel:
        """How full the intake is and has been, in frames."""
        with self._changed:
            return QueueLevel("frames", self._frames, self._high_water, self._capacity, self._dropped)

    def levels(self) -> tuple[QueueLevel, ...]:
        """The level of the memory, and that of the spool where there is one."""
        return (self.level(),) if self._spool is None else (self.level(), self._spool.level())

    def _overflowed(self, frame: Measured) -> None:
        place = None
        if self._spool is not None and isinstance(frame, Frame) and self._has_room_for_notes():
            place = self._spool.offer(frame)
        if place is None:
            self._dropped += 1
            self._note(_dropped(frame))
            if self._spool is not None and not self._dropping:
                self._dropping = True
                self._alarm("QUEUE_FULL", "memory and spool are full: frames are dropped from here on")
            return
        self._items.append(place)
        self._spooled += 1
        self._changed.notify_all()
        if not self._spooling:
            self._spooling = True
            self._alarm("SPOOL", "frames come faster than they are analysed: they wait on disk")

    def _tell_of_room(self) -> None:
        # Not with the first gap: a detector at the limit would be told of every second.
        if self._spooling and not self._spooled and self._frames <= self._capacity // 2:
            self._spooling = self._dropping = False
            self._alarm("SPOOL", "all frames that waited on disk are taken up")

    def _loaded(self, place: SpooledPlace) -> Item:
        try:
            return place.load()
        except InputFileError as error:
            text = f"frame {place.unique_id} cannot be read back: {error}"
            return RefusedFrame(place.unique_id, 0, self._clock.utc_ns(), Reason.UNREADABLE, text)

    def _alarm(self, kind: str, text: str) -> None:
        """Tell at once, before all that waits."""
        self._items.appendleft(SourceWarning(self._clock.utc_ns(), kind, text))
        self._changed.notify_all()

    def _has_room_for_notes(self) -> bool:
        return len(self._items) < self._capacity + self._notes_capacity

    def _note(self, item: Item) -> None:
        if not self._closed and self._has_room_for_notes():
            self._items.append(item)
            self._changed.notify_all()


def _dropped(frame: Measured) -> DroppedFrame:
    return DroppedFrame(
        frame.unique_id, frame.timestamp_ns, frame.received_ns, frame.exposure_s, frame.monitor, frame.cell
    )
