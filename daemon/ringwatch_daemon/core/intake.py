"""Where sources hand their frames over: bounded in frames, and it never forgets one silently."""

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from ringwatch_daemon.core.channels import ChannelClosed
from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.records import QueueLevel
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
    """A frame that the source could not take."""

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


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """The source has, or has lost, its connection."""

    at_ns: int
    connected: bool
    text: str


@dataclass(frozen=True, slots=True)
class SourceWarning:
    """Something an operator should see."""

    at_ns: int
    kind: str
    text: str


Item = Measured | RefusedFrame | DroppedFrame | ConnectionChange | SourceWarning


class Intake:
    """The channel between a source's threads and the analysis (a `FrameIntake`).

    Parameters
    ----------
    capacity
        Frames that may wait; the memory bound is this times the frame's size.
    overflow
        What happens to a frame that finds it full.
    """

    def __init__(self, *, capacity: int, overflow: Overflow, clock: Clock) -> None:
        self._capacity = capacity
        self._overflow = overflow
        self._clock = clock
        self._items: deque[Item] = deque()
        self._frames = 0
        self._high_water = 0
        self._dropped = 0
        self._closed = False
        self._closed_because = ""
        self._changed = threading.Condition()

    def frame(self, frame: Measured) -> None:
        """Hand over a frame; waits or drops it, by policy, when the intake is full."""
        with self._changed:
            if self._overflow is Overflow.WAIT:
                self._changed.wait_for(lambda: self._closed or self._frames < self._capacity)
            if self._closed:
                return
            if self._frames >= self._capacity:
                self._dropped += 1
                self._note(_dropped(frame))
                return
            self._items.append(frame)
            self._frames += 1
            self._high_water = max(self._high_water, self._frames)
            self._changed.notify_all()

    def refused(self, *, unique_id: int | None, timestamp_ns: int, reason: str, text: str) -> None:
        """Tell of a frame that cannot be taken."""
        with self._changed:
            self._note(RefusedFrame(unique_id, timestamp_ns, self._clock.utc_ns(), reason, text))

    def connection(self, *, connected: bool, text: str) -> None:
        """Tell that the source has, or has lost, its connection."""
        with self._changed:
            self._note(ConnectionChange(self._clock.utc_ns(), connected, text))

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
            return item

    def close(self, why: str) -> None:
        """Take no more and let nobody wait; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._closed_because = why
            self._changed.notify_all()

    def level(self) -> QueueLevel:
        """How full the intake is and has been, in frames."""
        with self._changed:
            return QueueLevel("frames", self._frames, self._high_water, self._capacity, self._dropped)

    def _note(self, item: Item) -> None:
        if not self._closed and len(self._items) < self._capacity + NOTES_CAPACITY:
            self._items.append(item)
            self._changed.notify_all()


def _dropped(frame: Measured) -> DroppedFrame:
    return DroppedFrame(frame.unique_id, frame.timestamp_ns, frame.received_ns, frame.exposure_s, frame.monitor)
