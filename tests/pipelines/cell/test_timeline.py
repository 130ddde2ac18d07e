"""The state of the cell between the cycler's samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines.cell.cycling import Coupling, CyclerSamples
from ringwatch_pipelines.cell.timeline import Timeline, cell_state_at, cell_states_at

S = 1_000_000_000
START_NS = 1_700_000_000 * S
NAN = float("nan")


def samples(times_s, voltage_V=0.0, current_A=1e-3, *, cycle=-1, step=-1, charge_C=NAN):
    stamps = START_NS + np.round(np.asarray(times_s, dtype=float) * S).astype(np.int64)

    def column(value, dtype=float):
        return np.broadcast_to(np.asarray(value, dtype=dtype), stamps.shape).copy()

    return CyclerSamples(
        timestamp_ns=stamps,
        cycler_timestamp_ns=stamps,
        voltage_V=column(voltage_V),
        current_A=column(current_A),
        cycle=column(cycle, np.int64),
        step=column(step, np.int64),
        charge_C=column(charge_C),
    )


def timeline_of(*blocks, max_gap_s=100.0):
    timeline = Timeline(max_gap_s=max_gap_s)
    for block in blocks:
        timeline.append(block)
    return timeline


def state_at(timeline, time_s, area_cm2=2.0):
    return cell_state_at(timeline, timestamp_ns=START_NS + round(time_s * S), area_cm2=area_cm2)


def test_the_voltage_is_linear_between_two_samples():
    state = state_at(timeline_of(samples([0, 10], voltage_V=[0.1, 0.3])), 2.5)
    assert state.state is Coupling.KNOWN
    assert state.voltage_V == pytest.approx(0.15)
    assert state.current_density_mA_cm2 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("time_s", "reason"), [(-0.001, Coupling.BEFORE_FIRST_SAMPLE), (10.001, Coupling.AFTER_LAST_SAMPLE)]
)
def test_nothing_is_extrapolated(time_s, reason):
    state = state_at(timeline_of(samples([0, 10])), time_s)
    assert state.state is reason
    assert math.isnan(state.voltage_V)
    assert math.isnan(state.areal_charge_mAh_cm2)
    assert (state.cycle, state.half_cycle, state.step) == (-1, -1, -1)


@pytest.mark.parametrize("time_s", [0, 10])
def test_the_first_and_the_last_sample_themselves_are_known(time_s):
    assert state_at(timeline_of(samples([0, 10])), time_s).state is Coupling.KNOWN


def test_between_samples_far_apart_nothing_is_known_but_on_them_it_is():
    timeline = timeline_of(samples([0, 200, 201]))
    assert state_at(timeline, 100).state is Coupling.GAP_IN_CYCLER
    assert state_at(timeline, 200).state is Coupling.KNOWN


def test_a_sample_without_voltage_and_current_marks_a_gap():
    timeline = timeline_of(samples([0, 1, 2], voltage_V=[1, NAN, 1], current_A=[1e-3, NAN, 1e-3]))
    assert {state_at(timeline, at).state for at in (0.5, 1.0, 1.5)} == {Coupling.GAP_IN_CYCLER}
    assert state_at(timeline, 2.0).state is Coupling.KNOWN


def test_a_switched_current_is_held_until_the_next_sample_and_its_voltage_with_it():
    timeline = timeline_of(samples([0, 10], voltage_V=[0.1, -0.1], current_A=[1e-3, -1e-3], step=[1, 2]))
    state = state_at(timeline, 9)
    assert state.current_A == pytest.approx(1e-3)
    assert state.voltage_V == pytest.approx(0.1)
    assert (state.step, state.half_cycle) == (1, 0)


def test_a_drifting_current_is_linear_within_its_step():
    assert state_at(timeline_of(samples([0, 10], current_A=[1e-3, 3e-3], step=4)), 5).current_A == pytest.approx(2e-3)


def test_the_noise_of_a_zero_current_is_no_change_of_direction():
    timeline = timeline_of(samples([0, 10], voltage_V=[0.1, 0.3], current_A=[1e-9, -1e-9]))
    assert state_at(timeline, 5).voltage_V == pytest.approx(0.2)


def test_a_rest_belongs_to_the_half_cycle_before_it():
    timeline = timeline_of(samples(range(7), current_A=np.array([0, 1, 0, 1, -1, 0, 1]) * 1e-3))
    assert timeline.half_cycle.tolist() == [0, 0, 0, 0, 1, 1, 2]


def test_the_charge_counts_from_the_start_of_the_half_cycle():
    timeline = timeline_of(samples([0, 10, 20, 30, 40], current_A=[1e-3, 1e-3, -1e-3, -1e-3, -1e-3]))
    assert state_at(timeline, 15).areal_charge_mAh_cm2 == pytest.approx(15e-3 / 3.6 / 2)
    assert state_at(timeline, 36).areal_charge_mAh_cm2 == pytest.approx(-16e-3 / 3.6 / 2)


def test_the_charge_that_the_cycler_tells_is_preferred():
    timeline = timeline_of(samples([0, 10, 20], charge_C=[5.0, 6.0, 7.0]))
    assert state_at(timeline, 15).areal_charge_mAh_cm2 == pytest.approx(1.5 / 3.6 / 2)


def test_the_charge_after_a_gap_is_unknown_until_the_next_half_cycle():
    timeline = timeline_of(samples([0, 10, 500, 510, 520, 530], current_A=np.array([1, 1, 1, 1, -1, -1]) * 1e-3))
    assert state_at(timeline, 5).areal_charge_mAh_cm2 > 0
    assert math.isnan(state_at(timeline, 505).areal_charge_mAh_cm2)
    assert state_at(timeline, 525).areal_charge_mAh_cm2 == pytest.approx(-5e-3 / 3.6 / 2)


def test_the_total_charge_counts_from_the_first_sample_net_and_in_either_direction():
    timeline = timeline_of(samples([0, 10, 20, 30, 40], current_A=[1e-3, 1e-3, -1e-3, -1e-3, -1e-3]))
    for seconds, net_s, either_s in ((0, 0, 0), (15, 15, 15), (20, 20, 20), (36, 4, 36)):
        state = state_at(timeline, seconds)
        assert state.total_areal_charge_mAh_cm2 == pytest.approx(net_s * 1e-3 / 3.6 / 2)
        assert state.areal_throughput_mAh_cm2 == pytest.approx(either_s * 1e-3 / 3.6 / 2)


def test_the_total_charge_after_a_gap_is_unknown_for_good_unless_the_cycler_tells_it():
    seconds, current_A = [0, 10, 500, 510, 520, 530], np.array([1, 1, 1, 1, -1, -1]) * 1e-3
    untold = state_at(timeline_of(samples(seconds, current_A=current_A)), 525)
    assert math.isnan(untold.total_areal_charge_mAh_cm2)
    assert math.isnan(untold.areal_throughput_mAh_cm2)
    told = state_at(timeline_of(samples(seconds, current_A=current_A, charge_C=[0, 1, 5, 6, 7, 3])), 525)
    assert told.total_areal_charge_mAh_cm2 == pytest.approx(5.0 / 3.6 / 2)
    assert told.areal_throughput_mAh_cm2 == pytest.approx(9.0 / 3.6 / 2)


def test_of_samples_with_one_stamp_the_last_counts():
    timeline = timeline_of(samples([0, 1, 1, 2], voltage_V=[0, 5, 7, 0]), samples([2], voltage_V=9))
    assert len(timeline) == 3
    assert state_at(timeline, 1).voltage_V == 7
    assert state_at(timeline, 2).voltage_V == 9


def test_without_an_area_the_density_is_unknown_and_the_voltage_is_not():
    state = state_at(timeline_of(samples([0, 1], voltage_V=2)), 0.5, area_cm2=NAN)
    assert state.voltage_V == 2
    assert math.isnan(state.current_density_mA_cm2)


def test_an_empty_timeline_knows_no_cycler():
    assert state_at(Timeline(max_gap_s=1), 0).state is Coupling.NO_CYCLER


def test_a_frame_without_a_time_has_no_state():
    assert cell_state_at(timeline_of(samples([0])), timestamp_ns=0, area_cm2=1).state is Coupling.NO_TIMESTAMP


def test_the_samples_come_back_with_the_charge_filled_in():
    timeline = Timeline(max_gap_s=100)
    first = timeline.append(samples([0, 10]))
    second = timeline.append(samples([20]))
    assert np.concatenate([first.charge_C, second.charge_C]) == pytest.approx([0, 10e-3, 20e-3])


@given(
    currents=st.lists(st.sampled_from([-2e-3, -1e-3, 0.0, 1e-3, NAN]), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    blocks=st.integers(1, 6),
)
def test_the_order_of_arrival_does_not_matter(currents, order, blocks):
    times = np.arange(len(currents)) * 10.0
    whole = timeline_of(samples(times, voltage_V=times, current_A=currents), max_gap_s=15)
    shuffled = list(range(len(currents)))
    order.shuffle(shuffled)
    parts = [shuffled[start::blocks] for start in range(blocks)]
    pieces = timeline_of(
        *(samples(times[part], voltage_V=times[part], current_A=np.array(currents)[part]) for part in parts),
        max_gap_s=15,
    )
    asked = START_NS + np.arange(-5, 10 * len(currents), 7, dtype=np.int64) * S
    expected = cell_states_at(whole, timestamp_ns=asked, area_cm2=1.0)
    assert repr(cell_states_at(pieces, timestamp_ns=asked, area_cm2=1.0)) == repr(expected)
