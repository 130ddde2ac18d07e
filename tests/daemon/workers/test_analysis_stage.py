"""The middle stage: what the source saw becomes records, in order, and nothing is forgotten."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import ManualClock
from fakes.records import START_NS, cycling_samples
from fakes.stages import SECOND_NS, ScriptedAnalyser, frame, in_thread, start_of_a_run
from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.records import (
    CellStateUpdate,
    CyclingSamples,
    Event,
    FrameRecord,
    FrameState,
    LedgerCorrection,
    Reason,
    RunStart,
    RunStop,
    Status,
)
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_daemon.workers.cycler_stage import CyclerProblem
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.cycling import Coupling
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.frames import FrameKind
from ringwatch_pipelines.results import FrameResult, Notice, Refusal

PATIENCE_S = 60.0


def followed(found):
    return CellFollower(coupler=Coupler(Timeline(max_gap_s=3600.0), area_cm2=1.0), found=found)


class Bench:
    """A stage with its channels; tests fill the intake, run it to the end and look at the records."""

    def __init__(self, analyser=None, *, cycler=False, capacity=10_000, begin_run=start_of_a_run):
        self.clock = ManualClock(START_NS)
        self.intake = Intake(capacity=capacity, overflow=Overflow.DROP_NEWEST, clock=self.clock)
        self.records = Channel("records", 100_000)
        self.cycler = Channel("cycler", 1000) if cycler else None
        self.analyser = analyser or ScriptedAnalyser()
        self.told = []
        parts = AnalysisParts(
            intake=self.intake,
            analyser=self.analyser,
            cells=(followed(self.cycler),) if self.cycler is not None else (),
            records=self.records,
            begin_run=begin_run,
            clock=self.clock,
            tell=lambda connected, text: self.told.append((connected, text)),
        )
        self.stage = AnalysisStage(parts)

    def run(self, *frames):
        for each in frames:
            self.intake.frame(each)
        self.intake.close("the test ended")
        if self.cycler is not None:
            self.cycler.close()
        self.stage.run()
        return self.drained()

    def drained(self):
        """Everything that the closed channel still holds."""
        try:
            return self.records.take_all(0.0)
        except ChannelClosed:
            return []


def rows(records):
    return [record for record in records if isinstance(record, FrameRecord)]


def only(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_a_run_begins_with_its_first_arrival_and_ends_with_its_stop():
    records = Bench().run(frame(1), frame(2))
    assert isinstance(records[0], RunStart)
    assert records[0].started_ns == frame(1).received_ns
    assert isinstance(records[-1], RunStop)
    assert records[-1].why == "the test ended"
    assert records[-1].totals.processed == 2
    assert [(row.row, row.unique_id, row.state) for row in rows(records)] == [(0, 1, "PROCESSED"), (1, 2, "PROCESSED")]


def test_without_a_frame_there_is_no_run():
    bench = Bench()
    bench.intake.warning(kind="STALL", text="nothing came")
    assert bench.run() == []


def test_lost_frames_stand_before_the_frame_that_shows_it_and_their_event_between():
    records = Bench().run(frame(1), frame(4))
    told = [type(record).__name__ for record in records if not isinstance(record, Status)]
    assert told == ["RunStart", "FrameRecord", "FrameRecord", "FrameRecord", "Event", "FrameRecord", "RunStop"]
    lost = rows(records)[1:3]
    assert [(row.unique_id, row.state, row.reason) for row in lost] == [
        (2, "LOST", "GAP_IN_ID"),
        (3, "LOST", "GAP_IN_ID"),
    ]
    assert all(row.result is None and row.timestamp_ns == 0 and math.isnan(row.monitor) for row in lost)
    assert [event.row for event in only(Event, records)] == [1]


def test_a_frame_that_found_the_queue_full_is_lost_in_a_row_of_its_own():
    bench = Bench(capacity=2)
    records = bench.run(frame(1), frame(2), frame(3))
    last = rows(records)[-1]
    assert (last.unique_id, last.state, last.reason) == (3, FrameState.LOST, Reason.QUEUE_FULL)
    assert last.timestamp_ns == frame(3).timestamp_ns
    assert dict(records[-1].totals.reasons) == {"QUEUE_FULL": 1}
    assert bench.analyser.seen == [(1, frame(1).timestamp_ns), (2, frame(2).timestamp_ns)]


def test_a_copy_of_a_frame_that_nobody_looked_at_is_a_duplicate_and_nothing_lost():
    bench = Bench(capacity=3)
    for each in (frame(1), frame(2), frame(3), frame(3)):
        bench.intake.frame(each)
    bench.intake.refused(unique_id=3, timestamp_ns=0, reason=Reason.MISPAIRED, text="replaced")
    records = bench.run()
    assert [(row.state, row.reason) for row in rows(records)[3:]] == [("REJECTED", "DUPLICATE")] * 2
    assert records[-1].totals.lost == 0


def test_a_frame_that_the_source_refused_is_rejected_with_its_reason_even_without_a_number():
    bench = Bench()
    bench.intake.refused(unique_id=1, timestamp_ns=START_NS, reason=Reason.UNREADABLE, text="bytes")
    bench.intake.refused(unique_id=None, timestamp_ns=START_NS, reason=Reason.MISPAIRED, text="not its own")
    first, second = rows(bench.run())
    assert (first.unique_id, first.state, first.reason, first.text) == (1, "REJECTED", "UNREADABLE", "bytes")
    assert (second.unique_id, second.state, second.reason) == (-1, "LOST", "MISPAIRED")


def test_a_frame_that_the_analysis_refuses_is_rejected_with_its_sentence():
    refusal = FrameResult(refusal=Refusal.NO_BEAM, text="the monitor reads 0")
    row = rows(Bench(ScriptedAnalyser({1: refusal})).run(frame(1)))[0]
    assert (row.state, row.reason, row.text) == ("REJECTED", "NO_BEAM", "the monitor reads 0")


@pytest.mark.parametrize(
    "error",
    [
        PatternError("arrays of two lengths"),
        np.linalg.LinAlgError("singular"),
        ValueError("nonsense"),
        ZeroDivisionError("a bin"),
        FloatingPointError("overflow"),
    ],
)
def test_a_frame_on_which_the_analysis_stumbles_is_rejected_and_the_run_goes_on(error):
    records = Bench(ScriptedAnalyser({2: error})).run(frame(1), frame(2), frame(3))
    assert [row.state for row in rows(records)] == ["PROCESSED", "REJECTED", "PROCESSED"]
    bad = rows(records)[1]
    assert bad.reason == Reason.ANALYSIS_FAILED
    assert str(error) in bad.text
    event = only(Event, records)[0]
    assert (event.kind, event.row) == ("ANALYSIS_FAILED", 1)


def test_a_programming_error_cuts_the_run_off_so_that_the_next_process_goes_on_with_it():
    bench = Bench(ScriptedAnalyser({2: TypeError("a bug")}))
    with pytest.raises(TypeError):
        bench.run(frame(1), frame(2), frame(3))
    records = bench.records.take_all(0.0)
    assert [row.unique_id for row in rows(records)] == [1]
    assert not any(isinstance(record, RunStop) for record in records)
    assert bench.records.closed


def test_a_run_that_cannot_begin_hands_on_nothing():
    def refuse(started_ns):
        raise PatternError("no such line")

    bench = Bench(begin_run=refuse)
    with pytest.raises(PatternError):
        bench.run(frame(1))
    assert bench.drained() == []


def test_a_dark_is_processed_and_named():
    row = rows(Bench().run(frame(1, kind=FrameKind.DARK)))[0]
    assert (row.state, row.reason) == (FrameState.PROCESSED, Reason.DARK)


def test_a_duplicate_is_not_analysed_again():
    bench = Bench()
    states = [(row.state, row.reason) for row in rows(bench.run(frame(1), frame(2), frame(2)))]
    assert states == [("PROCESSED", ""), ("PROCESSED", ""), ("REJECTED", "DUPLICATE")]
    assert [unique_id for unique_id, _ in bench.analyser.seen] == [1, 2]


def test_a_frame_that_comes_late_corrects_its_row_and_gets_none():
    records = Bench().run(frame(1), frame(3), frame(2), frame(4))
    assert [row.unique_id for row in rows(records)] == [1, 2, 3, 4]
    assert only(LedgerCorrection, records) == [LedgerCorrection(1, FrameState.REJECTED, Reason.LATE)]
    assert records[-1].totals.lost == 0


def test_a_disconnection_is_told_and_what_passed_meanwhile_is_its_doing():
    bench = Bench()
    bench.intake.connection(connected=True, text="there")
    bench.intake.frame(frame(1))
    bench.intake.connection(connected=False, text="gone")
    bench.intake.frame(frame(4))
    records = bench.run()
    assert bench.told == [(True, "there"), (False, "gone")]
    assert {row.reason for row in rows(records) if row.state is FrameState.LOST} == {Reason.DISCONNECTED}
    assert only(Status, records)[-1].source_state == "DISCONNECTED"


def test_what_happened_before_the_first_frame_follows_the_start_of_the_run():
    bench = Bench(cycler=True)
    bench.intake.connection(connected=True, text="there")
    bench.intake.warning(kind="STALL", text="silence")
    bench.cycler.put(cycling_samples().samples)
    told = [record for record in bench.run(frame(1)) if not isinstance(record, Status)]
    assert [type(record).__name__ for record in told[:2]] == ["RunStart", "CyclingSamples"]
    assert [event.kind for event in told[2:4]] == ["CONNECTED", "STALL"]
    assert isinstance(told[4], FrameRecord)


def test_samples_that_come_after_a_frame_give_it_its_state():
    bench = Bench(cycler=True)
    bench.intake.frame(frame(20))
    thread = in_thread(bench.stage.run)
    records = []
    while not rows(records):
        records.extend(bench.records.take_all(PATIENCE_S))
    assert rows(records)[0].cell.state is Coupling.NO_CYCLER
    bench.cycler.put(cycling_samples().samples)
    bench.intake.close("the test ended")
    bench.cycler.close()
    thread.join(PATIENCE_S)
    update = only(CellStateUpdate, bench.records.take_all(0.0))[0]
    assert update.rows.tolist() == [0]
    assert update.states[0].state is Coupling.KNOWN
    assert update.states[0].voltage_V == pytest.approx(0.2)


def test_the_cyclers_last_samples_belong_to_the_run():
    bench = Bench(cycler=True)
    bench.intake.frame(frame(1))
    bench.intake.close("the test ended")
    thread = in_thread(bench.stage.run)
    bench.cycler.put(cycling_samples().samples)
    bench.cycler.put(CyclerProblem("line 9 holds letters"))
    bench.cycler.close()
    thread.join(PATIENCE_S)
    records = bench.records.take_all(0.0)
    assert len(only(CyclingSamples, records)) == 1
    assert [(event.kind, event.text) for event in only(Event, records)] == [("CYCLER", "line 9 holds letters")]
    assert isinstance(records[-1], RunStop)


def test_notices_become_events_and_standing_ones_flag_the_run_once():
    notices = (Notice("RING_SELF_TEST", "the rings lie elsewhere", standing=True), Notice("ONSET_LIOH", "seen", 0.5))
    result = FrameResult(notices=notices)
    records = Bench(ScriptedAnalyser({1: result, 2: result})).run(frame(1), frame(2))
    assert [(event.row, event.kind) for event in only(Event, records)] == [
        (0, "RING_SELF_TEST"),
        (0, "ONSET_LIOH"),
        (1, "RING_SELF_TEST"),
        (1, "ONSET_LIOH"),
    ]
    assert records[-1].flags == ("the rings lie elsewhere",)


def test_the_status_is_told_once_a_second_by_the_clock_that_was_passed():
    class Ticking(ScriptedAnalyser):
        def analyse(self, frame, *, timestamp_ns):
            bench.clock.go_on(0.25)
            return super().analyse(frame, timestamp_ns=timestamp_ns)

    bench = Bench(Ticking())
    statuses = only(Status, bench.run(*(frame(number) for number in range(1, 13))))
    stamps = [round((status.timestamp_ns - START_NS) / SECOND_NS, 2) for status in statuses]
    assert stamps == [0.25, 1.25, 2.25, 3.0]
    assert statuses[-1].totals.processed == 12
    assert [queue.name for queue in statuses[-1].queues] == ["frames", "records"]


def test_the_stage_ends_when_nobody_takes_its_records():
    bench = Bench()
    bench.records.close()
    bench.run(*(frame(number) for number in range(1, 100)))
    assert len(bench.analyser.seen) <= 1


def test_a_cycler_that_waits_for_room_is_freed_when_the_stage_ends():
    bench = Bench(ScriptedAnalyser({1: TypeError("a bug")}), cycler=True)
    bench.intake.frame(frame(1))
    with pytest.raises(TypeError):
        bench.stage.run()
    assert not bench.cycler.put(cycling_samples().samples, timeout_s=PATIENCE_S)


ITEMS = st.one_of(
    st.tuples(st.just("frame"), st.integers(0, 40), st.floats(-5, 60)),
    st.tuples(st.just("dark"), st.integers(0, 40), st.floats(-5, 60)),
    st.tuples(st.just("refused"), st.one_of(st.none(), st.integers(0, 40)), st.floats(-5, 60)),
    st.tuples(st.just("connection"), st.booleans(), st.none()),
    st.tuples(st.just("warning"), st.none(), st.none()),
)
ANSWERS = {
    3: ValueError("nonsense"),
    5: FrameResult(refusal=Refusal.NO_MONITOR, text="none"),
    8: PatternError("arrays of two lengths"),
}


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=60), st.integers(1, 50))
def test_whatever_arrives_every_announced_frame_has_one_row_and_the_totals_balance(items, capacity):
    bench = Bench(ScriptedAnalyser(ANSWERS), capacity=capacity)
    for what, first, second in items:
        match what:
            case "frame":
                bench.intake.frame(frame(first, second=second))
            case "dark":
                bench.intake.frame(frame(first, second=second, kind=FrameKind.DARK))
            case "refused":
                stamp_ns = START_NS + round(second * SECOND_NS)
                bench.intake.refused(unique_id=first, timestamp_ns=stamp_ns, reason="UNREADABLE", text="bytes")
            case "connection":
                bench.intake.connection(connected=first, text="the network")
            case _:
                bench.intake.warning(kind="STALL", text="silence")
    records = bench.run()
    arrived = [item for item in items if item[0] in {"frame", "dark", "refused"}]
    if not arrived:
        assert not records
        return
    told = rows(records)
    totals = records[-1].totals
    assert [row.row for row in told] == list(range(len(told)))
    assert totals.announced == len(told) == totals.processed + totals.rejected + totals.lost
    states = {row.row: row.state for row in told}
    states |= {correction.row: correction.state for correction in only(LedgerCorrection, records)}
    assert sum(state is FrameState.PROCESSED for state in states.values()) == totals.processed
    assert sum(state is FrameState.REJECTED for state in states.values()) == totals.rejected
    assert sum(state is FrameState.LOST for state in states.values()) == totals.lost
    assert [type(record) for record in records].count(RunStop) == 1
