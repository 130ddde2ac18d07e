"""The clocks from switches that frames and cycler both see."""

import numpy as np

from fakes.breathing_cells import TRUTH, BreathingCell, stamps_of
from ringwatch_pipelines.cell.clock import ClockMethod, ClockRelation
from ringwatch_pipelines.cell.clock_marks import clock_from_switches, switches_from_signal

CELL = BreathingCell()
SAMPLES = CELL.samples()
CYCLER = switches_from_signal(timestamp_ns=SAMPLES.cycler_timestamp_ns, signal=SAMPLES.voltage_V, threshold=0.01)


def reading(*, every_s=97.0, begin_s=0.0, glitches=0, search_s=7200.0, cell=CELL, cycler=CYCLER):
    time_s = np.arange(begin_s, cell.length_s, every_s)
    signal = (cell.current_mA(time_s) > 0).astype(float)
    for place in np.random.default_rng(1).integers(0, time_s.size, glitches):
        signal[place] = 1.0 - signal[place]
    frames = switches_from_signal(timestamp_ns=stamps_of(time_s), signal=signal)
    return clock_from_switches(frames=frames, cycler=cycler, declared=ClockRelation(), search_s=search_s)


def pull(estimate):
    return (estimate.relation.offset_s - TRUTH.at(estimate.relation.reference_ns).offset_s) / estimate.offset_sigma_s


def test_a_signal_switches_where_it_crosses_the_middle_of_its_range():
    signal = np.array([0.1, 0.0, np.nan, 4.9, 5.0, 0.2])
    found = switches_from_signal(timestamp_ns=np.arange(6), signal=signal)
    assert (found.before_ns.tolist(), found.after_ns.tolist(), found.rises.tolist()) == ([1, 4], [3, 5], [True, False])


def test_a_mark_every_97_s_tells_the_offset_to_a_few_seconds():
    estimate = reading().estimate
    assert (estimate.method, estimate.support) == (ClockMethod.MARK, 42)
    assert estimate.offset_sigma_s < 10.0
    assert abs(pull(estimate)) < 3.0


def test_the_stated_uncertainty_holds():
    random = np.random.default_rng(2)
    pulls = [
        pull(reading(every_s=random.uniform(400, 700), begin_s=random.uniform(0, 600)).estimate) for _ in range(40)
    ]
    assert 0.4 < np.std(pulls) < 1.4
    assert abs(np.mean(pulls)) < 0.5
    assert np.abs(pulls).max() < 4.0


def test_a_glitch_of_the_mark_is_borne():
    assert abs(pull(reading(glitches=3).estimate)) < 4.0


def test_frames_that_see_every_switch_at_the_same_phase_are_told():
    cell = BreathingCell(half_s=12 * 3600.0, pause_s=0.0, length_s=720 * 3600.0)
    samples = cell.samples()
    cycler = switches_from_signal(timestamp_ns=samples.cycler_timestamp_ns, signal=samples.voltage_V, threshold=0.01)
    still = ClockRelation(-437.0, 0.0, TRUTH.reference_ns)
    cell = BreathingCell(half_s=12 * 3600.0, pause_s=0.0, length_s=720 * 3600.0, relation=still)
    told = reading(every_s=3600.0, begin_s=1234.0, cell=cell, cycler=cycler)
    assert "frames alias the cycle" in told.warnings[0]
    assert told.estimate.offset_sigma_s > 400.0


def test_a_mark_that_has_nothing_to_do_with_the_cycler_is_refused():
    assert reading(search_s=300.0).estimate is None


def test_one_switch_is_not_enough():
    told = clock_from_switches(
        frames=switches_from_signal(timestamp_ns=np.arange(4), signal=np.array([0.0, 0.0, 1.0, 1.0])),
        cycler=CYCLER,
        declared=ClockRelation(),
        search_s=100.0,
    )
    assert told.estimate is None
    assert told.why_not == "two switches of the mark are needed: the frames show 1, the cycler 44"


def test_a_mark_that_flickers_all_the_time_costs_no_memory_and_tells_nothing():
    stamps = stamps_of(np.arange(0.0, CELL.length_s, 10.0))
    flicker = switches_from_signal(timestamp_ns=stamps, signal=np.arange(stamps.size) % 2.0)
    cycler = switches_from_signal(timestamp_ns=stamps, signal=np.arange(stamps.size) % 2.0)
    told = clock_from_switches(frames=flicker, cycler=cycler, declared=ClockRelation(), search_s=7200.0)
    assert told.estimate is None or told.estimate.offset_sigma_s > 1.0
    assert clock_from_switches(frames=flicker, cycler=CYCLER, declared=ClockRelation(), search_s=100.0).estimate is None
