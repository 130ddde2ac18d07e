"""The ports of the daemon: what a new detector, cycler or sink has to offer.

Each is a Protocol of one to three methods with an in-memory fake in ``tests/fakes``.
"""

from threading import Event as StopRequest
from typing import Protocol, runtime_checkable

from ringwatch_daemon.core.records import QueueLevel, Record
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.results import FrameResult
from ringwatch_pipelines.scans import Measured


class FrameIntake(Protocol):
    """Where a source puts what it sees. Every method returns at once and may be called from any thread."""

    def frame(self, frame: Measured) -> None:
        """Hand over a frame or a scan."""
        ...

    def refused(self, *, unique_id: int | None, timestamp_ns: int, reason: str, text: str) -> None:
        """Tell of a frame that was announced but cannot be taken; `unique_id` is None where even that is unknown.

        `timestamp_ns` is the receive time where the frame brought no usable time of its own.
        """
        ...

    def connection(self, *, connected: bool, text: str, restarted_ns: int = 0) -> None:
        """Tell that the source has, or has lost, its connection.

        `restarted_ns` is when the IOC was started, where it is another one than before, else 0.
        """
        ...

    def counted(self, count: int | None) -> None:
        """Tell how far the detector says that its counter of frames has got, None when it can be heard no more."""
        ...

    def warning(self, *, kind: str, text: str) -> None:
        """Tell of something an operator should see."""
        ...


class FrameSource(Protocol):
    """A detector, or recorded frames."""

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring frames to `intake` until `stop` is set or, for recorded frames, until there are no more.

        Runs in a thread of its own and owns everything it starts there. An exception ends the run
        of the daemon; whatever can mend itself (a connection, a bad frame) is told, not raised.
        """
        ...


@runtime_checkable
class SpooledPlace(Protocol):
    """A frame that waits outside the memory."""

    @property
    def unique_id(self) -> int:
        """Of the frame."""
        ...

    def load(self) -> Frame:
        """The frame.

        Raises
        ------
        InputFileError
            It cannot be read back.
        """
        ...


class FrameSpool(Protocol):
    """Where frames wait that find the memory full."""

    def offer(self, frame: Frame) -> SpooledPlace | None:
        """Take a frame, or refuse it for want of room; never waits."""
        ...

    def level(self) -> QueueLevel:
        """How full the spool is and has been."""
        ...


class FrameAnalyser(Protocol):
    """The science of a run: frames in their order, one result each."""

    def analyse(self, frame: Measured, *, timestamp_ns: int) -> FrameResult:
        """Analyse the next frame; `timestamp_ns` is UTC at mid-exposure.

        Poor data are told in the result. An exception costs this frame and no other.
        """
        ...


class CyclerReader(Protocol):
    """The cell's side: a file that grows or live PVs."""

    def poll(self) -> CyclerSamples | None:
        """Samples since the last call, or None. Never blocks longer than a file read.

        Raises
        ------
        CyclerError
            The data cannot be understood; the next call tries again.
        """
        ...

    def close(self) -> None:
        """Let go of files and channels."""
        ...


class Sink(Protocol):
    """Where the records of a run go."""

    def accept(self, record: Record) -> None:
        """Take the next record."""
        ...

    def flush(self) -> None:
        """Make what was accepted durable, or visible to readers. Called after each batch of records."""
        ...

    def close(self) -> None:
        """Let go of files and sockets."""
        ...
