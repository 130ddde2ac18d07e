"""Residual images of earlier frames leave the sums, however many frames back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.patterns import BinSums
from ringwatch_pipelines.reduction.lag import UNKNOWN_SHARE, Lag, LagMemory

BINS = 5
SHARES = (0.03, 0.01, 0.004)


def sums_of(light, dark=70.0):
    """Sums of a frame whose light, lag included, is `light`."""
    raw = np.asarray(light) + dark
    return BinSums(raw=raw, dark=np.full(BINS, dark), norm=np.ones(BINS), variance=1.5 * np.asarray(light))


def seen(lights):
    """What a lagging detector shows of a series of lights."""
    return [
        light + sum(share * lights[index - back] for back, share in enumerate(SHARES, 1) if index >= back)
        for index, light in enumerate(lights)
    ]


@given(st.lists(st.lists(st.floats(0.0, 1e6), min_size=BINS, max_size=BINS), min_size=1, max_size=8))
def test_the_light_of_every_frame_comes_out_as_it_fell(series):
    lights = [np.array(light) for light in series]
    memory = LagMemory(Lag(SHARES))
    for number, (light, shown) in enumerate(zip(lights, seen(lights), strict=True)):
        corrected = memory.taken_off(sums_of(shown), unique_id=number)
        np.testing.assert_allclose(corrected.raw - corrected.dark, light, rtol=1e-9, atol=1e-6)


def test_the_raw_sums_stay_and_sigma_grows_by_what_was_taken_off():
    memory = LagMemory(Lag((0.03,)))
    first = memory.taken_off(sums_of(np.full(BINS, 1000.0)), unique_id=7)
    second = memory.taken_off(sums_of(np.full(BINS, 1030.0)), unique_id=8)
    np.testing.assert_array_equal(second.raw, sums_of(np.full(BINS, 1030.0)).raw)
    np.testing.assert_allclose(second.dark, 70.0 + 30.0)
    np.testing.assert_allclose(second.variance, 1.5 * 1030.0 + 0.03**2 * first.variance)


def test_counts_that_are_lag_leave_no_photon_noise_behind():
    """Poisson light at a gain of 1.5, seen again: its scatter about the truth is what sigma says."""
    random, memory = np.random.default_rng(3), LagMemory(Lag((0.3,)))
    light, pulls, before = np.full(20_000, 400.0), [], np.zeros(20_000)
    for number in range(4):
        charge = 1.5 * random.poisson(light / 1.5)
        shown = charge + 0.3 * before
        sums = BinSums(raw=shown, dark=np.zeros_like(shown), norm=np.ones_like(shown), variance=1.5 * shown)
        corrected = memory.taken_off(sums, unique_id=number, photon_variance=1.5 * shown)
        pulls.append((corrected.raw - corrected.dark - light) / np.sqrt(corrected.variance))
        before = charge
    assert np.std(pulls[0]) == pytest.approx(1.0, abs=0.02)
    # The variance of the frame before is added though it leaves with its counts: 0.3^2.
    assert np.std(pulls[-1]) == pytest.approx(1.0 / np.sqrt(1.09), abs=0.02)


def test_noise_that_hides_the_light_takes_no_variance_below_half():
    memory = LagMemory(Lag((0.4,)))
    memory.taken_off(sums_of(np.full(BINS, 1000.0)), unique_id=1)
    dim = sums_of(np.array([-5.0, 0.0, 1.0, 100.0, 400.0]))
    corrected = memory.taken_off(replace(dim, variance=np.full(BINS, 50.0)), unique_id=2, photon_variance=np.ones(BINS))
    assert np.all(corrected.variance >= 49.5)


def test_without_shares_the_sums_are_left_alone():
    sums = sums_of(np.full(BINS, 10.0))
    assert LagMemory(Lag()).taken_off(sums, unique_id=1) is sums


def test_a_dark_between_two_frames_lets_the_lag_fade():
    memory = LagMemory(Lag((0.03, 0.01)))
    memory.taken_off(sums_of(np.full(BINS, 1000.0)), unique_id=1)
    memory.without_light(unique_id=2)
    corrected = memory.taken_off(sums_of(np.full(BINS, 510.0)), unique_id=3)
    np.testing.assert_allclose(corrected.raw - corrected.dark, 500.0)


@pytest.mark.parametrize("told", [True, False])
def test_a_lost_frame_stands_in_by_the_last_one_and_widens_sigma(told):
    memory = LagMemory(Lag((0.03, 0.01)))
    memory.taken_off(sums_of(np.full(BINS, 1000.0)), unique_id=4)
    if told:
        memory.unknown(unique_id=5)
    corrected = memory.taken_off(sums_of(np.full(BINS, 1040.0)), unique_id=6)
    np.testing.assert_allclose(corrected.raw - corrected.dark, 1000.0)
    own = 1.5 * 1040.0 + (0.03**2 + 0.01**2) * 1500.0
    np.testing.assert_allclose(corrected.variance, own + (UNKNOWN_SHARE * 30.0) ** 2)


def test_losses_and_darks_before_the_first_frame_change_nothing():
    memory = LagMemory(Lag(SHARES))
    memory.unknown(unique_id=3)
    memory.without_light(unique_id=4)
    corrected = memory.taken_off(sums_of(np.full(BINS, 100.0)), unique_id=9)
    np.testing.assert_allclose(corrected.raw - corrected.dark, 100.0)


@pytest.mark.parametrize("shares", [(-0.01,), (0.6,), (0.3, 0.3), (float("nan"),)])
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(CorrectionError, match="shares of lag"):
        Lag(shares)


def test_a_counter_that_begins_anew_loses_nothing():
    memory = LagMemory(Lag((0.03,)))
    memory.taken_off(sums_of(np.full(BINS, 1000.0)), unique_id=900)
    corrected = memory.taken_off(sums_of(np.full(BINS, 1030.0)), unique_id=1)
    np.testing.assert_allclose(corrected.variance, 1.5 * 1030.0 + 0.03**2 * 1500.0)
