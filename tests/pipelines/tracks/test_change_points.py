"""False alarms on noise, dates on ramps."""

import numpy as np
import pytest

from ringwatch_pipelines.errors import RingwatchError
from ringwatch_pipelines.tracks.change_points import (
    OnsetRule,
    OnsetState,
    date_from_growth,
    onset_step,
    threshold_from_false_alarm_rate,
)

FRAMES = 680
RULE = OnsetRule(threshold_from_false_alarm_rate(rate_per_run=0.01, frames_per_run=FRAMES))


def noise(random, rho, frames=FRAMES):
    """Unit-variance noise whose neighbours are correlated by `rho`."""
    steps = random.standard_normal(frames)
    values = np.empty(frames)
    values[0] = steps[0]
    for index in range(1, frames):
        values[index] = rho * values[index - 1] + np.sqrt(1 - rho**2) * steps[index]
    return values


def onsets(values, sigma=1.0, rule=RULE, times=None):
    """Every onset that a whole run gives."""
    state, found = OnsetState(rule), []
    for index, value in enumerate(values):
        state, onset = onset_step(
            state, value=value, sigma=sigma, time_h=float(index if times is None else times[index])
        )
        if onset is not None:
            found.append(onset)
    return found


def ramp(random, start, slope, rho=0.0, frames=300):
    return noise(random, rho, frames) + slope * np.maximum(np.arange(frames) - start, 0)


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_noise_alone_raises_hardly_any_alarm(rho):
    """At a rate of 1 % a run, 7 or more of 150 runs would come by chance once in 2000 times."""
    random = np.random.default_rng(20)
    assert sum(bool(onsets(noise(random, rho))) for _ in range(150)) < 7


def test_a_burn_in_that_scattered_by_chance_is_made_good_by_the_frames_after_it():
    random = np.random.default_rng(31)
    scales = {40: [], 240: []}
    for _ in range(40):
        state = OnsetState(RULE)
        for index, value in enumerate(random.standard_normal(240)):
            state, _ = onset_step(state, value=value, sigma=1.0, time_h=float(index))
            if index + 1 in scales:
                scales[index + 1].append(state.scale)
    assert np.std(scales[40]) > 2.0 * np.std(scales[240])
    assert max(scales[240]) < 1.35


def test_what_creeps_in_does_not_become_what_is_usual():
    random = np.random.default_rng(32)
    found = onsets(0.01 * np.maximum(np.arange(500.0) - 60.0, 0.0) + random.standard_normal(500))
    assert found
    assert found[0].alarm_h < 350


def test_a_lower_threshold_would_raise_many_false_alarms():
    """What the test above allows is not what any threshold gives."""
    random = np.random.default_rng(21)
    eager = OnsetRule(threshold=1.0)
    assert sum(bool(onsets(noise(random, 0.3), rule=eager)) for _ in range(40)) > 10


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_the_onset_is_dated_within_its_uncertainty(rho):
    random = np.random.default_rng(22)
    found = [onsets(ramp(random, 120.4, 1.0, rho)) for _ in range(60)]
    dates = np.array([(run[0].time_h, run[0].sigma_h) for run in found if run and run[0].alarm_h > 120])
    pulls = (dates[:, 0] - 120.4) / dates[:, 1]
    assert len(dates) >= 58
    assert abs(np.median(dates[:, 0]) - 120.4) < 1.0
    assert np.mean(np.abs(pulls) < 2) > 0.85
    assert np.median(dates[:, 1]) < 3.0


def test_the_alarm_comes_soon_after_a_clear_onset():
    random = np.random.default_rng(23)
    delays = [onsets(ramp(random, 120.0, 2.0))[0].alarm_h - 120 for _ in range(20)]
    assert np.median(delays) <= 6


def test_an_onset_is_told_once():
    random = np.random.default_rng(24)
    twice = ramp(random, 100, 1.0) + 10 * np.maximum(np.arange(300) - 200, 0)
    assert len(onsets(twice)) == 1


