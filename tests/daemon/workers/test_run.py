"""One run: its threads end whatever fails, and the first failure is the one that is told."""

import threading

import pytest

from fakes.clock import ManualClock
from fakes.records import cycling_samples
from fakes.stages import (
    BreakingSink,
    ListSink,
    ListSource,
    ScriptedAnalyser,
    ScriptedCycler,
    frame,
    start_of_a_run,
)
from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.errors import DetectorError, SinkError
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.records import FrameRecord, RunStop
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_daemon.workers.cycler_stage import CyclerStage
from ringwatch_daemon.workers.run import Run
from ringwatch_daemon.workers.sink_stage import SinkStage
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline

pytestmark = pytest.mark.timeout(180)
MANY = [frame(number) for number in range(1, 500)]


def run_of(
    source,
    *,
    sinks,
    analyser=None,
    cycler=None,
    overflow=Overflow.WAIT,
    records_capacity=4,
    stop=None,
    silent=lambda _: (),
    on_ready=lambda: None,
    on_stopping=lambda _: None,
):
    clock = ManualClock()
    intake = Intake(capacity=2, overflow=overflow, clock=clock)
    records = Channel("records", records_capacity)
    found = Channel("cycler", 1) if cycler else None
    parts = AnalysisParts(
        intake=intake,
        analyser=analyser or ScriptedAnalyser(),
        cells=(CellFollower(coupler=Coupler(Timeline(max_gap_s=60.0), area_cm2=1.0), found=found),) if found else (),
        records=records,
        begin_run=start_of_a_run,
        clock=clock,
        tell=lambda *_: None,
    )
    run = Run(
        source=source,
        intake=intake,
        analysis=AnalysisStage(parts),
        sinks=SinkStage(records=records, sinks=tuple(sinks)),
        cyclers=(CyclerStage(reader=cycler, found=found),) if cycler else (),
        silent=silent,
    )
    run.execute(stop or threading.Event(), on_ready=on_ready, on_stopping=on_stopping)


def told(sink, kind):
    return [record for record in sink.records if isinstance(record, kind)]


def test_a_source_that_ends_has_every_frame_in_the_sinks():
    sink = ListSink()
    run_of(ListSource(MANY), sinks=[sink])
    assert [record.unique_id for record in told(sink, FrameRecord)] == [each.unique_id for each in MANY]
    assert [stop.why for stop in told(sink, RunStop)] == ["the source ended"]


def test_a_stop_works_off_what_waits():
    sink, stop = ListSink(), threading.Event()

    class StoppingAtTen(ScriptedAnalyser):
        def analyse(self, frame, *, timestamp_ns):
            if frame.unique_id == 10:
                stop.set()
            return super().analyse(frame, timestamp_ns=timestamp_ns)

    source = ListSource(MANY[:12], wait_for_stop=True)
    run_of(source, sinks=[sink], stop=stop, analyser=StoppingAtTen())
    ids = [record.unique_id for record in told(sink, FrameRecord)]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) >= 10
    assert [stop.why for stop in told(sink, RunStop)] == ["a stop was asked for"]


@pytest.mark.parametrize("in_flush", [False, True])
@pytest.mark.parametrize("overflow", [Overflow.WAIT, Overflow.DROP_NEWEST])
def test_a_sink_that_fails_ends_the_run_with_its_error_while_everybody_waits_for_room(overflow, in_flush):
    cycler = ScriptedCycler(always=cycling_samples().samples)
    sinks = [BreakingSink(after=5, in_flush=in_flush), ListSink()]
    source = ListSource(MANY, wait_for_stop=True)
    with pytest.raises(SinkError, match="the disk is full"):
        run_of(source, sinks=sinks, cycler=cycler, overflow=overflow, records_capacity=1)
    assert cycler.closed
    assert [sink.calls[-1].strip() for sink in sinks] == ["close", "close"]


class SinkWithoutMemory(ListSink):
    """Takes a few records, then gets no memory."""

    def accept(self, record):
        super().accept(record)
        if len(self.records) > 4:
            raise MemoryError


def test_a_stage_that_gets_no_memory_ends_the_run_and_leaves_it_to_be_resumed():
    sink = SinkWithoutMemory()
    with pytest.raises(MemoryError):
        run_of(ListSource(MANY, wait_for_stop=True), sinks=[sink], overflow=Overflow.DROP_NEWEST)
    assert sink.calls[-1].strip() == "close"
    assert not any(isinstance(record, RunStop) for record in sink.records)


def test_a_source_that_fails_ends_the_run_with_its_error_after_what_it_brought_is_worked_off():
    sink = ListSink()
    with pytest.raises(DetectorError, match="the IOC is gone"):
        run_of(ListSource(MANY[:7], then=DetectorError("the IOC is gone")), sinks=[sink])
    assert len(told(sink, FrameRecord)) == 7
    assert told(sink, RunStop) == []  # cut off: the next process goes on with it


def test_an_analysis_that_fails_ends_the_run_while_source_and_cycler_wait_for_room():
    sink = ListSink()
    cycler = ScriptedCycler(always=cycling_samples().samples)
    with pytest.raises(TypeError, match="a bug"):
        run_of(ListSource(MANY), sinks=[sink], cycler=cycler, analyser=ScriptedAnalyser({20: TypeError("a bug")}))
    assert len(told(sink, FrameRecord)) == 19
    assert told(sink, RunStop) == []
    assert cycler.closed


def test_a_cycler_that_breaks_its_contract_ends_the_run():
    with pytest.raises(KeyError):
        run_of(ListSource([], wait_for_stop=True), sinks=[ListSink()], cycler=ScriptedCycler(KeyError("voltage")))


def test_a_stage_that_hangs_is_named_in_the_log_once(caplog):
    looks = iter([(), ("analysis",), ("analysis",), ("analysis",)])
    stop = threading.Event()

    def silent(for_s):
        names = next(looks, None)
        if names is None:
            stop.set()
        return names or ()

    run_of(ListSource([], wait_for_stop=True), sinks=[ListSink()], silent=silent, stop=stop)
    said = [record.getMessage() for record in caplog.records if "moved" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("analysis: nothing has moved for 60 s")


def test_readiness_is_told_once_the_stages_stand():
    ready: list[int] = []
    run_of(ListSource([]), sinks=[ListSink()], on_ready=lambda: ready.append(threading.active_count()))
    assert len(ready) == 1


def test_the_reason_of_the_end_is_told_before_what_waits_is_worked_off():
    sink, told_at = ListSink(), []
    run_of(
        ListSource(MANY[:3]),
        sinks=[sink],
        on_stopping=lambda why: told_at.append((why, len(told(sink, RunStop)))),
    )
    assert told_at == [("the source ended", 0)]
