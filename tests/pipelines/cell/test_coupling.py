"""Frames and samples that arrive in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines.cell.clock import ClockRelation
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.cycling import Coupling, CyclerSamples
from ringwatch_pipelines.cell.timeline import Timeline

S = 1_000_000_000
START_NS = 1_700_000_000 * S


def samples(times_s):
    times = np.asarray(times_s, dtype=float)
    stamps = START_NS + (times * S).astype(np.int64)
    blank = np.full(times.shape, -1, dtype=np.int64)
    return CyclerSamples(
        timestamp_ns=stamps,
        cycler_timestamp_ns=stamps,
        voltage_V=times,
        current_A=np.full(times.shape, 1e-3),
        cycle=blank,
        step=blank,
        charge_C=np.full(times.shape, np.nan),
    )


def coupler(max_gap_s=20.0):
    return Coupler(Timeline(max_gap_s=max_gap_s), area_cm2=1.0)


def frame(a_coupler, row, time_s):
    return a_coupler.state_for_frame(row=row, timestamp_ns=START_NS + round(time_s * S))


def changes(coupled):
    return {entry.row: (entry.state.state, entry.state.voltage_V) for entry in coupled.earlier}


def test_a_frame_within_the_samples_is_coupled_at_once():
    c = coupler()
    c.take_samples(samples([0, 10]))
    assert frame(c, 0, 5).voltage_V == 5.0
    assert c.waiting == 0


def test_frames_after_the_last_sample_are_filled_in_when_it_is_no_longer_the_last():
    c = coupler()
    c.take_samples(samples([0, 10]))
    assert [frame(c, row, t).state for row, t in [(0, 8), (1, 12), (2, 18), (3, 22)]] == [
        Coupling.KNOWN,
        *[Coupling.AFTER_LAST_SAMPLE] * 3,
    ]
    assert changes(c.take_samples(samples([20]))) == {1: (Coupling.KNOWN, 12.0), 2: (Coupling.KNOWN, 18.0)}
    assert changes(c.take_samples(samples([30]))) == {3: (Coupling.KNOWN, 22.0)}
    assert c.waiting == 0


def test_frames_before_the_first_sample_are_filled_in_by_an_earlier_file():
    c = coupler()
    c.take_samples(samples([100, 110]))
    assert frame(c, 7, 95).state is Coupling.BEFORE_FIRST_SAMPLE
    assert changes(c.take_samples(samples([80, 90]))) == {7: (Coupling.KNOWN, 95.0)}


def test_all_frames_are_told_when_the_first_file_arrives():
    c = coupler()
    for row, time_s in enumerate([-5, 5, 15]):
        assert frame(c, row, time_s).state is Coupling.NO_CYCLER
    told = changes(c.take_samples(samples([0, 10])))
    assert [told[row][0] for row in range(3)] == [
        Coupling.BEFORE_FIRST_SAMPLE,
        Coupling.KNOWN,
        Coupling.AFTER_LAST_SAMPLE,
    ]
    assert c.waiting == 2


def test_a_frame_in_a_gap_is_filled_in_when_the_gap_is():
    c = coupler()
    c.take_samples(samples([0, 60]))
    assert frame(c, 3, 30).state is Coupling.GAP_IN_CYCLER
    assert changes(c.take_samples(samples([20, 40]))) == {3: (Coupling.KNOWN, 30.0)}


def test_a_frame_that_waited_at_the_end_may_turn_out_to_lie_in_a_gap():
    c = coupler()
    c.take_samples(samples([0]))
    frame(c, 1, 30)
    told = c.take_samples(samples([60])).earlier
    assert [(entry.row, entry.state.state) for entry in told] == [(1, Coupling.GAP_IN_CYCLER)]


def test_a_late_file_changes_only_the_frames_before_it():
    c = coupler()
    c.take_samples(samples(range(0, 100, 10)))
    known = [frame(c, row, t).state for row, t in enumerate(range(0, 90, 7))]
    frame(c, 50, 95)
    frame(c, 51, 500)
    assert set(known) == {Coupling.KNOWN}
    assert set(changes(c.take_samples(samples(range(100, 200, 10))))) == {50}
    assert c.waiting == 1


def test_a_frame_without_a_time_never_waits():
    c = coupler()
    assert c.state_for_frame(row=0, timestamp_ns=0).state is Coupling.NO_TIMESTAMP
    assert c.waiting == 0


@given(
    frames=st.lists(st.integers(-30, 130), max_size=30, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_whatever_the_order_every_frame_ends_with_the_state_of_the_whole_series(frames, order):
    """Steps of one unit are nowhere a gap, so that the order of the samples cannot hide anything."""
    every = list(range(0, 101, 5))
    one_by_one, at_once = coupler(6.0), coupler(6.0)
    at_once.take_samples(samples(every))
    expected = {row: frame(at_once, row, t) for row, t in enumerate(frames)}
    things = [("frame", row) for row in range(len(frames))] + [("sample", t) for t in every]
    order.shuffle(things)
    states = {}
    for kind, what in things:
        if kind == "frame":
            states[what] = frame(one_by_one, what, frames[what])
        else:
            states.update({told.row: told.state for told in one_by_one.take_samples(samples([what])).earlier})
    assert {row: (s.state, repr(s.voltage_V)) for row, s in states.items()} == {
        row: (s.state, repr(s.voltage_V)) for row, s in expected.items()
    }


def test_a_declared_clock_is_applied_once_with_its_drift_counted_from_the_first_sample():
    clock = ClockRelation(offset_s=-5.0, drift_ppm=1e5)
    c = Coupler(Timeline(max_gap_s=30.0), area_cm2=1.0, clock=clock)
    told = [c.take_samples(samples(times)).samples.timestamp_ns for times in ([100, 110], [120])]
    since_s = (np.concatenate(told) - START_NS) / S
    assert since_s.tolist() == [95.0, 106.0, 117.0]
    assert frame(c, 0, 106).voltage_V == 110.0


def test_a_clock_that_changes_couples_every_frame_anew():
    c = Coupler(Timeline(max_gap_s=20.0), area_cm2=1.0, clock=ClockRelation(), clock_may_change=True)
    c.take_samples(samples(range(0, 101, 10)))
    before = {row: frame(c, row, t) for row, t in [(0, -3), (1, 50), (2, 97)]}
    assert [state.state for state in before.values()] == [Coupling.BEFORE_FIRST_SAMPLE, Coupling.KNOWN, Coupling.KNOWN]
    anew = {told.row: told.state for told in c.set_clock(ClockRelation(offset_s=-5.0))}
    assert [anew[row].voltage_V for row in (0, 1)] == [2.0, 55.0]
    assert anew[2].state is Coupling.AFTER_LAST_SAMPLE
    # What waits now is filled in by samples that come on the new clock.
    assert changes(c.take_samples(samples([110]))) == {2: (Coupling.KNOWN, 102.0)}
    assert frame(c, 3, 100).voltage_V == 105.0


def test_a_clock_that_changes_leaves_charge_and_half_cycles_to_the_cycler():
    c = Coupler(Timeline(max_gap_s=200.0), area_cm2=1.0, clock=ClockRelation(), clock_may_change=True)
    c.take_samples(samples(range(0, 1001, 10)))
    before = frame(c, 0, 700)
    [told] = c.set_clock(ClockRelation(offset_s=100.0))
    assert told.state.half_cycle == before.half_cycle
    assert told.state.areal_charge_mAh_cm2 * 3600 == pytest.approx(600.0)
    assert before.areal_charge_mAh_cm2 * 3600 == pytest.approx(700.0)
