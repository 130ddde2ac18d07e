"""One run: the threads of its stages, from the start to the last record."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Failure:
    """What ended a stage."""

    stage: str
    error: BaseException


class _StageThread(threading.Thread):
    """A thread that tells what ended it, and then asks everybody to stop."""

    def __init__(self, name: str, work: Callable[[], None], stop: StopRequest, failures: list[_Failure]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stop_request = stop
        self._failures = failures

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised again by the thread that waits
            self._failures.append(_Failure(self.name, error))
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
            What ended the first stage that failed, once the others have drained.
        """
        failures: list[_Failure] = []
        cycler_stop = StopRequest()
        work: dict[str, Callable[[], None]] = {
            "sinks": self._sinks.run,
            "analysis": self._analysis.run,
            "source": lambda: self._source.run(self._intake, stop),
        }
        if self._cycler is not None:
            cycler = self._cycler
            work["cycler"] = lambda: cycler.run(cycler_stop)
        threads = {name: _StageThread(name, do, stop, failures) for name, do in work.items()}
        for thread in threads.values():
            thread.start()
        on_ready()
        source = threads.pop("source")
        self._wait_for_source(source, stop, failures)
        cycler_stop.set()
        for thread in threads.values():
            thread.join()
        if failures:
            raise failures[0].error

    def _wait_for_source(self, source: threading.Thread, stop: StopRequest, failures: list[_Failure]) -> None:
        while source.is_alive() and not stop.is_set():
            source.join(LOOK_S)
        # A source that waits for room in the intake gives up here; others see `stop` by themselves.
        self._intake.close(_why(stop, failures))
        source.join(SOURCE_STOP_S)
        if source.is_alive():
            LOG.warning("the source did not let go within %g s; the run ends without it", SOURCE_STOP_S)


def _why(stop: StopRequest, failures: list[_Failure]) -> str:
    if failures:
        return f"the {failures[0].stage} failed: {failures[0].error}"
    return "a stop was asked for" if stop.is_set() else "the source ended"
