"""One run: the threads of its stages, from the start to the last record."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from threading import Event as StopRequest

from ringwatch_daemon.core.intake import Intake
from ringwatch_daemon.core.ports import FrameSource
from ringwatch_daemon.workers.analysis_stage import AnalysisStage
from ringwatch_daemon.workers.cycler_stage import CyclerStage
from ringwatch_daemon.workers.sink_stage import SinkStage

LOG = logging.getLogger(__name__)
LOOK_S = 0.2
SILENT_S = 60.0
"""Longer than the longest honest turn of a stage: the first frame after an installation, which compiles."""
SOURCE_STOP_S = 10.0
"""How long a source may take to let go of its connection before the run ends without it."""


class _StageThread(threading.Thread):
    """A thread that keeps what ended it, and then asks everybody to stop."""

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        stop: StopRequest,
        ended: Callable[[str], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.failure: BaseException | None = None
        self._work = work
        self._stop_request = stop
        self._ended = ended

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised again by the thread that waits
            # First, and without an object of its own: there may be no memory left for anything more.
            self.failure = error
            self._stop_request.set()
        finally:
            self._ended(self.name)


class Run:
    """Carries frames from a source to the sinks until the source ends or a stop is asked for.

    Parameters
    ----------
    cyclers
        One for each cell that has one.
    ended
        Hears the name of each stage that has ended, well or not: ``source``, ``analysis``, ``sinks``, ``cycler 1``.
    silent
        Tells which stages have not turned over for so many seconds. A watchdog ends the process over it where there is
        one; where there is none, the log says so.
    """

    def __init__(
        self,
        *,
        source: FrameSource,
        intake: Intake,
        analysis: AnalysisStage,
        sinks: SinkStage,
        cyclers: tuple[CyclerStage, ...] = (),
        ended: Callable[[str], None] = lambda _: None,
        silent: Callable[[float], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self._silent = silent
        self._source = source
        self._intake = intake
        self._analysis = analysis
        self._sinks = sinks
        self._cyclers = cyclers
        self._ended = ended

    def execute(
        self, stop: StopRequest, *, on_ready: Callable[[], None], on_stopping: Callable[[str], None] = lambda _: None
    ) -> None:
        """Run to the end; what waits in the channels when a stop is asked for is worked off first.

        Parameters
        ----------
        stop
            Set by a signal handler, or by a stage that failed.
        on_ready
            Called once all stages stand.
        on_stopping
            Hears why no more frames are taken, before what waits is worked off.

        Raises
        ------
        BaseException
            What ended the first stage that failed, once the others have drained.
        """
        cycler_stop = StopRequest()
        threads = self._threads(stop, cycler_stop)
        for thread in threads.values():
            thread.start()
        on_ready()
        stages = tuple(threads.values())
        source = threads.pop("source")
        why = self._wait_for_end(source, stages, stop)
        failed = _first_failed(stages)
        on_stopping(why)
        # A source that waits for room in the intake gives up here; others see `stop` by themselves.
        self._intake.close(why, failed=failed is not None)
        _let_go(source)
        cycler_stop.set()
        for thread in threads.values():
            thread.join()
        failed = failed or _first_failed(stages)
        if failed is not None and failed.failure is not None:
            raise failed.failure

    def _wait_for_end(self, source: _StageThread, stages: tuple[_StageThread, ...], stop: StopRequest) -> str:
        """Wait until the source has ended or everybody is asked to stop, and say why."""
        told: tuple[str, ...] = ()
        while source.is_alive() and not stop.is_set() and _first_failed(stages) is None:
            source.join(LOOK_S)
            silent = self._silent(SILENT_S)
            if silent and silent != told:
                LOG.error("%s: nothing has moved for %g s; a restart would help", " and ".join(silent), SILENT_S)
            told = silent
        failed = _first_failed(stages)
        if failed is not None:
            return f"the {failed.name} failed: {str(failed.failure) or type(failed.failure).__name__}"
        return "a stop was asked for" if stop.is_set() else "the source ended"

    def _threads(self, stop: StopRequest, cycler_stop: StopRequest) -> dict[str, _StageThread]:
        work: dict[str, Callable[[], None]] = {
            "sinks": lambda: self._sinks.run(stop),
            "analysis": self._analysis.run,
            "source": lambda: self._source.run(self._intake, stop),
        }
        for number, cycler in enumerate(self._cyclers, start=1):
            work[f"cycler {number}"] = partial(cycler.run, cycler_stop)
        return {name: _StageThread(name, do, stop=stop, ended=self._ended) for name, do in work.items()}


def _first_failed(stages: tuple[_StageThread, ...]) -> _StageThread | None:
    return next((stage for stage in stages if stage.failure is not None), None)


def _let_go(source: threading.Thread) -> None:
    source.join(SOURCE_STOP_S)
    if source.is_alive():
        LOG.warning("the source did not let go within %g s; the run ends without it", SOURCE_STOP_S)
