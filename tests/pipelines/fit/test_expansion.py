"""What a fit takes over from the fit before, and what it does not depend on."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.fit.design_matrix import expansion_at, weighted_design
from ringwatch_pipelines.fit.fit_bins import bins_from_pattern
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe
from ringwatch_pipelines.results import FitState
from ringwatch_pipelines.tracks.tracking import TrackerState, track

RECIPE = recipe(lagp(), lithium(), lioh())
LAYOUT = layout_from_recipe(RECIPE)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def drifting(frames):
    """A cell whose LAGP shrinks and whose light changes."""
    for number in range(frames):
        truth = Truth(a=8.257 * (1.0 - 4e-6 * number), li_110=5.0 - 0.05 * number, lioh=0.02 * number)
        yield pattern(truth, number)


def test_a_remembered_expansion_saves_work_and_changes_no_bit():
    kept, forgetful = TrackerState(), TrackerState()
    for one in drifting(8):
        kept, fit, _ = track(kept, one, RECIPE)
        forgetful, same, _ = track(replace(forgetful, expansion=None), one, RECIPE)
        assert fit.parameters.tobytes() == same.parameters.tobytes()
        assert fit.covariance.tobytes() == same.covariance.tobytes()


def test_in_a_slow_series_the_slopes_of_a_strong_phase_are_taken_over():
    state, taken_over = TrackerState(), 0
    for number in range(8):
        before = state.expansion
        truth = Truth(a=8.257 * (1.0 - 1e-8 * number), counts_per_unit=1e5)
        state, fit, _ = track(state, pattern(truth, number), RECIPE)
        taken_over += before is not None and fit.expansion.phases[0] is before.phases[0]
    assert taken_over >= 5


def test_a_series_ends_where_each_frame_ends_by_itself():
    """Also where the lattice has moved by many sigmas since the slopes were taken."""
    state, apart = TrackerState(), []
    for one in drifting(12):
        state, fit, _ = track(state, one, RECIPE)
        alone = fit_pattern(pattern=one, layout=LAYOUT)
        assert fit.state is FitState.CONVERGED
        apart.append((fit.parameters - alone.parameters) / np.sqrt(np.diagonal(alone.covariance)))
    shapes = np.array(apart)[:, LAYOUT.linear :]
    assert np.sqrt(np.mean(shapes**2)) < 0.1
    assert np.max(np.abs(np.mean(shapes[:, :4], axis=0))) < 0.05


def test_light_that_changes_leaves_the_sigmas_as_of_a_fit_from_nothing():
    state, _, _ = track(TrackerState(), pattern(Truth(), 1), RECIPE)
    half = pattern(Truth(counts_per_unit=0.5 * Truth().counts_per_unit), 2)
    dim = replace(half, intensity=0.5 * half.intensity, sigma=0.5 * half.sigma)
    _, fit, _ = track(state, dim, RECIPE)
    alone = fit_pattern(pattern=dim, layout=LAYOUT)
    shapes = slice(LAYOUT.linear, LAYOUT.linear + 6)
    ratio = np.sqrt(np.diagonal(fit.covariance)[shapes] / np.diagonal(alone.covariance)[shapes])
    np.testing.assert_allclose(ratio, 1.0, atol=0.02)


def test_a_design_made_from_the_last_one_is_the_design_made_anew():
    bins = bins_from_pattern(pattern=pattern(Truth(), 1), recipe=RECIPE)
    first = fit_pattern(pattern=pattern(Truth(), 1), layout=LAYOUT).parameters
    moved = first.copy()
    moved[LAYOUT.phase_rows[2].index[: LAYOUT.phase_rows[2].own]] *= 1.1
    here = expansion_at(layout=LAYOUT, grid=bins.grid, parameters=first)
    there = expansion_at(layout=LAYOUT, grid=bins.grid, parameters=moved, known=here)
    assert there.phases[0] is here.phases[0]
    assert there.phases[2] is not here.phases[2]
    last = here, weighted_design(layout=LAYOUT, bins=bins, expansion=here)
    anew = weighted_design(layout=LAYOUT, bins=bins, expansion=there)
    np.testing.assert_array_equal(weighted_design(layout=LAYOUT, bins=bins, expansion=there, last=last), anew)
