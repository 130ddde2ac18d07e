"""A cell's clock is measured while frames and samples come, told, and applied only where that is asked for."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.breathing_cells import TRUTH, BreathingCell, stamps_of
from ringwatch_daemon.core.records import CellStateUpdate, CyclerClock
from ringwatch_daemon.workers.cell_clock import CellClock
from ringwatch_pipelines.cell.clock import ClockMethod, ClockRelation
from ringwatch_pipelines.cell.clock_watch import ClockMark, ClockRule, ClockWatch
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.results import (
    Estimate,
    FitState,
    FrameResult,
    FreePhaseTrack,
    Notice,
    PeakState,
    PeakTable,
    Tracked,
)

CELL = BreathingCell()
NO_PEAKS = PeakTable(np.zeros((0, 3), np.int32), *(np.zeros(0) for _ in range(6)))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in a run; many threads on small matrices only wait for each other."""
    with threadpool_limits(limits=1):
        yield


def frame(time_s, *, mark=0.0):
    stamp_ns = int(stamps_of(time_s))
    return Frame(1, stamp_ns, stamp_ns, 60.0, np.zeros((1, 1)), attributes=(("CellVoltage", mark),))


def result(a, a_sigma, c, c_sigma):
    lattice = (("a", Estimate(a, a_sigma)), ("c", Estimate(c, c_sigma)))
    lagp = FreePhaseTrack("lagp", PeakState.PRESENT, lattice, Estimate(), Estimate(), NO_PEAKS)
    return FrameResult(tracked=Tracked(FitState.CONVERGED, phases=(lagp,)))


def run_of(*, applied=False, mark=None, declared=None, cell=CELL, every_s=600.0, breathing=True):
    """What a whole run tells of its clock, and the states that its frames were given."""
    declared = declared or ClockRelation()
    timeline = Timeline(max_gap_s=3600.0)
    coupler = Coupler(timeline, area_cm2=1.0, clock=declared, clock_may_change=applied)
    clock = CellClock(watch=ClockWatch(timeline, ClockRule(declared, mark)), coupler=coupler, applied=applied)
    time_s = np.arange(300.0, cell.length_s, every_s)
    lattice = np.array(cell.lattice(time_s, np.random.default_rng(7))).T
    coupler.take_samples(cell.samples())
    told, states = [], {}
    for row, (at_s, values) in enumerate(zip(time_s, lattice, strict=True)):
        states[row] = coupler.state_for_frame(row=row, timestamp_ns=int(stamps_of(at_s)))
        measured = result(*values) if breathing else FrameResult()
        shown = float(cell.current_mA(at_s + 30.0))
        clock.saw(frame(at_s, mark=shown), measured, timestamp_ns=int(stamps_of(at_s)))
        told += clock.look()
    told += clock.finish()
    for each in told:
        if isinstance(each, CellStateUpdate):
            states |= dict(zip(each.rows.tolist(), each.states, strict=True))
    return told, states, time_s


def clocks(told):
    return [each for each in told if isinstance(each, CyclerClock)]


def notices(told):
    return [each for each in told if isinstance(each, Notice)]


@pytest.fixture(scope="module")
def measured_run():
    return run_of(applied=True)


def test_a_measured_clock_is_told_with_its_error_and_the_last_word_is_the_best(measured_run):
    told, _, _ = measured_run
    estimates = [clock.estimate for clock in clocks(told)]
    assert 2 <= len(estimates) <= 12
    assert estimates[-1].offset_sigma_s == min(estimate.offset_sigma_s for estimate in estimates)
    last = estimates[-1]
    assert abs(last.relation.offset_s - TRUTH.at(last.relation.reference_ns).offset_s) < 40.0
    assert last.method is ClockMethod.BREATHING


def test_a_measured_clock_is_applied_to_every_frame_where_that_is_asked_for(measured_run):
    told, states, time_s = measured_run
    current_mA = np.array([1e3 * states[row].current_A for row in range(time_s.size)])
    settled = np.abs(CELL.charge(time_s + 60.0) - CELL.charge(time_s - 60.0)) > 120.0 / CELL.half_s * 0.999
    assert settled.sum() > 1500
    assert np.array_equal(current_mA[settled], CELL.current_mA(time_s[settled]))
    assert {notice.kind for notice in notices(told)} == {"CLOCK_APPLIED"}
    assert "the measured clock is applied" in notices(told)[-1].text


def test_by_default_it_is_told_and_changes_nothing():
    told, states, time_s = run_of()
    assert not any(isinstance(each, CellStateUpdate) for each in told)
    assert not any(clock.applied for clock in clocks(told))
    late_mA = CELL.current_mA(time_s - 437.0 - 12.0)
    current_mA = np.array([1e3 * states[row].current_A for row in range(time_s.size)])
    assert np.mean(current_mA == late_mA) > 0.99
    last = notices(told)[-1]
    assert (last.kind, last.timestamp_ns) == ("CLOCK_OFF", int(stamps_of(time_s[-1])))
    assert "the declared clock stays applied" in last.text


def test_a_clock_that_was_declared_rightly_is_confirmed():
    told, _, _ = run_of(declared=TRUTH)
    assert {notice.kind for notice in notices(told)} == {"CLOCK_MEASURED"}


def test_a_mark_is_taken_where_it_tells_more():
    told, _, _ = run_of(mark=ClockMark("CellVoltage"), every_s=97.0, breathing=False)
    last = clocks(told)[-1].estimate
    assert last.method is ClockMethod.MARK
    assert last.offset_sigma_s < 10.0
    assert abs(last.relation.offset_s - TRUTH.at(last.relation.reference_ns).offset_s) < 30.0


def test_where_nothing_can_be_measured_that_is_said_and_the_declared_clock_stays():
    told, _, _ = run_of(applied=True, cell=replace(CELL, breathing=0.0), every_s=1800.0)
    [notice] = notices(told)
    assert notice.kind == "CLOCK_WARNING"
    assert "so the declared one is applied: no track follows the charge" in notice.text


def test_frames_that_alias_the_cycle_are_warned_of():
    told, _, _ = run_of(every_s=CELL.half_s + CELL.pause_s)
    [notice] = notices(told)
    assert "frames alias the cycle" in notice.text
