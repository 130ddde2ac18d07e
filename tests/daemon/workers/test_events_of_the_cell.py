"""What the analysis and the cell tell becomes events at the time of what they tell of."""

import numpy as np
import pytest

from fakes.clock import ManualClock
from fakes.records import START_NS
from fakes.stages import SECOND_NS, ScriptedAnalyser, frame, start_of_a_run
from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.core.records import CyclingSamples, Event, Totals
from ringwatch_daemon.core.resumption import Resumption
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.results import FrameResult, Notice

HALF_S = 600


def events_of(analyser, samples=()):
    """The events of a run of two frames, with the cycler's samples there before its first frame."""
    timeline, clock = Timeline(max_gap_s=3600.0), ManualClock(START_NS)
    cycler, records = Channel("cycler", 100), Channel("records", 1000)
    intake = Intake(capacity=10, overflow=Overflow.DROP_NEWEST, clock=clock)
    for each in (frame(1), frame(2)):
        intake.frame(each)
    intake.close("the end")
    for each in samples:
        cycler.put(each)
    cycler.close()
    parts = AnalysisParts(
        intake=intake,
        analyser=analyser,
        records=records,
        begin_run=start_of_a_run,
        clock=clock,
        tell=lambda connected, text: None,
        cells=(CellFollower(coupler=Coupler(timeline, area_cm2=1.0), found=cycler, watch=CellWatch(timeline)),),
    )
    AnalysisStage(parts).run()
    found = []
    while True:
        try:
            found.extend(records.take_all(0.0))
        except ChannelClosed:
            return [record for record in found if isinstance(record, Event)]


def half_cycles(resistance_ohm):
    seconds = np.arange(0, HALF_S * len(resistance_ohm), 10)
    half = seconds // HALF_S
    current_A = np.where(half % 2 == 0, 1e-3, -1e-3)
    stamps = START_NS + seconds * SECOND_NS
    nobody = np.full(seconds.size, -1, dtype=np.int64)
    unknown = np.full(seconds.size, np.nan)
    return CyclerSamples(
        stamps, stamps, current_A * np.asarray(resistance_ohm)[half], current_A, nobody, nobody, unknown
    )


def test_an_onset_stands_at_its_own_time_with_its_uncertainty_and_the_frame_that_proved_it():
    notice = Notice("ONSET_LIOH", "lioh appears", sigma_h=0.5, timestamp_ns=START_NS - 7200 * SECOND_NS)
    [event] = events_of(ScriptedAnalyser({2: FrameResult(notices=(notice,))}))
    assert (event.timestamp_ns, event.row, event.kind, event.sigma_h) == (notice.timestamp_ns, 1, "ONSET_LIOH", 0.5)


def test_a_notice_without_a_time_stands_at_its_frame():
    [event] = events_of(ScriptedAnalyser({2: FrameResult(notices=(Notice("DARK", "taken"),))}))
    assert event.timestamp_ns == frame(2).timestamp_ns


def test_a_short_circuit_stands_at_the_time_at_which_it_began():
    [event] = events_of(ScriptedAnalyser(), [half_cycles([100.0] * 8 + [2.0] * 3)])
    assert event.kind == "SHORT_CIRCUIT_HARD"
    assert abs(event.timestamp_ns - (START_NS + 8 * HALF_S * SECOND_NS)) < 15 * SECOND_NS


def test_a_sound_cell_has_no_events():
    assert events_of(ScriptedAnalyser(), [half_cycles([100.0] * 12)]) == []


@pytest.mark.parametrize(("cell_name", "told_anew"), [("", []), ("another", ["SHORT_CIRCUIT_HARD"])])
def test_a_short_circuit_that_was_told_before_the_daemon_was_cut_off_is_not_told_again(cell_name, told_anew):
    timeline, found = Timeline(max_gap_s=3600.0), Channel("cycler", 10)
    follower = CellFollower(coupler=Coupler(timeline, area_cm2=1.0), found=found, watch=CellWatch(timeline))
    # What is stored does not show it: the collapse comes with the file that is read anew.
    stored, whole = half_cycles([100.0] * 8), half_cycles([100.0] * 8 + [2.0] * 3)
    run = Resumption(
        run_id="run_one",
        started_ns=START_NS,
        last_write_ns=START_NS,
        totals=Totals(),
        newest=(),
        newest_received=frozenset(),
        waiting=(),
        samples=(CyclingSamples(stored),),
        event_kinds=frozenset({(cell_name, "SHORT_CIRCUIT_HARD")}),
        checkpoint=None,
    )
    found.put(whole)
    told = [*follower.resume(run), *follower.take(0.0)]
    assert [notice.kind for notice in told if isinstance(notice, Notice)] == told_anew
