"""A whole run feeds the service manager's watchdog over a real socket, as long as frames and records move."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.stages import ListSink, ListSource, ScriptedAnalyser, frame, start_of_a_run
from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.heartbeat import Heartbeat
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.records import Record
from ringwatch_daemon.core.service_notify import ServiceNotifier
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.run import Run
from ringwatch_daemon.workers.sink_stage import SinkStage
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.results import FrameResult

PATIENCE_S = 90.0
TURNS = 4
QUIET_S = 2.0
"""Many turns of every loop long."""


class Gate:
    """Something that hangs until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self._open.wait(PATIENCE_S)

    def let_go(self) -> None:
        self._open.set()


class HangingSink(ListSink):
    """Hangs in its first flush, as a file on a server that is gone."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def flush(self) -> None:
        self._gate.wait()


class HangingAnalyser(ScriptedAnalyser):
    """Hangs in its first frame."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def analyse(self, frame: Frame, *, timestamp_ns: int) -> FrameResult:
        self._gate.wait()
        return super().analyse(frame, timestamp_ns=timestamp_ns)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        yield listening


class WatchedRun:
    """A run in a thread of its own whose beats go to `manager`."""

    def __init__(self, manager: socket.socket, *, frames: int, analyser: ScriptedAnalyser, sink: ListSink) -> None:
        self._manager = manager
        self._service = ServiceNotifier(manager.getsockname(), watchdog_s=1.0)
        heartbeat = Heartbeat(beat=self._service.alive, every_s=0.0, clock=SystemClock())
        intake = Intake(capacity=100, overflow=Overflow.WAIT, clock=SystemClock())
        records: Channel[Record] = Channel("records", 100)
        parts = AnalysisParts(
            intake=intake,
            analyser=analyser,
            records=records,
            begin_run=start_of_a_run,
            clock=SystemClock(),
            tell=lambda *_: None,
            turned=heartbeat.stage("analysis"),
        )
        run = Run(
            source=ListSource([frame(number) for number in range(frames)], wait_for_stop=True),
            intake=intake,
            analysis=AnalysisStage(parts),
            sinks=SinkStage(records=records, sinks=(sink,), turned=heartbeat.stage("sinks")),
            ended=heartbeat.ended,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: run.execute(self._stop, on_ready=lambda: None, on_stopping=self._service.stopping)
        )
        self._thread.start()

    def hear(self, timeout_s: float) -> str | None:
        """The next notice, or None for silence."""
        self._manager.settimeout(timeout_s)
        try:
            return self._manager.recv(4096).decode()
        except TimeoutError:
            return None

    def falls_silent(self) -> bool:
        """Whether silence follows what may still be on its way."""
        return any(self.hear(QUIET_S) is None for _ in range(TURNS))

    def ask_to_stop(self) -> None:
        self._stop.set()

    def end(self) -> list[str]:
        """Stop; return what was said since the last word that was heard."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        said = []
        while (notice := self.hear(0.0001)) is not None:
            said.append(notice)
        return said


def test_a_detector_that_rests_feeds_it_on_and_on(manager: socket.socket) -> None:
    run = WatchedRun(manager, frames=0, analyser=ScriptedAnalyser(), sink=ListSink())
    assert [run.hear(PATIENCE_S) for _ in range(TURNS)] == ["WATCHDOG=1"] * TURNS
    run.end()


def test_a_sink_that_hangs_starves_it_until_it_goes_on(manager: socket.socket) -> None:
    gate = Gate()
    run = WatchedRun(manager, frames=3, analyser=ScriptedAnalyser(), sink=HangingSink(gate))
    assert gate.reached.wait(PATIENCE_S)
    assert run.falls_silent()
    gate.let_go()
    assert run.hear(PATIENCE_S) == "WATCHDOG=1"
    run.end()


def test_an_analysis_that_hangs_starves_it_until_it_goes_on(manager: socket.socket) -> None:
    gate = Gate()
    run = WatchedRun(manager, frames=3, analyser=HangingAnalyser(gate), sink=ListSink())
    assert gate.reached.wait(PATIENCE_S)
    assert run.falls_silent()
    gate.let_go()
    assert run.hear(PATIENCE_S) == "WATCHDOG=1"
    run.end()


def test_a_stop_asks_for_time_while_it_works_off_what_waits(manager: socket.socket) -> None:
    gate = Gate()
    run = WatchedRun(manager, frames=3, analyser=HangingAnalyser(gate), sink=ListSink())
    assert gate.reached.wait(PATIENCE_S)
    run.ask_to_stop()
    while (notice := run.hear(PATIENCE_S)) is not None and not notice.startswith("STOPPING=1"):
        pass
    assert run.falls_silent()
    gate.let_go()
    assert any("EXTEND_TIMEOUT_USEC=" in notice for notice in run.end())
