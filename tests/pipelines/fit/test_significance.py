"""What a phase saves of chi-square, against what its amount and sigma say."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe
from ringwatch_pipelines.fit.significance import significance_of_phase


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def fitted(truth, seed, *phases):
    """The fit from where the last one of a series would have ended."""
    layout = layout_from_recipe(recipe(lagp(), lithium(), *phases))
    given = pattern(truth, seed)
    start = fit_pattern(pattern=given, layout=layout, start=layout.configured_start()).parameters
    return fit_pattern(pattern=given, layout=layout, start=start)


def saved_chi_square(truth, seed, phase):
    """Of a fit with the phase and of one without it, priors of its shape included; and the significance."""
    with_it, without = fitted(truth, seed, phase), fitted(truth, seed)
    layout = with_it.layout.phases[2]
    shapes = with_it.layout.shapes
    rows = layout.own_rows[layout.own_rows >= with_it.layout.linear]
    departure = (with_it.parameters[rows] - shapes.mean[rows - with_it.layout.linear]) / shapes.sigma[
        rows - with_it.layout.linear
    ]
    sums = [fit.chi_square * fit.degrees_of_freedom for fit in (without, with_it)]
    return sums[0] - sums[1] - departure @ departure, with_it, significance_of_phase(fit=with_it, layout=layout)


@pytest.mark.parametrize("amount", [0.0, 0.8, 2.0])
def test_z_is_the_root_of_the_chi_square_that_the_phase_saves(amount):
    for seed in range(3):
        gain, fit, found = saved_chi_square(Truth(lioh=amount, counts_per_unit=25.0), seed, lioh())
        assert found.z**2 == pytest.approx(gain, abs=0.25, rel=0.03)
        assert np.sign(found.z) == np.sign(fit.parameters[fit.layout.phases[2].first_row])


def test_a_width_that_is_not_known_hides_no_phase_that_has_appeared():
    """Sigma of the amount takes in that of the width; a width ten times less known would hide it."""
    z, pulls = {}, {}
    for prior in (0.1, 3.0):
        hydroxide = replace(lioh(), size_prior=prior)
        fits = [fitted(Truth(lioh=1.2, counts_per_unit=25.0), seed, hydroxide) for seed in range(12)]
        rows = fits[0].layout.phases[2].first_row
        z[prior] = np.mean([significance_of_phase(fit=fit, layout=fit.layout.phases[2]).z for fit in fits])
        pulls[prior] = np.mean([fit.parameters[rows] / fit.sigma(rows) for fit in fits])
    assert z[3.0] == pytest.approx(z[0.1], rel=0.06)
    assert pulls[3.0] < 0.85 * pulls[0.1]


def test_z_of_an_absent_phase_is_as_wide_as_one():
    fits = [fitted(Truth(counts_per_unit=25.0), seed, lioh()) for seed in range(80)]
    z = np.array([significance_of_phase(fit=fit, layout=fit.layout.phases[2]).z for fit in fits])
    assert abs(z.mean()) < 0.35
    assert 0.85 < z.std() < 1.2


def test_the_noise_is_that_of_the_amount_while_it_is_absent():
    fits = [fitted(Truth(counts_per_unit=25.0), seed, replace(lioh(), size_prior=0.01)) for seed in range(50)]
    row = fits[0].layout.phases[2].first_row
    noise = np.mean([significance_of_phase(fit=fit, layout=fit.layout.phases[2]).noise for fit in fits])
    assert np.std([fit.parameters[row] for fit in fits]) == pytest.approx(noise, rel=0.3)


def test_without_a_shape_of_its_own_z_is_amount_over_sigma():
    fit = fitted(Truth(lioh=1.0, counts_per_unit=25.0), 5, replace(lioh(), size_prior=1e-6))
    row = fit.layout.phases[2].first_row
    found = significance_of_phase(fit=fit, layout=fit.layout.phases[2])
    assert found.z == pytest.approx(fit.parameters[row] / fit.sigma(row), rel=1e-4)
    assert found.noise == pytest.approx(fit.sigma(row), rel=1e-4)
