"""Onsets among the tracks of a run: dated within their error, told once, none without one."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.results import Estimate, FitState, PeakState, ReferencePhaseTrack, Tracked
from ringwatch_pipelines.tracks.change_points import OnsetRule, threshold_from_false_alarm_rate
from ringwatch_pipelines.tracks.onsets import OnsetWatch
from ringwatch_pipelines.tracks.tracking import TrackerState, track

START_NS = 1_790_000_000_000_000_000
HOUR_NS = 3_600_000_000_000
FRAMES = 340
RULE = OnsetRule(threshold_from_false_alarm_rate(rate_per_run=0.01 / 3, frames_per_run=FRAMES))


def run_of(*, seed, lioh_h=None, hump_h=None):
    """One fit an hour: two reference phases and a hump of unit noise, with ramps from the given hours on."""
    random = np.random.default_rng(seed)
    for hour in range(FRAMES):
        z = random.standard_normal(3)
        z[0] += 0 if lioh_h is None else 1.5 * max(0.0, hour - lioh_h)
        z[2] += 0 if hump_h is None else 1.5 * max(0.0, hour - hump_h)
        amounts = [Estimate(0.02 * value, 0.02) for value in z]
        phases = tuple(
            ReferencePhaseTrack(name, PeakState.ABSENT, amount, 0.1, amount.value / amount.sigma, noise=amount.sigma)
            for name, amount in zip(("lioh", "alpo4"), amounts, strict=False)
        )
        yield hour, Tracked(FitState.CONVERGED, 1.0, phases, hump=amounts[2])


def notices(run, rule=RULE):
    watch = OnsetWatch(rule)
    return [notice for hour, tracked in run for notice in watch.take(tracked, timestamp_ns=START_NS + hour * HOUR_NS)]


def test_each_phase_that_appears_is_dated_within_its_error_and_told_once():
    pulls = []
    for seed in range(12):
        found = notices(run_of(seed=seed, lioh_h=120.4, hump_h=230.0))
        assert [notice.kind for notice in found] == ["ONSET_LIOH", "ONSET_HUMP"]
        for notice, true_h in zip(found, (120.4, 230.0), strict=True):
            pulls.append(((notice.timestamp_ns - START_NS) / HOUR_NS - true_h) / notice.sigma_h)
    assert np.mean(np.abs(pulls) < 3) > 0.9
    assert np.std(pulls) > 0.2


def test_lines_that_are_measured_at_the_end_of_a_scan_date_an_onset_later():
    run = list(run_of(seed=3, lioh_h=120.4, hump_h=230.0))
    at_the_end = [(hour, replace(tracked, later_s=(("lioh", 1800.0),))) for hour, tracked in run]
    middle, end = ([notice.timestamp_ns for notice in notices(each)] for each in (run, at_the_end))
    assert [(late - early) / HOUR_NS for early, late in zip(middle, end, strict=True)] == pytest.approx([0.5, 0.0])


def test_a_run_without_an_onset_tells_nothing():
    assert [notice for seed in range(30) for notice in notices(run_of(seed=100 + seed))] == []


def test_fits_that_did_not_converge_take_no_part():
    run = list(run_of(seed=3, lioh_h=120.0))
    spoilt = [
        entry
        for hour, tracked in run
        for entry in (
            (hour, replace(tracked, fit_state=FitState.NOT_CONVERGED, hump=Estimate(1e6, 1.0))),
            (hour, tracked),
        )
    ]
    assert notices(spoilt) == notices(run)


def test_a_watch_that_recalls_goes_on_as_if_nothing_had_been():
    run = list(run_of(seed=4, lioh_h=120.0, hump_h=200.0))
    first = OnsetWatch(RULE)
    told = [notice for hour, each in run[:150] for notice in first.take(each, timestamp_ns=START_NS + hour * HOUR_NS)]
    second = OnsetWatch(RULE)
    second.recall(first.memory)
    told += [notice for hour, each in run[150:] for notice in second.take(each, timestamp_ns=START_NS + hour * HOUR_NS)]
    assert told == notices(run)


def test_without_a_rule_nothing_is_looked_for():
    assert notices(run_of(seed=5, lioh_h=100.0), rule=None) == []


def test_the_text_tells_date_error_and_evidence():
    [notice] = notices(run_of(seed=6, lioh_h=150.0))
    date_h = (notice.timestamp_ns - START_NS) / HOUR_NS
    assert f"lioh appears {date_h:.2f} +- {notice.sigma_h:.2f} h after the first fit" in notice.text
    assert "sigma" in notice.text
    assert date_h == pytest.approx(150, abs=4)


@pytest.mark.parametrize(("slope", "kinds"), [(0.06, ["ONSET_LIOH"]), (0.0, [])])
def test_the_fits_of_a_phase_that_grows_in_the_patterns_date_it(slope, kinds):
    """Seventy patterns with counting noise; lithium hydroxide grows from hour 45 on, or never comes."""
    rule = OnsetRule(threshold_from_false_alarm_rate(rate_per_run=0.01, frames_per_run=200, burn_in=30), burn_in=30)
    watch, state, model, found = OnsetWatch(rule), TrackerState(), recipe(lagp(), lithium(), lioh()), []
    with threadpool_limits(1):
        for hour in range(70):
            truth = Truth(lioh=slope * max(0.0, hour - 45.0))
            state, _, tracked = track(state, pattern(truth, seed=hour), model)
            found.extend(watch.take(tracked, timestamp_ns=START_NS + hour * HOUR_NS))
    assert [notice.kind for notice in found] == kinds
    for notice in found:
        assert (notice.timestamp_ns - START_NS) / HOUR_NS == pytest.approx(45.0, abs=3 * notice.sigma_h)
        assert notice.sigma_h < 4.0
