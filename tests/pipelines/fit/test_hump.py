"""An amorphous hump of half a per cent of the strongest line, over a background that is measured or is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import voigt_profile
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, axis_deg, intensity, lagp, lithium, noisy, recipe
from ringwatch_pipelines.fit.fit_bins import hump_share
from ringwatch_pipelines.fit.fit_recipe import FitRecipe, Hump, ReferenceBackground
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.results import Estimate, FitState
from ringwatch_pipelines.tracks.tracking import TrackerState, track

TRUTH = replace(Truth(), background=0.0)
CENTRE_DEG, FWHM_DEG = 2.3, 1.0
HEIGHT = 0.005 * float(np.max(intensity(TRUTH)))
HUMP = Hump(two_theta_deg=CENTRE_DEG, fwhm_deg=FWHM_DEG)
FRAMES = 12
EMPTY_CELL_FRAMES = 20


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def empty_cell() -> FloatArray:
    """(bins,) air, window and halo: steep at small angles, with a broad ring of the polymer."""
    x = axis_deg()
    return 250.0 * np.exp(-x / 0.8) + 300.0 + 120.0 * 0.4 * voigt_profile(x - 1.35, 0.1, 0.25)


def counted(expected: FloatArray, seed: int, frames: int = 1):
    return noisy(expected, np.sqrt(expected / (frames * TRUTH.counts_per_unit)), seed)


def humps(fitted: FitRecipe, height: float) -> list[Estimate]:
    """The hump of some frames, in each of which the empty cell scatters by another factor."""
    shape = np.exp(-4.0 * np.log(2.0) * ((axis_deg() - CENTRE_DEG) / FWHM_DEG) ** 2)
    state, found = TrackerState(), []
    for seed in range(FRAMES):
        expected = intensity(TRUTH) + (0.9 - 0.01 * seed) * empty_cell() + height * shape
        state, _, tracked = track(state, counted(expected, seed), fitted)
        assert tracked.fit_state is FitState.CONVERGED
        found.append(tracked.hump)
    return found


def values_of(found: list[Estimate]) -> tuple[FloatArray, FloatArray]:
    return np.array([one.value for one in found]), np.array([one.sigma for one in found])


@pytest.fixture(scope="module")
def measured() -> ReferenceBackground:
    """A longer exposure of the empty cell, with its noise."""
    pattern = counted(empty_cell(), 1000, EMPTY_CELL_FRAMES)
    return ReferenceBackground(two_theta_deg=pattern.two_theta_deg, intensity=pattern.intensity)


def test_over_a_measured_background_a_hump_is_known_to_five_per_cent(measured):
    fitted = recipe(lagp(), lithium(), hump=HUMP, background_terms=4, reference_background=measured)
    value, sigma = values_of(humps(fitted, HEIGHT))
    assert np.all(np.abs(value / HEIGHT - 1.0) < 0.05)
    assert abs(np.mean(value) / HEIGHT - 1.0) < 0.03
    assert np.all(sigma < 0.02 * HEIGHT)


def test_without_a_hump_its_height_is_nothing(measured):
    fitted = recipe(lagp(), lithium(), hump=HUMP, background_terms=4, reference_background=measured)
    value, _ = values_of(humps(fitted, 0.0))
    assert np.all(np.abs(value) < 0.05 * HEIGHT)


def test_background_terms_that_could_make_the_hump_themselves_leave_a_sigma_that_says_so():
    _, sigma = values_of(humps(recipe(lagp(), lithium(), hump=HUMP, background_terms=24), HEIGHT))
    assert np.all(sigma > 10.0 * HEIGHT)


def test_the_share_of_a_hump_that_no_background_makes_tells_beforehand(measured):
    known = recipe(hump=HUMP, background_terms=4, reference_background=measured)
    few, many = (recipe(hump=HUMP, background_terms=terms) for terms in (8, 24))
    shares = [hump_share(recipe=one, two_theta_deg=axis_deg()) for one in (known, few, many)]
    assert 1.0 > shares[0] > shares[1] > 0.01
    assert shares[2] < 1e-4


def test_the_tails_of_strong_lines_below_the_range_are_no_hump(measured):
    """LAGP (104) and (110) stand five widths below this range, and their tails are as high as the hump at its edge."""
    whole = recipe(lagp(), lithium(), hump=HUMP, background_terms=2, reference_background=measured)
    fitted = replace(whole, two_theta_range_deg=(1.75, 5.4))
    value, sigma = values_of(humps(fitted, HEIGHT))
    assert abs(np.mean(value) / HEIGHT - 1.0) < 0.04
    assert abs(np.mean((value - HEIGHT) / sigma)) < 1.0
    assert np.all(sigma < 0.05 * HEIGHT)
