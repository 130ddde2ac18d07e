"""The first scan of a run decides its angles, so it has to be seen before anything is written."""

from collections.abc import Callable
from threading import Event as StopRequest

from ringwatch_daemon.core.ports import FrameIntake, FrameSource
from ringwatch_daemon.core.records import Reason
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.scans import Measured, Scan


class BegunByFirstScan:
    """A `FrameSource` that tells of its first good scan before it hands anything over.

    Parameters
    ----------
    source
        Brings the scans.
    begin
        Hears the first scan whose angles can be those of a run; raises PatternError for one whose cannot.
    """

    def __init__(self, source: FrameSource, begin: Callable[[Scan], None]) -> None:
        self._source = source
        self._begin = begin

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring scans to `intake` until `stop` is set or there are no more."""
        watched = _Watched(intake, self._begin)
        self._source.run(watched, stop)
        watched.end()


class _Watched:
    """An intake that keeps refusals back until the run has its angles."""

    def __init__(self, intake: FrameIntake, begin: Callable[[Scan], None]) -> None:
        self._intake = intake
        self._begin = begin
        self._begun = False
        self._refused: list[tuple[int | None, int, str, str]] = []

    def frame(self, frame: Measured) -> None:
        if not self._begun and isinstance(frame, Scan):
            try:
                self._begin(frame)
            except PatternError as error:
                self._refused.append((frame.unique_id, frame.timestamp_ns, Reason.WRONG_SHAPE, str(error)))
                return
            self._begun = True
            self._release()
        self._intake.frame(frame)

    def refused(self, *, unique_id: int | None, timestamp_ns: int, reason: str, text: str) -> None:
        self._refused.append((unique_id, timestamp_ns, reason, text))
        if self._begun:
            self._release()

    def connection(self, *, connected: bool, text: str, restarted_ns: int = 0) -> None:
        self._intake.connection(connected=connected, text=text, restarted_ns=restarted_ns)

    def counted(self, count: int | None) -> None:
        self._intake.counted(count)

    def warning(self, *, kind: str, text: str) -> None:
        self._intake.warning(kind=kind, text=text)

    def end(self) -> None:
        """Without a single good scan there is no run; what was wrong is told all the same."""
        for _, _, reason, text in self._refused:
            self._intake.warning(kind=reason, text=text)

    def _release(self) -> None:
        for unique_id, timestamp_ns, reason, text in self._refused:
            self._intake.refused(unique_id=unique_id, timestamp_ns=timestamp_ns, reason=reason, text=text)
        self._refused.clear()