def test_a_fall_is_no_onset():
    random = np.random.default_rng(25)
    assert not onsets(noise(random, 0.0, 300) - np.maximum(np.arange(300) - 100, 0))


def test_frames_without_a_number_are_skipped():
    random = np.random.default_rng(26)
    values = ramp(random, 100, 1.0)
    holes = np.insert(values, range(0, 300, 3), np.nan)
    times = np.insert(np.arange(300.0), range(0, 300, 3), 0.0)
    assert onsets(holes, times=times) == onsets(values)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_none_is_skipped(sigma):
    state = OnsetState(RULE)
    after, onset = onset_step(state, value=1.0, sigma=sigma, time_h=0.0)
    assert (after.frames, onset) == (0, None)


def test_the_unit_of_the_value_does_not_matter():
    random = np.random.default_rng(27)
    values = ramp(random, 100, 1.0)
    [one], [other] = onsets(values), onsets(values * 1e-6, sigma=1e-6)
    assert (one.alarm_h, one.time_h, one.sigma_h) == pytest.approx((other.alarm_h, other.time_h, other.sigma_h))


def test_memory_is_bounded_and_a_late_onset_is_still_dated():
    random = np.random.default_rng(28)
    state, found = OnsetState(RULE), None
    for index, value in enumerate(ramp(random, 3000.0, 1.0, frames=3040)):
        state, onset = onset_step(state, value=value, sigma=1.0, time_h=float(index))
        found = found or onset
        assert len(state.history) <= 512
    assert found is not None
    assert found.time_h == pytest.approx(3000, abs=5 * found.sigma_h + 1)


def test_a_clean_ramp_is_dated_between_its_frames():
    time_h = np.arange(100.0)
    value = np.maximum(time_h - 60.3, 0.0)
    date_h, sigma_h = date_from_growth(time_h=time_h, value=value, sigma=np.full(100, 0.05))
    assert date_h == pytest.approx(60.3, abs=0.1)
    assert sigma_h == pytest.approx(12**-0.5, abs=0.02)


@pytest.mark.parametrize("power", [0.5, 0.7, 1.0])
def test_growth_that_slows_down_is_dated_as_well_as_even_growth(power):
    """A line through growth that slows down begins a frame too early."""
    random = np.random.default_rng(29)
    time_h = np.arange(160.0)
    dates = []
    for _ in range(100):
        grown = 9.0 * (np.maximum(time_h - 120.4, 0.0) / 6.0) ** power
        found = onsets(random.standard_normal(160) + grown)
        dates.append((found[0].time_h, found[0].sigma_h))
    error, sigma = np.array(dates).T - np.array([[120.4], [0.0]])
    assert abs(error.mean()) < 0.75
    assert error.std() < 1.6
    assert 0.55 < np.mean(np.abs(error) < sigma) < 0.97


def test_a_clock_that_stands_still_dates_nothing():
    assert date_from_growth(time_h=np.full(20, 3.0), value=np.arange(20.0), sigma=np.ones(20)) == (3.0, 0.0)


def test_fewer_false_alarms_need_a_higher_threshold():
    at = [threshold_from_false_alarm_rate(rate_per_run=rate, frames_per_run=680) for rate in (0.1, 0.01, 0.001)]
    assert at == sorted(at)
    long_run = threshold_from_false_alarm_rate(rate_per_run=0.01, frames_per_run=18_000_000)
    assert at[1] < long_run < 40


@pytest.mark.parametrize(("rate", "frames"), [(0.0, 680), (1.0, 680), (0.01, 40)])
def test_a_rate_that_cannot_be_kept_is_refused(rate, frames):
    with pytest.raises(RingwatchError, match="false-alarm rate"):
        threshold_from_false_alarm_rate(rate_per_run=rate, frames_per_run=frames)


def test_a_rule_without_a_burn_in_is_refused():
    with pytest.raises(RingwatchError, match="10 frames of burn-in"):
        OnsetRule(threshold=5.0, burn_in=3)
