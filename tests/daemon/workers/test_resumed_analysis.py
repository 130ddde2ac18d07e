"""The middle stage goes on with a run that was cut off."""

from dataclasses import fields

import numpy as np

from fakes.clock import ManualClock
from fakes.records import START_NS, cycling_samples
from fakes.stages import SECOND_NS, ScriptedAnalyser, frame, start_of_a_run
from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.ledger import EnteredRow
from ringwatch_daemon.core.records import (
    CellStateUpdate,
    CyclingSamples,
    Event,
    FrameRecord,
    FrameState,
    RunStart,
    RunStop,
    Totals,
)
from ringwatch_daemon.core.resumption import Resumption, WaitingFrame
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_daemon.workers.stored_samples import StoredSamples
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.cycling import Coupling, CyclerSamples
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.frames import Frame

ROWS = 30
DOWN_S = 40


def cut_off_run(samples: CyclerSamples) -> Resumption:
    """Thirty frames a second apart, of which the last ten wait for the cycler."""
    stamps = [frame(number).timestamp_ns for number in range(ROWS)]
    return Resumption(
        run_id="run_one",
        started_ns=START_NS - 5,
        last_write_ns=START_NS + ROWS * SECOND_NS,
        totals=Totals(announced=ROWS, processed=ROWS),
        newest=tuple(EnteredRow(row, row, stamps[row], FrameState.PROCESSED, "") for row in range(ROWS)),
        newest_received=frozenset(),
        waiting=tuple(WaitingFrame(row, stamps[row], Coupling.AFTER_LAST_SAMPLE) for row in range(21, ROWS)),
        samples=(CyclingSamples(samples),),
        event_kinds=frozenset(),
        checkpoint=None,
    )


def records_of(resumed: Resumption, *, samples: CyclerSamples, frames, spooled=()) -> list:
    clock = ManualClock(START_NS + (ROWS + DOWN_S) * SECOND_NS)
    intake = Intake(capacity=1000, overflow=Overflow.DROP_NEWEST, clock=clock)
    records, cycler = Channel("records", 10_000), Channel("cycler", 100)
    parts = AnalysisParts(
        intake=intake,
        analyser=ScriptedAnalyser(),
        cells=(CellFollower(coupler=Coupler(Timeline(max_gap_s=3600.0), area_cm2=1.0), found=cycler),),
        records=records,
        begin_run=start_of_a_run,
        clock=clock,
        tell=lambda *_: None,
        resumed=resumed,
    )
    intake.take_up(spooled)
    for each in frames:
        intake.frame(each)
    intake.close("the test ended")
    cycler.put(samples)
    cycler.close()
    AnalysisStage(parts).run()
    found = []
    while True:
        try:
            found += records.take_all(0.1)
        except ChannelClosed:
            return found


def of_kind(records: list, kind: type) -> list:
    return [record for record in records if isinstance(record, kind)]


def test_rows_go_on_missed_frames_are_lost_and_waiting_ones_get_their_cell_from_the_cycler_read_anew():
    told, read_anew = cycling_samples(0, 3).samples, cycling_samples(0, 9).samples
    records = records_of(cut_off_run(told), samples=read_anew, frames=[frame(35), frame(36)])
    assert isinstance(records[0], RunStart)
    assert records[0].started_ns == START_NS - 5
    rows = of_kind(records, FrameRecord)
    assert [(each.row, each.unique_id, each.reason) for each in rows] == [
        *((number, number, "DAEMON_DOWN") for number in range(30, 35)),
        (35, 35, ""),
        (36, 36, ""),
    ]
    resumed = next(event for event in of_kind(records, Event) if event.kind == "RESUMED")
    assert f"{DOWN_S}.0 s" in resumed.text
    filled = {
        int(row): state.voltage_V
        for update in of_kind(records, CellStateUpdate)
        for row, state in zip(update.rows, update.states, strict=True)
    }
    # Each sample is a step of its own, so the voltage of the one at 20 s is held.
    assert {row: filled[row] for row in range(21, 30)} == dict.fromkeys(range(21, 30), read_anew.voltage_V[2])
    new = of_kind(records, CyclingSamples)
    stamps = np.concatenate([each.samples.timestamp_ns for each in new])
    np.testing.assert_array_equal(stamps, read_anew.timestamp_ns[3:])
    totals = of_kind(records, RunStop)[0].totals
    assert (totals.announced, totals.processed, totals.lost) == (37, 32, 5)


class Kept:
    """A frame in a spool."""

    def __init__(self, number: int) -> None:
        self.unique_id = number

    def load(self) -> Frame:
        return frame(self.unique_id)


def test_what_died_in_memory_among_spooled_frames_is_told_from_what_is_lost_later():
    samples = cycling_samples(0, 3).samples
    spooled = [Kept(31), Kept(33)]
    records = records_of(cut_off_run(samples), samples=samples, frames=[frame(40), frame(42)], spooled=spooled)
    reasons = {each.unique_id: str(each.reason) for each in of_kind(records, FrameRecord)}
    assert [reasons[number] for number in (30, 31, 32, 33)] == ["DAEMON_DOWN", "", "DAEMON_DOWN", ""]
    assert {reasons[number] for number in range(34, 40)} == {"DAEMON_DOWN"}
    assert [reasons[number] for number in (40, 41, 42)] == ["", "GAP_IN_ID", ""]


def test_only_samples_that_are_not_stored_or_changed_are_new():
    stored, again = cycling_samples(0, 5).samples, cycling_samples(2, 6).samples
    known = StoredSamples(stored)
    np.testing.assert_array_equal(known.new_of(again).timestamp_ns, again.timestamp_ns[3:])
    changed = CyclerSamples(**{each.name: getattr(stored, each.name) for each in fields(CyclerSamples)})
    voltage = changed.voltage_V.copy()
    voltage[1] = 9.0
    corrected = CyclerSamples(
        **{each.name: voltage if each.name == "voltage_V" else getattr(stored, each.name) for each in fields(stored)}
    )
    np.testing.assert_array_equal(known.new_of(corrected).timestamp_ns, stored.timestamp_ns[1:2])
    nothing = CyclerSamples(**{each.name: getattr(stored, each.name)[:0] for each in fields(stored)})
    assert StoredSamples(nothing).new_of(again) is again
