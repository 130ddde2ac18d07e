"""One run: the threads of its stages, from the start to the last record."""

import logging
import threading
from collections.abc import Callable
from threading import Event as StopRequest

from ringwatch_daemon.core.intake import Intake
from ringwatch_daemon.core.ports import FrameSource
from ringwatch_daemon.workers.analysis_stage import AnalysisStage
from ringwatch_daemon.workers.cycler_stage import CyclerStage
from ringwatch_daemon.workers.sink_stage import SinkStage

LOG = logging.getLogger(__name__)
LOOK_S = 0.2
SOURCE_STOP_S = 10.0
"""How long a source may take to let go of its connection before the run ends without it."""


class _StageThread(threading.Thread):
    """A thread that keeps what ended it, and then asks everybody to stop."""

    def __init__(self, name: str, work: Callable[[], None], stop: StopRequest) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stop_request = stop
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised again by the thread that waits
            self.failure = error
            self._stop_request.set()


class Run:
    """Carries frames from a source to the sinks until the source ends or a stop is asked for."""

    def __init__(
        self,
        *,
        source: FrameSource,
        intake: Intake,
        analysis: AnalysisStage,
        sinks: SinkStage,
        cycler: CyclerStage | None,
    ) -> None:
        self._source = source
        self._intake = intake
        self._analysis = analysis
        self._sinks = sinks
        self._cycler = cycler

    def execute(self, stop: StopRequest, *, on_ready: Callable[[], None]) -> None:
        """Run to the end; what waits in the channels when a stop is asked for is worked off first.

        Parameters
        ----------
        stop
            Set by a signal handler, or by a stage that failed.
        on_ready
            Called once all stages stand.

        Raises
        ------
        BaseException
            Whatever ended a stage, once the others have drained.
        """
        source_done = StopRequest()
        threads = {
            "sinks": _StageThread("sinks", self._sinks.run, stop),
            "analysis": _StageThread("analysis", lambda: self._analysis.run(source_done), stop),
            "source": _StageThread("source", lambda: self._source.run(self._intake, stop), stop),
        }
        if self._cycler is not None:
            cycler = self._cycler
            threads["cycler"] = _StageThread("cycler", lambda: cycler.run(source_done), stop)
        for thread in threads.values():
            thread.start()
        on_ready()
        self._wait_for_source(threads["source"], stop)
        self._intake.close()
        source_done.set()
        for name in ("analysis", "cycler", "sinks"):
            if name in threads:
                threads[name].join()
        for thread in threads.values():
            if thread.failure is not None:
                raise thread.failure

    def _wait_for_source(self, source: _StageThread, stop: StopRequest) -> None:
        while source.is_alive() and not stop.is_set():
            source.join(LOOK_S)
        # A source that waits for room in the intake gives up here; others see `stop` by themselves.
        if stop.is_set():
            self._intake.close()
        source.join(SOURCE_STOP_S)
        if source.is_alive():
            LOG.warning("the source did not let go within %g s; the run ends without it", SOURCE_STOP_S)
