"""The middle stage with several cells: each row, sample and event belongs to one of them, or says that nobody knows."""

from dataclasses import replace

from fakes.clock import ManualClock
from fakes.records import START_NS, cycling_samples
from fakes.stages import ScriptedAnalyser, frame, start_of_a_run
from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.records import CellStateUpdate, CyclingSamples, Event, FrameRecord, Status
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_daemon.workers.cycler_stage import CyclerProblem
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.cycling import Coupling
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.results import FrameResult, Notice


def shows(unique_id, cell):
    return replace(frame(unique_id, second=10 * unique_id), cell=cell)


def records_of(frames, *, items, analyser=None, capacity=100):
    """Records of a run of the cells ``a`` and ``b`` with a cycler each, and ``c`` without one."""
    clock = ManualClock(START_NS + 10**12)
    intake = Intake(capacity=capacity, overflow=Overflow.DROP_NEWEST, clock=clock)
    records, cyclers = Channel("records", 1000), {name: Channel("cycler", 100) for name in "ab"}
    followers = [
        CellFollower(name=name, coupler=Coupler(Timeline(max_gap_s=3600.0), area_cm2=1.0), found=found)
        for name, found in cyclers.items()
    ]
    for each in frames:
        intake.frame(each)
    intake.close("the test ended")
    for name, item in items:
        cyclers[name].put(item)
    for found in cyclers.values():
        found.close()
    AnalysisStage(
        AnalysisParts(
            intake=intake,
            analyser=analyser or ScriptedAnalyser(),
            records=records,
            begin_run=start_of_a_run,
            clock=clock,
            tell=lambda *_: None,
            cells=(*followers, CellFollower(name="c")),
        )
    ).run()
    found = []
    while True:
        try:
            found += records.take_all(0.0)
        except ChannelClosed:
            return found


def only(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_a_frame_has_the_state_of_its_own_cell_and_of_no_other():
    samples = cycling_samples(0, 20).samples
    other = replace(samples, voltage_V=samples.voltage_V + 1.0)
    frames = [shows(1, "a"), shows(2, "b"), shows(3, "c"), shows(4, ""), shows(5, "'shelf'")]
    records = records_of(frames, items=[("a", samples), ("b", other)])
    states = {row.unique_id: row for row in only(FrameRecord, records)}
    assert [states[number].cell_name for number in range(1, 6)] == ["a", "b", "c", "", ""]
    assert (states[1].cell.voltage_V, states[2].cell.voltage_V) == (samples.voltage_V[1], other.voltage_V[2])
    assert states[3].cell.state is Coupling.NO_CYCLER
    assert {states[number].cell.state for number in (4, 5)} == {Coupling.UNKNOWN_CELL}


def test_samples_that_come_late_change_the_frames_of_their_cell_only():
    frames = [shows(1, "a"), shows(2, "b"), shows(3, "a"), shows(4, "b")]
    early = cycling_samples(0, 1).samples
    records = records_of(frames, items=[("a", early), ("b", early), ("b", cycling_samples(1, 20).samples)])
    names = {update.cell_name for update in only(CellStateUpdate, records)}
    filled = {int(row) for update in only(CellStateUpdate, records) for row in update.rows if update.cell_name == "b"}
    rows = {row.row: row for row in only(FrameRecord, records)}
    assert names <= {"a", "b"}
    assert all(rows[row].cell_name == "b" for row in filled)
    assert [each.cell_name for each in only(CyclingSamples, records)] == ["a", "b", "b"]


def test_what_happens_names_its_cell():
    analyser = ScriptedAnalyser({2: FrameResult(notices=(Notice("ONSET_LIOH", "lioh appears"),))})
    items = [("a", CyclerProblem("line 3 cannot be read"))]
    records = records_of([shows(1, "a"), shows(2, "b")], items=items, analyser=analyser)
    events = {event.kind: event for event in only(Event, records)}
    assert events["ONSET_LIOH"].cell_name == "b"
    assert events["CYCLER"].cell_name == "a"


def test_a_dropped_frame_keeps_the_name_of_its_cell():
    rows = only(FrameRecord, records_of([shows(1, "a"), shows(2, "b"), shows(3, "b")], items=(), capacity=2))
    assert [(row.cell_name, str(row.reason)) for row in rows] == [("a", ""), ("b", ""), ("b", "QUEUE_FULL")]


def test_the_queue_of_each_cycler_is_told_by_name():
    [status, *_] = only(Status, records_of([shows(1, "a")], items=()))
    assert [level.name for level in status.queues][-2:] == ["cycler a", "cycler b"]
