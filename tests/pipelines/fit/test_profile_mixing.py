"""Peaks whose profile is no exact Voigt, as other instruments and other simulations have them."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.fit.pattern_fit import layout_from_recipe
from ringwatch_pipelines.tracks.tracking import TrackerState, track

PATTERNS = 30
NAMES = ("a", "c", "size", "strain", "ratio", "z of LiOH")


def pulls(truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(patterns, names) of fits less the truth in sigmas; the part of pseudo-Voigt found; chi-square."""
    given = recipe(lagp(), lithium(), lioh())
    state, found, mixing, chi_square = TrackerState(layout=layout_from_recipe(given)), [], [], []
    for seed in range(PATTERNS):
        state, fit, tracked = track(state, pattern(truth, seed), given)
        solid, metal, hydroxide = tracked.phases
        (_, a), (_, c) = solid.lattice
        pairs = [(a, truth.a), (c, truth.c), (solid.size_nm, truth.size_nm), (solid.strain, truth.strain)]
        pairs.append((metal.ratio, truth.li_110 / truth.li_200))
        found.append([(estimate.value - true) / estimate.sigma for estimate, true in pairs] + [hydroxide.z])
        mixing.append(fit.parameters[fit.layout.mixing_row])
        chi_square.append(fit.chi_square)
    return np.array(found), np.array(mixing), np.array(chi_square)


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["Voigt", "pseudo-Voigt"])
def fits(request):
    with threadpool_limits(1):
        return request.param, *pulls(Truth(pseudo=request.param))


def test_the_profile_of_the_lines_is_learned(fits):
    pseudo, _, mixing, chi_square = fits
    assert mixing.mean() == pytest.approx(pseudo, abs=0.1)
    assert chi_square.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_no_figure_depends_on_the_profile_that_the_peaks_have(fits, name):
    values = fits[1][:, NAMES.index(name)]
    assert abs(values.mean()) < 0.65, values.mean()
    assert 0.6 < values.std() < 1.4
