"""What a run is made of, in memory: sources, a cycler, an analyser and sinks that tests can look into or break."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from fakes.records import START_NS, run_start
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Record
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import Frame, FrameKind, read_only
from ringwatch_pipelines.results import FrameResult

SECOND_NS = 1_000_000_000


def frame(unique_id: int, *, kind: FrameKind = FrameKind.LIGHT, second: float | None = None) -> Frame:
    """A frame taken one second after the one before it, received half a second later."""
    taken_ns = START_NS + round((unique_id if second is None else second) * SECOND_NS)
    return Frame(
        unique_id=unique_id,
        timestamp_ns=taken_ns,
        received_ns=taken_ns + SECOND_NS // 2,
        exposure_s=0.1,
        image=read_only(np.full((2, 2), unique_id % 1000, dtype=np.uint16)),
        monitor=1.0,
        origin="a test",
        kind=kind,
    )


class ScriptedAnalyser:
    """Answers by unique id: with a result, or by raising; all others are simply analysed."""

    def __init__(self, answers: dict[int, FrameResult | Exception] | None = None) -> None:
        self._answers = answers or {}
        self.seen: list[tuple[int, int]] = []

    def analyse(self, frame: Frame, *, timestamp_ns: int) -> FrameResult:
        self.seen.append((frame.unique_id, timestamp_ns))
        answer = self._answers.get(frame.unique_id, FrameResult())
        if isinstance(answer, Exception):
            raise answer
        return answer


class ListSink:
    """Keeps what it gets; says in `calls` who was called when."""

    def __init__(self, name: str = "", calls: list[str] | None = None) -> None:
        self._name = name
        self.calls = [] if calls is None else calls
        self.records: list[Record] = []

    def accept(self, record: Record) -> None:
        self.calls.append(f"{self._name} accept")
        self.records.append(record)

    def flush(self) -> None:
        self.calls.append(f"{self._name} flush")

    def close(self) -> None:
        self.calls.append(f"{self._name} close")


class BreakingSink(ListSink):
    """Takes so many records, then fails where it is told to, and again when it is closed."""

    def __init__(self, *, after: int, in_flush: bool = False) -> None:
        super().__init__()
        self._after = after
        self._in_flush = in_flush

    def accept(self, record: Record) -> None:
        super().accept(record)
        if not self._in_flush:
            self._break()

    def flush(self) -> None:
        super().flush()
        self._break()

    def close(self) -> None:
        super().close()
        if len(self.records) > self._after:
            raise SinkError("the disk is still full")

    def _break(self) -> None:
        if len(self.records) > self._after:
            raise SinkError("the disk is full")


class ListSource:
    """Brings frames one after the other, then ends, raises or waits for a stop."""

    def __init__(self, frames: Sequence[Frame], *, then: Exception | None = None, wait_for_stop: bool = False) -> None:
        self._frames = frames
        self._then = then
        self._wait_for_stop = wait_for_stop

    def run(self, intake: FrameIntake, stop: threading.Event) -> None:
        intake.connection(connected=True, text="in memory")
        for each in self._frames:
            if stop.is_set():
                return
            intake.frame(each)
        if self._then is not None:
            raise self._then
        if self._wait_for_stop:
            stop.wait(60.0)


class ScriptedCycler:
    """Answers each poll with the next of its script, which it may raise; nothing more after that."""

    def __init__(self, *script: CyclerSamples | Exception | None, always: CyclerSamples | None = None) -> None:
        self._script = list(script)
        self._always = always
        self.closed = False

    def poll(self) -> CyclerSamples | None:
        if not self._script:
            return self._always
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def start_of_a_run(started_ns: int) -> Record:
    """A run's start that tells when it was made."""
    start = run_start()
    return type(start)(
        run_id=start.run_id, started_ns=started_ns, axis=start.axis, norm=start.norm, columns=start.columns
    )


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """`work` in a thread of its own, already under way."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
