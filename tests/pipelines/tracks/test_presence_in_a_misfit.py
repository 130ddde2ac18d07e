"""Whether a phase is there, where the model does not describe the pattern."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, lagp, pattern, recipe
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe
from ringwatch_pipelines.results import FitState, PeakState
from ringwatch_pipelines.tracks.phase_tracks import tracked_from_fit


@pytest.fixture(scope="module")
def weak_phase():
    """LAGP some twenty sigmas above nothing."""
    truth = Truth(lagp_113=1.0, li_110=0.0, li_200=0.0, counts_per_unit=100.0)
    layout = layout_from_recipe(recipe(lagp()))
    with threadpool_limits(1):
        return fit_pattern(pattern=pattern(truth, 3), layout=layout, start=layout.configured_start())


@pytest.mark.parametrize(("chi_square", "state"), [(1.0, PeakState.PRESENT), (400.0, PeakState.ABSENT)])
def test_a_phase_must_stand_above_what_the_model_leaves(weak_phase, chi_square, state):
    fit = replace(weak_phase, state=FitState.MISFIT, chi_square=chi_square)
    solid = tracked_from_fit(fit).phases[0]
    assert solid.state is state
    assert np.isfinite(solid.lattice[0][1].value) == (state is PeakState.PRESENT)
