"""The cell's course passes through what the study saw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_simulators.cell_current import ShortCircuits
from ringwatch_simulators.cell_model import CellModel, CellParameters

MODEL = CellModel(CellParameters())


def test_lattice_and_crystallites_shrink_by_what_the_study_saw():
    start, end = MODEL.at(0.0), MODEL.at(340.0)
    assert end.a_A / start.a_A - 1 == pytest.approx(-1.0e-3, abs=3e-5)
    assert end.c_A / start.c_A - 1 == pytest.approx(-1.0e-3, abs=3e-5)
    assert end.size_nm / start.size_nm - 1 == pytest.approx(-0.27, abs=1e-9)
    assert end.area_113 < start.area_113
    assert end.strain > start.strain


def test_lithium_grows_and_its_ratio_falls_to_that_of_a_random_powder_after_130_h():
    areas = [MODEL.at(time_h).area_110 for time_h in (1.0, 100.0, 200.0, 340.0)]
    assert areas == sorted(areas)
    assert MODEL.at(60.0).ratio > 11.0
    assert MODEL.at(260.0).ratio == pytest.approx(7.2, abs=0.01)
    assert MODEL.at(340.0).area_110 == pytest.approx(0.057 * MODEL.parameters.lagp_area)


@given(st.floats(0.0, 340.0))
def test_the_ratio_is_the_quotient_of_the_areas_and_nothing_is_negative(time_h):
    truth = MODEL.at(time_h)
    assert truth.area_110 / truth.area_200 == pytest.approx(truth.ratio)
    assert min(truth.area_200, truth.lioh_area, truth.alpo4_area, truth.hump_counts) >= 0.0
    assert 0.9 < truth.monitor <= 1.0


def test_new_phases_come_after_their_onset():
    assert MODEL.at(119.0).lioh_area == 0.0 < MODEL.at(125.0).lioh_area
    assert MODEL.at(249.0).alpo4_area == 0.0 < MODEL.at(255.0).alpo4_area


def test_anchors_scale_with_the_length_of_the_course():
    short = CellModel(CellParameters(duration_h=34.0))
    assert short.at(11.9).lioh_area == 0.0 < short.at(12.5).lioh_area
    assert short.at(34.0).size_nm == MODEL.at(340.0).size_nm


def test_the_current_is_a_square_wave_and_the_voltage_has_its_sign():
    parameters = MODEL.parameters
    rest = MODEL.cycling_at(1.0)
    assert (rest.current_A, rest.half_cycle) == (0.0, -1)
    times = parameters.rest_h + parameters.half_cycle_h * (np.arange(6) + 0.5)
    states = [MODEL.cycling_at(float(time_h)) for time_h in times]
    assert [np.sign(state.current_A) for state in states] == [1, -1, 1, -1, 1, -1]
    assert all(state.current_A * state.voltage_V > 0 for state in states)
    assert abs(states[-1].voltage_V) > abs(states[0].voltage_V)
    assert abs(states[0].current_A) * 1e3 / parameters.area_cm2 == pytest.approx(1.0)


def test_the_lattice_breathes_with_the_charge_and_jumps_nowhere():
    breathing = 1e-4
    cell, still = (CellModel(CellParameters(pause_h=0.5, breathing=size)) for size in (breathing, 0.0))
    times = np.arange(0.0, 60.0, 0.05)
    stretch = np.array([cell.at(time_h).a_A / still.at(time_h).a_A - 1.0 for time_h in times])
    assert np.abs(np.diff(stretch)).max() <= breathing * 0.05 / 12.0 * 1.001
    assert np.ptp(stretch) == pytest.approx(breathing, rel=0.01)
    current_A = np.array([cell.cycling_at(time_h).current_A for time_h in times])
    moving = np.abs(np.diff(stretch)) > 1e-9
    assert np.mean(np.sign(np.diff(stretch))[moving] == np.sign(current_A)[:-1][moving]) > 0.98


def test_short_circuits_take_the_resistance_away_and_are_told():
    sound = CellModel(CellParameters())
    cell = CellModel(CellParameters(shorts=ShortCircuits(soft_h=100.0, hard_h=200.0)))
    share = {time_h: cell.at(time_h).voltage_V / sound.at(time_h).voltage_V for time_h in (99.0, 101.0, 201.0)}
    assert share[99.0] == 1.0
    assert share[101.0] == pytest.approx(0.6, abs=0.06)
    assert share[201.0] == pytest.approx(0.02)
    assert [cell.at(time_h).short_circuit for time_h in share] == ["none", "soft", "hard"]


def test_after_a_pause_no_current_flows_and_the_voltage_relaxes():
    cell = CellModel(CellParameters(half_cycle_h=4.0, pause_h=2.0))
    states = [cell.cycling_at(2.0 + 4.0 + pause_h) for pause_h in (0.0, 0.25, 1.9)]
    assert [state.current_A for state in states] == [0.0, 0.0, 0.0]
    assert [state.voltage_V for state in states] == pytest.approx([0.020, 0.020 / np.e, 0.0], abs=1e-4)
    assert {state.step for state in states} == {3}
