"""The clocks from the charge that the lattice follows: right, and as sure as it says."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.breathing_cells import TRUTH, BreathingCell, stamps_of
from ringwatch_pipelines.cell.clock import ClockMethod, ClockRelation
from ringwatch_pipelines.cell.clock_breathing import Track, clock_from_breathing
from ringwatch_pipelines.cell.clock_watch import ClockRule, ClockWatch, charge_course_from_timeline
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.results import Estimate, FitState, FreePhaseTrack, PeakState, PeakTable, Tracked

CELL = BreathingCell()


@pytest.fixture(autouse=True)
def one_thread():
    """As in a run; many threads on small matrices only wait for each other."""
    with threadpool_limits(limits=1):
        yield


def course(cell, **samples):
    timeline = Timeline(max_gap_s=3600.0)
    timeline.append(cell.samples(**samples))
    return charge_course_from_timeline(timeline)


@pytest.fixture(scope="module")
def charge():
    return course(CELL)


def reading(charge, *, seed=0, cell=CELL, every_s=600.0, noise=2.2e-6, correlated=0.0, declared=None):
    time_s = np.arange(300.0, cell.length_s, every_s)
    a, a_sigma, c, c_sigma = cell.lattice(time_s, np.random.default_rng(seed), noise=noise, correlated=correlated)
    return clock_from_breathing(
        timestamp_ns=stamps_of(time_s),
        tracks=(Track("lagp/a", a, a_sigma), Track("lagp/c", c, c_sigma)),
        charge=charge,
        declared=declared or ClockRelation(),
    )


def errors(estimate, truth=TRUTH):
    """Measured minus true: offset in s, its pull, the drift's pull."""
    true = truth.at(estimate.relation.reference_ns)
    offset_s = estimate.relation.offset_s - true.offset_s
    drift_ppm = estimate.relation.drift_ppm - true.drift_ppm
    return offset_s, offset_s / estimate.offset_sigma_s, drift_ppm / estimate.drift_sigma_ppm


def test_an_offset_of_437_s_is_found_to_40_s(charge):
    estimate = reading(charge).estimate
    assert estimate.method is ClockMethod.BREATHING
    assert abs(errors(estimate)[0]) < 40.0
    assert estimate.offset_sigma_s < 25.0


@pytest.mark.parametrize("settings", [{"every_s": 1200.0}, {"every_s": 3600.0}, {"every_s": 1200.0, "correlated": 0.5}])
def test_the_stated_uncertainty_holds(charge, settings):
    """Of 40 pulls with a width of 1 the spread lies within 0.6 to 1.5 and the mean within 0.5, at four sigmas."""
    pulls = np.array([errors(reading(charge, seed=seed, **settings).estimate)[1:] for seed in range(40)])
    assert 0.6 < pulls[:, 0].std() < 1.5
    assert abs(pulls[:, 0].mean()) < 0.55
    # The drift is known beforehand as well, to 100 ppm.
    assert pulls[:, 1].std() < 1.5


def test_a_shift_of_the_truth_by_ten_sigma_is_seen(charge):
    estimate = reading(charge, seed=3).estimate
    wrong = replace(TRUTH, offset_s=TRUTH.offset_s + 10 * estimate.offset_sigma_s)
    assert abs(errors(estimate, wrong)[1]) > 5.0


def test_the_drift_is_told_where_frames_are_many():
    cell = replace(CELL, relation=ClockRelation(120.0, 90.0, TRUTH.reference_ns))
    estimate = reading(course(cell), cell=cell, every_s=60.0).estimate
    assert estimate.relation.drift_ppm == pytest.approx(90.0, abs=5 * estimate.drift_sigma_ppm)
    assert estimate.drift_sigma_ppm < 25.0


def test_the_search_begins_at_what_was_declared(charge):
    estimate = reading(charge, declared=ClockRelation(-3000.0, -35.0, TRUTH.reference_ns)).estimate
    assert abs(errors(estimate)[0]) < 80.0


def test_frames_that_alias_the_cycle_are_told_and_nothing_is_made_up(charge):
    told = reading(charge, every_s=CELL.half_s + CELL.pause_s)
    assert told.estimate is None
    assert "frames alias the cycle" in told.warnings[0]
    assert "1.00 half-cycles" in told.warnings[0]


def test_a_lattice_that_does_not_breathe_tells_nothing(charge):
    told = reading(charge, cell=replace(CELL, breathing=0.0))
    assert told.estimate is None
    assert "no track follows the charge" in told.why_not


def test_a_few_wrong_fits_do_not_decide(charge):
    time_s = np.arange(300.0, CELL.length_s, 600.0)
    a, sigma, _, _ = CELL.lattice(time_s, np.random.default_rng(1))
    a[::97] += 1e-2
    told = clock_from_breathing(
        timestamp_ns=stamps_of(time_s), tracks=(Track("a", a, sigma),), charge=charge, declared=ClockRelation()
    )
    assert abs(errors(told.estimate)[1]) < 4.0


def test_a_hundred_thousand_frames_are_grouped(charge):
    estimate = reading(charge, every_s=12.0).estimate
    assert abs(errors(estimate)[0]) < 15.0
    assert estimate.support < 6000


def test_samples_far_apart_make_the_switches_uncertain():
    sparse = reading(course(CELL, every_s=600.0, at_switches=False)).estimate
    assert sparse.offset_sigma_s > 600.0 / np.sqrt(12.0)
    assert abs(errors(sparse)[1]) < 3.0


def test_two_half_cycles_are_too_few():
    cell = replace(CELL, length_s=20 * 3600.0)
    assert "too few" in reading(course(cell), cell=cell).why_not


@pytest.mark.parametrize("time_s", [np.zeros(0), np.full(1, 9e4), np.full(100, 9e4), np.linspace(9e4, 9.01e4, 100)])
def test_frames_that_tell_nothing_are_a_sentence_and_no_error(charge, time_s):
    a, sigma, _, _ = CELL.lattice(time_s, np.random.default_rng(1))
    told = clock_from_breathing(
        timestamp_ns=stamps_of(time_s), tracks=(Track("a", a, sigma),), charge=charge, declared=ClockRelation()
    )
    assert told.estimate is None
    assert told.why_not


def test_tracks_without_a_number_tell_nothing(charge):
    time_s = np.arange(300.0, CELL.length_s, 3600.0)
    nothing = Track("a", np.full(time_s.size, np.nan), np.full(time_s.size, np.nan))
    told = clock_from_breathing(
        timestamp_ns=stamps_of(time_s), tracks=(nothing,), charge=charge, declared=ClockRelation()
    )
    assert told.estimate is None


def test_a_phase_that_is_measured_late_in_a_scan_tells_the_same_clock():
    timeline = Timeline(max_gap_s=3600.0)
    timeline.append(CELL.samples())
    time_s = np.arange(300.0, CELL.length_s, 600.0)
    a, a_sigma, *_ = CELL.lattice(time_s, np.random.default_rng(1), noise=2.2e-6)
    told = []
    for later_s in (0.0, 240.0):
        watch = ClockWatch(timeline, ClockRule())
        for stamp, value, sigma in zip(stamps_of(time_s - later_s).tolist(), a, a_sigma, strict=True):
            watch.add_frame(timestamp_ns=stamp, tracked=tracked_with(Estimate(float(value), float(sigma)), later_s))
        told.append(watch.look().estimate)
    assert told[0] == told[1]
    assert told[0] is not None


def test_a_watch_that_recalls_tells_what_one_that_saw_all_of_it_tells():
    timeline = Timeline(max_gap_s=3600.0)
    timeline.append(CELL.samples())
    time_s = np.arange(300.0, CELL.length_s, 600.0)
    a, a_sigma, *_ = CELL.lattice(time_s, np.random.default_rng(2), noise=2.2e-6)
    stamps, half = stamps_of(time_s), time_s.size // 2
    a[5] = np.nan
    told = []
    for first in (0, half):
        watch = ClockWatch(timeline, ClockRule())
        past = (Track("lagp/a", a[:first], a_sigma[:first]), Track("other/a", a[:first] * np.nan, a_sigma[:first]))
        watch.recall(timestamp_ns=stamps[:first], tracks=past)
        for stamp, value, sigma in zip(stamps.tolist()[first:], a[first:], a_sigma[first:], strict=True):
            watch.add_frame(timestamp_ns=stamp, tracked=tracked_with(Estimate(float(value), float(sigma)), 0.0))
        told.append(watch.look().estimate)
    # The frame without a value is left out, or stands there without a weight.
    assert told[1].relation.offset_s == pytest.approx(told[0].relation.offset_s, abs=1e-3)
    assert told[1].offset_sigma_s == pytest.approx(told[0].offset_sigma_s, rel=1e-3)
    assert told[1].support > 2000


def tracked_with(a, later_s):
    empty = np.empty(0)
    peaks = PeakTable(np.empty((0, 3), dtype=np.int32), empty, empty, empty, empty, empty, empty)
    lagp = FreePhaseTrack("lagp", PeakState.PRESENT, (("a", a),), Estimate(), Estimate(), peaks)
    return Tracked(FitState.CONVERGED, 1.0, (lagp,), later_s=(("lagp", later_s),))
